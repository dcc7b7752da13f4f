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
    /// Differences; `Behind` within the normal lag of an apply is not one.
    pub drift: Vec<Drift>,
}

impl Report {
    /// True when something was found that this pass did not repair, or a cell gave no answer.
    pub fn is_bad(&self) -> bool {
        self.compared < self.cells || self.drift.iter().any(|d| !d.applied)
    }
}

/// What the last pass saw of holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldStatus {
    /// Age of the oldest hold, ms.
    pub oldest_ms: u64,
    /// Holds that the relay would act on.
    pub overdue: u64,
    /// Cells whose view is not the ledger's.
    pub diverged: u64,
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
    /// Loads the cells of an offer that was just created: they never existed, so no barrier.
    async fn first_load(&self, cells: &[CellId]) -> Result<(), OperateError>;
    /// What the last pass saw.
    fn holds(&self) -> HoldStatus;
}
