//! One cell: compare it, and repair what can be repaired at once.

use std::sync::Arc;

use cells::port::Cells;
use domain::drift::DriftKind;
use domain::{CellId, Flag};
use futures::stream::{self, StreamExt};
use mutants::Mutant;
use view::{Drift, Follow, Followed, OperateError};

use crate::check::{Compare, Compared};
use crate::down::down;
use crate::metrics;
use crate::metrics::METRICS;
use crate::quiet::Quiet;
use crate::repair::Mend;

/// A cell as it was found, and its drift.
type Looked = Result<(Compared, Vec<Drift>), OperateError>;

/// What is looked at in a pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    pub dry_run: bool,
    /// Compare held and b too.
    pub quiet: bool,
}

/// The step.
pub(crate) struct LookAt {
    pub cells: Arc<dyn Cells>,
    pub follow: Follow,
    pub compare: Arc<Compare>,
    pub quiet: Arc<Quiet>,
    pub repair: Arc<Mend>,
    /// Cells worked on at once.
    pub parallel: usize,
}

impl LookAt {
    /// Some cells, each compared and repaired.
    pub(crate) async fn run(&self, cells: &[CellId], how: How) -> Vec<(CellId, Looked)> {
        let look = |cell: CellId| async move {
            let found = self.one(&cell, how).await;
            (cell, found)
        };
        stream::iter(cells.to_vec()).map(look).buffered(self.parallel).collect().await
    }

    /// One cell: compare, and repair what can be repaired at once.
    async fn one(&self, cell: &CellId, how: How) -> Looked {
        let mut compared = self.compare.run(cell).await?;
        let mut found = Vec::new();
        if compared.kind == Some(DriftKind::Behind) {
            let w = compared.view.map_or(0, |v| v.totals.seq);
            let late = self.compare.is_late(cell, w).await?;
            let applied = !how.dry_run && self.catch_up(cell).await;
            if late {
                found.push(self.note(&compared, cell, DriftKind::Behind, applied));
            }
            if applied {
                compared = self.compare.run(cell).await?;
            }
        }
        match compared.kind {
            None | Some(DriftKind::Behind) => {
                found.extend(self.exact(cell, &compared, how).await?);
            }
            Some(kind) => {
                let applied = !how.dry_run && self.mended(cell, kind, &compared).await?;
                found.push(self.note(&compared, cell, kind, applied));
            }
        }
        Ok((compared, found))
    }

    async fn catch_up(&self, cell: &CellId) -> bool {
        matches!(self.follow.catch_up(cell).await, Followed::Ok { .. })
    }

    fn note(&self, compared: &Compared, cell: &CellId, kind: DriftKind, applied: bool) -> Drift {
        metrics::drift(kind);
        if applied {
            METRICS.repairs.of(kind.repair()).increment(1);
        }
        let drift = compared.drift(cell, kind, applied);
        if kind == DriftKind::Missing {
            // After a loss there are thousands: one line for all of them comes with the build.
            tracing::debug!(%cell, "missing in Redis");
            return drift;
        }
        tracing::warn!(
            %cell, kind = kind.as_str(), repair = kind.repair().as_str(), applied,
            ledger = drift.ledger, redis = drift.redis, "drift"
        );
        drift
    }

    /// The counters are the ledger's: held and b may still be wrong, a repair's pause may be over.
    async fn exact(
        &self,
        cell: &CellId,
        compared: &Compared,
        how: How,
    ) -> Result<Vec<Drift>, OperateError> {
        let mut found = Vec::new();
        if how.quiet
            && let Some(wrong) = self.quiet.run(cell).await?
            && !wrong.drift.is_empty()
        {
            let applied = !how.dry_run && self.repair.mend(cell, wrong.buyers).await?;
            for mut drift in wrong.drift {
                metrics::drift(drift.kind);
                drift.applied = applied;
                tracing::warn!(
                    %cell, kind = drift.kind.as_str(), applied,
                    ledger = drift.ledger, redis = drift.redis, "drift"
                );
                found.push(drift);
            }
            return Ok(found);
        }
        if compared.head.open == Flag::Paused
            && let Some(kind) = self.repair.paused_by(cell).await?
        {
            let over = kind == DriftKind::RepairPause;
            let applied = over && !how.dry_run && self.repair.restore(cell).await?;
            found.push(self.note(compared, cell, kind, applied));
        }
        Ok(found)
    }

    /// True when the repair is complete now. What is built waits for all others of the pass:
    /// one barrier serves them all.
    async fn mended(
        &self,
        cell: &CellId,
        kind: DriftKind,
        compared: &Compared,
    ) -> Result<bool, OperateError> {
        match kind {
            DriftKind::Counters => self.repair.mend(cell, Vec::new()).await,
            DriftKind::Fork => self.drop_fork(cell, compared).await,
            DriftKind::Missing => Ok(false),
            DriftKind::Ledger => {
                // Once more: a database that lost commits between the two reads looks the same.
                let again = self.compare.run(cell).await?;
                if must_stop(&again) {
                    self.repair.stop_selling(cell, kind.invariant().unwrap_or_default()).await?;
                }
                Ok(false)
            }
            DriftKind::Behind
            | DriftKind::Held
            | DriftKind::Buyers
            | DriftKind::Phantom
            | DriftKind::LostHold
            | DriftKind::RowUnclaimed
            | DriftKind::RowRefused
            | DriftKind::RowUnreleased
            | DriftKind::RowReturned
            | DriftKind::RepairPause => Ok(false),
        }
    }

    /// A view of commits that a database lost goes, with its holds; the cell is built again.
    async fn drop_fork(&self, cell: &CellId, compared: &Compared) -> Result<bool, OperateError> {
        if mutants::on(Mutant::ForkKept) {
            return Ok(false);
        }
        let Some(view) = &compared.view else { return Ok(false) };
        let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
        self.cells.drop_cell(cell, seen, true).await.map_err(down)?;
        Ok(false)
    }
}

/// A cell whose ledger is broken sells nothing more until a person has looked.
fn must_stop(again: &Compared) -> bool {
    if mutants::on(Mutant::NoStop) {
        return false;
    }
    let open = again.head.open == Flag::Open || !again.row_is_sound;
    again.kind == Some(DriftKind::Ledger) && open
}

/// True for what is built from the ledger: missing, or dropped because it is of another ledger.
pub(crate) fn is_built(d: &Drift) -> bool {
    matches!(d.kind, DriftKind::Missing | DriftKind::Fork)
}
