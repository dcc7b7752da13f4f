//! What happens to orders after their rows: their money, their goods, and what follows.

use async_trait::async_trait;
use domain::life::{Actor, DueWork, Life, LifeAnswer, LifeWish, Policies};
use domain::moves::Cause;
use domain::{CellId, Giveback, OrderId, RowStatus};

use super::Shards;
use super::declare::{Placed, port};
use crate::error::StoreResult;

/// What is asked of lives of one database, in order.
#[derive(Debug, Clone)]
pub struct LifeCall {
    /// The database of all its orders.
    pub db: u16,
    /// Who asks; news of a payment are their provider's.
    pub actor: Actor,
    /// What operators decided for offers.
    pub policies: Policies,
    /// What is asked, at most [`super::MAX_ORDERS`].
    pub wishes: Vec<LifeWish>,
}

/// A version of an order, from the second one on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Which.
    pub version: u32,
    /// The status before.
    pub from: RowStatus,
    /// The status after.
    pub to: RowStatus,
    /// Why.
    pub cause: Cause,
    /// Who did it.
    pub actor: String,
    /// When, UTC ms.
    pub at_ms: u64,
}

/// A pending order whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiringOrder {
    /// Which.
    pub order: OrderId,
    /// Since when, UTC ms.
    pub expires_at: u64,
}

/// Work that somebody has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRow {
    /// The order.
    pub order: OrderId,
    /// What is to be done.
    pub work: DueWork,
    /// How often it was taken since its time was last set, this time included.
    pub attempts: u32,
    /// When it was first due, UTC ms.
    pub started_ms: u64,
    /// When it was taken, by the same clock: its database's. Nobody's own may be believed.
    pub taken_ms: u64,
}

impl DueRow {
    /// How long it is due already, ms.
    pub fn age_ms(&self) -> u64 {
        self.taken_ms.saturating_sub(self.started_ms)
    }
}

/// Units that somebody is to give back to a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivebackRow {
    /// The cell.
    pub cell: CellId,
    /// What goes back.
    pub give: Giveback,
    /// How often it was taken, this time included.
    pub attempts: u32,
}

/// What only a person can finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// The number of its kind.
    pub kind: i8,
    /// What it is about.
    pub subject: String,
    /// The order.
    pub order: OrderId,
    /// How often it was opened.
    pub times: u32,
    /// Since when, UTC ms.
    pub at_ms: u64,
    /// False once it ended.
    pub is_open: bool,
    /// Who ended it; empty while open, and when it ended by itself.
    pub resolved_by: String,
    /// What they wrote.
    pub note: String,
}

/// Which tasks of a database are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TasksWanted {
    /// Open ones, or those that ended.
    pub is_open: bool,
    /// Only of this kind.
    pub kind: Option<i8>,
    /// Behind this one, by kind and subject.
    pub after: Option<(i8, String)>,
    /// At most so many.
    pub limit: u64,
}

/// How a person ended a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// Who.
    pub by: String,
    /// What they wrote.
    pub note: String,
}

impl Placed for &LifeCall {
    fn db(&self, _: &dyn Shards) -> u16 {
        self.db
    }
    fn rows(&self) -> Vec<String> {
        let orders = self.wishes.iter().flat_map(LifeWish::orders);
        orders.map(|order| format!("order {order}")).collect()
    }
}

port! { $
    /// What is known of lives.
    trait LifeRead, handed on by each_life_read {
        /// An order with its payments and refunds; empty when nothing is known of it.
        reads fn life(order: OrderId) -> Life, on order;
        /// The same of many orders of one database, at most [`super::MAX_ORDERS`], one for each.
        reads fn lives(db: u16, orders: &[OrderId]) -> Vec<Life>, on db;
        /// Its versions from the second one on, ascending.
        reads fn history(order: OrderId) -> Vec<HistoryRow>, on order;
        /// Pending orders whose time was over before `before_ms`, the oldest first, behind `after`.
        reads fn expiring(
            db: u16, before_ms: u64, after: Option<&ExpiringOrder>, limit: u64
        ) -> Vec<ExpiringOrder>, on db;
        /// Tasks by kind and subject.
        reads fn tasks(db: u16, wanted: &TasksWanted) -> Vec<TaskRow>, on db;
        /// One of them.
        reads fn task(db: u16, kind: i8, subject: &str) -> Option<TaskRow>, on db;
    }
}

port! { $
    /// What changes orders after their rows, and what follows from it.
    trait LifeWrite, handed on by each_life_write {
        /// Does all that is asked for in one transaction: the orders, their history, their facts
        /// and what must follow, or nothing of it (INV-9, INV-15 to INV-20). One answer per wish.
        writes fn live(call: &LifeCall) -> Vec<LifeAnswer>, on call;
        /// Takes work that is due, the longest due first, and leaves it alone for `lease_ms`: it is
        /// due again then, unless it is done.
        writes fn take_due(db: u16, limit: u64, lease_ms: u64) -> Vec<DueRow>, on db;
        /// Takes givebacks to cells of the database `to`, in the same way.
        writes fn take_givebacks(db: u16, to: u16, limit: u64, lease_ms: u64) -> Vec<GivebackRow>,
            on db;
        /// These are done; of those that were refused a person hears.
        writes fn end_givebacks(db: u16, done: &[GivebackRow], refused: &[GivebackRow]) -> (),
            on db;
        /// A person ended a task; false when there is none.
        writes fn end_task(db: u16, kind: i8, subject: &str, end: &TaskEnd) -> bool, on db;
    }
}
