//! Rows of orders.

use async_trait::async_trait;
use domain::frame::Sealed;
use domain::order::{RejectReason, RowStatus};
use domain::{Buyer, CellId, IdempotencyKey, OfferId, OrderId, Payload};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

/// An order that wants a row.
#[derive(Debug, Clone)]
pub struct RowAsk {
    /// The order.
    pub payload: Payload,
    /// Redis time of the first reserve, ms.
    pub t_ms: u64,
    /// `Some` when a line was rejected.
    pub rejected: Option<RejectReason>,
    /// How long from now on it may be paid at least, ms; its window where that is shorter.
    pub least_ms: u64,
}

/// The row as it stands after the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// The order.
    pub order: OrderId,
    /// Its status.
    pub status: RowStatus,
    /// Its reason, when rejected.
    pub reason: Option<RejectReason>,
    /// True when this call inserted it.
    pub fresh: bool,
}

/// An order row with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order: OrderId,
    /// Who bought.
    pub buyer: Buyer,
    /// The client's key; `None` on the loser of a key conflict.
    pub key: Option<IdempotencyKey>,
    /// Where it stands.
    pub status: RowStatus,
    /// Why it was rejected.
    pub reason: Option<RejectReason>,
    /// Grows with each change.
    pub version: u32,
    /// (offer, bucket, units, unit price).
    pub lines: Vec<(OfferId, u8, u32, i64)>,
    /// ISO 4217.
    pub currency: String,
    /// Minor units over all lines.
    pub amount: i64,
    /// Canonical JSON object, or empty.
    pub metadata: String,
    /// Redis time of the first reserve, ms.
    pub created_at: u64,
    /// Last change, ms.
    pub updated_at: u64,
    /// Unpaid orders expire then, ms; 0 for never.
    pub expires_at: u64,
    /// What was paid for it, minor units.
    pub captured: i64,
    /// What of it went back because somebody asked, minor units.
    pub refunded: i64,
    /// The order that its late payment bought again with it.
    pub supersedes: Option<OrderId>,
    /// The order that its late payment is to buy; it may come to nothing.
    pub superseded_by: Option<OrderId>,
}

/// A part of the rows of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPage {
    /// Those of the offer, with their keys (`None` on the loser of a key conflict).
    pub rows: Vec<(RowState, Option<IdempotencyKey>)>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<OrderId>,
}

/// An order's row, for a comparison with the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// The order.
    pub order: OrderId,
    /// Where it stands.
    pub status: RowStatus,
    /// The cells of its lines.
    pub cells: Vec<CellId>,
    /// Last change, ms.
    pub updated_ms: u64,
    /// What of it went back because somebody asked, minor units.
    pub refunded: i64,
    /// What was published, made again from the row; `None` on the loser of a key conflict.
    pub sealed: Option<Sealed>,
}

/// Some rows of a database, whatever their offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRows {
    /// Ascending by id.
    pub rows: Vec<KeptRow>,
    /// Rows of the page that cannot be read: a hand has spoiled them. They are in the log of the
    /// process, each with its id where it has one.
    pub unreadable: u64,
    /// Where the next page begins; `None` at the end.
    pub next: Option<OrderId>,
}

port! { $
    /// What rows say.
    trait OrdersRead, handed on by each_orders_read {
        /// Status of some orders; `None` where there is no row.
        reads fn statuses(db: u16, orders: &[OrderId]) -> Vec<Option<RowState>>, on db;
        /// One order with its lines.
        reads fn order(order: OrderId) -> Option<OrderRow>, on order;
        /// The order of a buyer's key.
        reads fn order_of_key(buyer: &Buyer, key: &IdempotencyKey) -> Option<OrderRow>, on buyer;
        /// Rows of a database by id after `after`, at most `limit`.
        reads fn kept_rows(db: u16, after: Option<OrderId>, limit: u64) -> KeptRows, on db;
        /// Looks at `limit` rows of a database by id after `after` and answers those of an offer:
        /// what a call costs does not depend on how many others there are.
        reads fn scan_rows(db: u16, offer: &OfferId, after: Option<OrderId>, limit: u64) -> RowPage,
            on db;
    }
}

port! { $
    /// What is written to rows.
    trait OrdersWrite, handed on by each_orders_write {
        /// PROTOCOL `row`: inserts what is absent, never updates (INV-7, INV-8). One per ask. An
        /// ask that is rejected as the loser of a key conflict leaves the key to others.
        writes fn rows(db: u16, asks: &[RowAsk]) -> Vec<RowState>, on db;
        /// Rejects those of these orders that are pending (INV-9: only a rewind may); which they
        /// were.
        writes fn reject(db: u16, orders: &[OrderId]) -> Vec<OrderId>, on db;
    }
}
