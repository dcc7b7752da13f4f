//! What operators may ask of a reconciler: the port between the admin listener and the
//! reconciler, so that neither service depends on the other.

use async_trait::async_trait;
use domain::drift::{DriftKind, Repair};
use domain::{CellId, OfferId};

/// One difference between Redis and the ledger, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The cell.
    pub cell: CellId,
    /// What is wrong.
    pub kind: DriftKind,
    /// What the ledger says, for a reader.
    pub ledger: String,
    /// What Redis says, for a reader.
    pub redis: String,
    /// The fix.
    pub repair: Repair,
    /// True when the fix was made in this pass.
    pub applied: bool,
}

/// What one pass found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Cells of the pass.
    pub cells: u64,
    /// Cells that could be compared (the others gave no answer).
    pub compared: u64,
    /// Order rows that were compared with the ledger of their lines.
    pub rows: u64,
    /// Differences; `Behind` within the normal lag of an apply is not one.
    pub drift: Vec<Drift>,
    /// Databases that did not answer: their cells are not in this report.
    pub unread: Vec<u16>,
}

impl Report {
    /// True when something was found that this pass did not repair, or could not be looked at.
    pub fn is_bad(&self) -> bool {
        self.has_open_drift() || self.compared < self.cells || !self.unread.is_empty()
    }
    /// True when something was found that this pass did not repair.
    pub fn has_open_drift(&self) -> bool {
        self.drift.iter().any(|d| !d.applied)
    }
}

/// What the last pass saw of holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldStatus {
    /// Age of the oldest hold, ms.
    pub oldest_ms: u64,
    /// Holds that are older than `reconciler.relay_after_ms`.
    pub overdue: u64,
    /// Cells whose view is not the ledger's.
    pub diverged: u64,
}

impl HoldStatus {
    /// Takes another part of the cells in.
    pub fn add(&mut self, other: &Self) {
        self.oldest_ms = self.oldest_ms.max(other.oldest_ms);
        self.overdue += other.overdue;
        self.diverged += other.diverged;
    }
}

/// Why an operator's call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperateError {
    /// The ledger has no such cell.
    #[error("no such cell")]
    UnknownCell,
    /// A store, Redis or the log did not answer; the call may be repeated.
    #[error("{0}")]
    Down(String),
}

/// A reconciler that takes orders.
#[async_trait]
pub trait Reconcile: Send + Sync {
    /// Compares all cells, or those of one offer, and repairs unless `dry_run`.
    async fn reconcile(
        &self,
        offer: Option<&OfferId>,
        dry_run: bool,
    ) -> Result<Report, OperateError>;
    /// PROTOCOL 6.6: pause, settle, drop an empty view, load it from the ledger, resume.
    async fn rebuild(&self, cell: &CellId) -> Result<(), OperateError>;
    /// A ticket in Redis for cells that the ledger does not have yet. Taken before they are
    /// created: whatever a view of them may ever have admitted came after it, and a loss of Redis
    /// takes the ticket along (INV-13, INV-14). `None` when somebody else has a fresh one: he is
    /// making these cells, and a second ticket would void his load.
    async fn first_ticket(&self, cells: &[CellId]) -> Result<Option<String>, OperateError>;
    /// Loads the cells of an offer that was just created, without a barrier: nothing can be
    /// outstanding while `ticket` is the one that was stored before. Else they are left to the
    /// next pass, which builds them behind one.
    async fn first_load(&self, cells: &[CellId], ticket: &str) -> Result<(), OperateError>;
    /// What the last pass saw.
    fn holds(&self) -> HoldStatus;
}
