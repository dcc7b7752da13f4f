//! Orders and frames that wait for a person: [`super::CATALOG_DB`].

use async_trait::async_trait;
use bytes::Bytes;
use domain::OrderId;
use domain::frame::{Mode, Sealed};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

/// Where a count of what is parked ends.
pub const MOST_COUNTED: u64 = 10_000;

/// A parked order in a list, which one that cannot be read is on as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedOrder {
    /// The order.
    pub order: OrderId,
    /// What failed.
    pub reason: String,
    /// How often it was parked.
    pub times: u32,
}

/// A parked order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The order.
    pub order: OrderId,
    /// What failed.
    pub reason: String,
    /// What its frame asked for.
    pub mode: Mode,
    /// What was to be written.
    pub sealed: Sealed,
    /// How often it was parked.
    pub times: u32,
}

/// A parked frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedFrame {
    /// SHA-256 of the bytes, 64 hex digits.
    pub id: String,
    /// The partition that it came from.
    pub partition: String,
    /// What failed.
    pub reason: String,
    /// The bytes; empty in a list.
    pub frame: Bytes,
    /// How often it was parked.
    pub times: u32,
}

port! { $
    /// What is parked.
    trait ParkedRead, handed on by each_parked_read {
        /// Which of these orders are parked.
        reads fn parked_among(orders: &[OrderId]) -> Vec<OrderId>, on CATALOG_DB;
        /// One parked order.
        reads fn parked(order: OrderId) -> Option<Parked>, on CATALOG_DB;
        /// Parked orders by id after `after`, at most `limit`.
        reads fn parked_orders(after: Option<OrderId>, limit: u64) -> Vec<ParkedOrder>,
            on CATALOG_DB;
        /// One parked frame, with its bytes.
        reads fn parked_frame(id: &str) -> Option<ParkedFrame>, on CATALOG_DB;
        /// Parked frames by id after `after`, without their bytes, at most `limit`.
        reads fn parked_frames(after: Option<&str>, limit: u64) -> Vec<ParkedFrame>, on CATALOG_DB;
        /// (parked orders, parked frames), each counted up to [`MOST_COUNTED`].
        reads fn parked_counts() -> (u64, u64), on CATALOG_DB;
    }
}

port! { $
    /// What puts orders and frames there and takes them back.
    trait ParkedWrite, handed on by each_parked_write {
        /// Parks an order. One that is parked already counts once more.
        writes fn park(order: OrderId, reason: &str, item: (Mode, &Sealed)) -> (), on CATALOG_DB;
        /// Takes an order off the list, unless it was parked again since it was read with `times`,
        /// a number that no other parking of this order has.
        writes fn unpark(order: OrderId, times: u32) -> bool, on CATALOG_DB;
        /// Parks a frame that cannot be decoded. One that is parked already counts once more.
        writes fn park_frame(partition: &str, reason: &str, frame: &Bytes) -> (), on CATALOG_DB;
        /// Takes a frame off the list, as [`ParkedWrite::unpark`] does an order.
        writes fn unpark_frame(id: &str, times: u32) -> bool, on CATALOG_DB;
    }
}
