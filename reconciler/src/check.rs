//! Comparing one cell: exact at any time, because the ledger up to W is immutable (INV-3).

use cells::port::CellView;
use domain::drift::{self, DriftKind};
use domain::{CellId, Totals};
use view::{Drift, OperateError};

use crate::{Reconciler, down};

/// How a cell's view stands to its ledger.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    /// The view, when there is one.
    pub view: Option<CellView>,
    /// The ledger at the view's W.
    pub at_w: Option<Totals>,
    /// The cell row.
    pub head: Totals,
    /// What is wrong, if anything.
    pub kind: Option<DriftKind>,
}

impl Reconciler {
    /// Reads the view, then the ledger at its W, then the cell row.
    pub(crate) async fn compare(&self, cell: &CellId) -> Result<Compared, OperateError> {
        let view = self.ports.cells.snapshot(cell).await.map_err(down)?;
        let at_w = match &view {
            Some(v) => self.ports.store.at(cell, v.totals.seq).await.map_err(down)?,
            None => None,
        };
        let head = self.ports.store.head(cell).await.map_err(down)?;
        let head = head.ok_or(OperateError::UnknownCell)?;
        let kind = match &view {
            Some(v) => drift::compare(v.totals, at_w, head),
            None => Some(DriftKind::Missing),
        };
        let folded = self.ports.store.at(cell, head.seq).await.map_err(down)?;
        let kind = if folded == Some(head) { kind } else { Some(DriftKind::Ledger) };
        Ok(Compared { view, at_w, head, kind })
    }

    /// True when the view has been behind for longer than an apply takes on a bad day.
    pub(crate) async fn is_late(&self, cell: &CellId, w: u64) -> Result<bool, OperateError> {
        let page = self.ports.store.after(cell, w, 1).await.map_err(down)?;
        let first = page.and_then(|p| p.entries.into_iter().next());
        let now = self.ports.clock.now_ms();
        let limit = self.settings.relay_after.as_millis() as u64;
        Ok(first.is_some_and(|e| (e.at_ms as u64).saturating_add(limit) < now))
    }
}

impl Compared {
    /// A line of a report.
    pub fn drift(&self, cell: &CellId, kind: DriftKind, applied: bool) -> Drift {
        let show = |t: &Totals| {
            format!(
                "supply {} net {} open {:?} seq {} tok {}",
                t.supply, t.net, t.open, t.seq, t.tok
            )
        };
        let ledger = match &self.at_w {
            Some(t) if kind != DriftKind::Behind => show(t),
            _ => show(&self.head),
        };
        Drift {
            cell: cell.clone(),
            kind,
            ledger,
            redis: self.view.as_ref().map_or("missing".to_owned(), |v| show(&v.totals)),
            repair: kind.repair(),
            applied,
        }
    }
}
