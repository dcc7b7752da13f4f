//! What is asked of money beyond one order: sums, and what moved at a provider in a time.

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{MoneyTotals, PaymentKey, ProviderId, RefundId};

use super::Shards;
use super::declare::port;
use crate::error::StoreResult;

/// Which way money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyWay {
    /// Captured payments.
    In,
    /// Refunds that succeeded.
    Back,
}

/// What moved: when it became known here, of which payment, and by which refund if it went back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MoneyMoved {
    /// UTC ms.
    pub at_ms: u64,
    /// The order whose books it is in; of money that came in, the one that decides on it.
    pub order: OrderId,
    /// The refund; `None` for money that came in.
    pub refund: Option<RefundId>,
    /// The payment.
    pub payment: PaymentKey,
}

/// Which moves of a database are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyWanted {
    /// Which way.
    pub way: MoneyWay,
    /// Whose.
    pub provider: ProviderId,
    /// From this time on, UTC ms.
    pub from_ms: u64,
    /// Before this time, UTC ms.
    pub to_ms: u64,
    /// Behind this one.
    pub after: Option<MoneyMoved>,
    /// At most so many.
    pub limit: u64,
}

/// What a look at all payments of a database added up in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyRow {
    /// ISO 4217.
    pub currency: String,
    /// The sums.
    pub totals: MoneyTotals,
    /// When the look was over, UTC ms; what is written with 0 gets the database's time.
    pub at_ms: u64,
}

port! { $
    /// What is known of money beyond one order.
    trait MoneyRead, handed on by each_money_read {
        /// Payments by provider and id, each with the order that decides on it, behind `after`.
        reads fn payments_after(db: u16, after: Option<&PaymentKey>, limit: u64)
            -> Vec<(PaymentKey, OrderId)>, on db;
        /// The orders that decide on these payments, at most [`super::MAX_ORDERS`]; of one that
        /// is unknown here, nothing.
        reads fn payments_named(db: u16, keys: &[PaymentKey]) -> Vec<(PaymentKey, OrderId)>, on db;
        /// What moved in a time: by time, order, refund and payment, or by time and payment.
        reads fn moved(db: u16, wanted: &MoneyWanted) -> Vec<MoneyMoved>, on db;
        /// What the last look at all payments added up, by currency.
        reads fn money(db: u16) -> Vec<MoneyRow>, on db;
    }
}

port! { $
    /// What a look at all payments leaves behind.
    trait MoneyWrite, handed on by each_money_write {
        /// Replaces what the look before had added up.
        writes fn put_money(db: u16, rows: &[MoneyRow]) -> (), on db;
    }
}
