//! The ports of the databases: the protocol's transactions, and the reads that go with them. Read
//! and write are apart, so that who only looks cannot change anything.
//!
//! Every method is idempotent and atomic; a batch equals its single transactions in order. After
//! [`StoreError::is_transient`] the outcome is unknown: run the same call again. All of a call's
//! cells must live on one database (`cell_db`), all of its rows on one (`order_db`).
//!
//! Transactions and [`LedgerRead::locked`] see what is committed, and a deployment sees to it that
//! [`LedgerRead::find_verdicts`] does. Others may come from a replica that is behind.

mod catalog;
mod declare;
mod details;
mod ledger;
mod life;
mod marks;
mod money;
mod orders;
mod parked;

use async_trait::async_trait;
use domain::{Buyer, OfferId, OrderId};

pub use catalog::{CatalogRead, CatalogWrite, Init, InitOutcome, OfferPut};
pub use declare::Placed;
pub use details::{DetailRead, DetailWrite};
pub use ledger::{
    Appended, Ask, CellAsks, CellVerdicts, Change, GivenBack, LedgerPage, LedgerRead, LedgerWrite,
    MAX_STRETCH, Moved, Proven, Skipped, UnrowedRange, Verdict, Verdicts,
};
pub use life::{
    DueRow, ExpiringOrder, GivebackRow, HistoryRow, LifeCall, LifeRead, LifeWrite, TaskEnd,
    TaskRow, TasksWanted,
};
pub use marks::Marks;
pub use money::{MoneyMoved, MoneyRead, MoneyRow, MoneyWanted, MoneyWay, MoneyWrite};
pub use orders::{KeptRow, KeptRows, OrderRow, OrdersRead, OrdersWrite, RowAsk, RowPage, RowState};
pub use parked::{MOST_COUNTED, Parked, ParkedFrame, ParkedOrder, ParkedRead, ParkedWrite};

/// All that the methods of the ports speak of, for a decorator that is made from their
/// declarations: see [`crate::each_port`].
pub mod words {
    pub use bytes::Bytes;
    pub use domain::frame::{Mode, Sealed};
    pub use domain::kept::Kept;
    pub use domain::life::{Life, LifeAnswer, PaymentKey, Provider};
    pub use domain::rows::Traces;
    pub use domain::{
        Buyer, Campaign, CellId, Entry, EntryId, Flag, Giveback, IdempotencyKey, Key, Offer,
        OfferId, OrderId, Totals,
    };

    pub use super::{
        Appended, CATALOG_DB, CatalogRead, CatalogWrite, CellAsks, CellVerdicts, Change,
        DetailRead, DetailWrite, DueRow, ExpiringOrder, GivebackRow, GivenBack, HistoryRow, Init,
        InitOutcome, KeptRows, LedgerPage, LedgerRead, LedgerWrite, LifeCall, LifeRead, LifeWrite,
        Marks, MoneyMoved, MoneyRead, MoneyRow, MoneyWanted, MoneyWrite, Moved, OfferPut, OrderRow,
        OrdersRead, OrdersWrite, Parked, ParkedFrame, ParkedOrder, ParkedRead, ParkedWrite, Placed,
        Proven, RowAsk, RowPage, RowState, Shards, TaskEnd, TaskRow, TasksWanted, UnrowedRange,
        Verdict, Verdicts,
    };
}

/// The most cells of one verdict transaction.
pub const MAX_CELLS: usize = 64;
/// The most orders of one verdict or row transaction; an order counts once per cell.
pub const MAX_ORDERS: usize = 512;
/// The database of the catalog, of marks and of what is parked.
pub const CATALOG_DB: u16 = 0;

/// Which database has what.
#[async_trait]
pub trait Shards: Send + Sync {
    /// How many databases there are.
    fn databases(&self) -> u16;
    /// The database of an offer's cells.
    fn cell_db(&self, offer: &OfferId) -> u16;
    /// The database of an order (its id carries the shard).
    fn order_db(&self, order: OrderId) -> u16;
    /// The database of a buyer's orders.
    fn buyer_db(&self, buyer: &Buyer) -> u16;
    /// True when the database answers.
    async fn ping(&self, db: u16) -> bool;
}

/// All of it: what a process has, and no service takes.
pub trait Store:
    LedgerRead
    + LedgerWrite
    + Verdicts
    + OrdersRead
    + OrdersWrite
    + LifeRead
    + LifeWrite
    + MoneyRead
    + MoneyWrite
    + DetailRead
    + DetailWrite
    + CatalogRead
    + CatalogWrite
    + Init
    + Marks
    + ParkedRead
    + ParkedWrite
{
}
impl<T> Store for T where
    T: LedgerRead
        + LedgerWrite
        + Verdicts
        + OrdersRead
        + OrdersWrite
        + LifeRead
        + LifeWrite
        + MoneyRead
        + MoneyWrite
        + DetailRead
        + DetailWrite
        + CatalogRead
        + CatalogWrite
        + Init
        + Marks
        + ParkedRead
        + ParkedWrite
{
}

/// Hands every method of every port to a macro, port by port. A decorator implements [`Shards`],
/// and [`Verdicts`] where it is not like the others.
#[macro_export]
macro_rules! each_port {
    ($with:ident) => {
        $crate::each_ledger_read! { $with }
        $crate::each_ledger_write! { $with }
        $crate::each_orders_read! { $with }
        $crate::each_orders_write! { $with }
        $crate::each_life_read! { $with }
        $crate::each_life_write! { $with }
        $crate::each_money_read! { $with }
        $crate::each_money_write! { $with }
        $crate::each_detail_read! { $with }
        $crate::each_detail_write! { $with }
        $crate::each_catalog_read! { $with }
        $crate::each_catalog_write! { $with }
        $crate::each_init! { $with }
        $crate::each_mark! { $with }
        $crate::each_parked_read! { $with }
        $crate::each_parked_write! { $with }
    };
}
