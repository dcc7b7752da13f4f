//! What a run came to: the conservation table, and what broke it.

use std::collections::{BTreeMap, HashSet};

use domain::OrderId;
use domain::invariant::Violation;

/// The conservation table.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Table {
    pub supply: i64,
    /// `None` when the ledger was not read.
    pub claimed: Option<i64>,
    /// Likewise.
    pub released: Option<i64>,
    pub net: i64,
    pub held: i64,
    pub available: i64,
    pub rows_pending: u64,
    pub rows_live: u64,
    pub rows_rejected: u64,
    pub rows_dead: u64,
    pub rows_foreign: u64,
    pub accepted: u64,
    pub lost: u64,
    pub doubled: u64,
    pub oversold: i64,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunVerdict {
    pub table: Table,
    pub violations: Vec<Violation>,
    /// Accepted orders that ended rejected, by reason.
    pub accepted_rejected: BTreeMap<String, u64>,
    /// What became of keys whose outcome was unknown to the client.
    pub fates: BTreeMap<String, u64>,
    /// An order may be missed from both sides: promised, and claimed.
    pub lost: HashSet<OrderId>,
}

impl RunVerdict {
    /// True when nothing was lost, doubled or oversold, and no invariant is broken.
    pub(crate) fn is_conserved(&self) -> bool {
        self.violations.is_empty()
    }

    /// Adds a violation.
    pub(crate) fn bad(&mut self, id: &'static str, detail: String) {
        self.violations.push(Violation { id, detail });
    }
}
