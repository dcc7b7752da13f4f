//! Step 6, best effort: apply what was appended, resolve what was decided before.
//!
//! Everything here may be lost: the next apply meets a gap and replays, the reconciler repeats.

use std::collections::BTreeMap;
use std::sync::Arc;

use cells::port::{Cells, MAX_BATCH};
use domain::{CellId, EntryId};
use futures::future::join_all;
use mutants::Mutant;
use store::port::Appended;
use view::{Follow, Followed};

use crate::batch::Flow;
use crate::lines::Decided;
use crate::metrics::METRICS;

/// The step.
#[derive(Clone)]
pub(crate) struct Apply {
    pub follow: Follow,
    pub cells: Arc<dyn Cells>,
}

impl Apply {
    /// Brings the views of the touched cells forward.
    pub(crate) async fn run(&self, flows: &[Flow], decided: &Decided, released: Vec<Appended>) {
        let mut cells: BTreeMap<CellId, Vec<Appended>> = BTreeMap::new();
        for c in &decided.cells {
            let Some(prev) = c.prev.filter(|_| !c.entries.is_empty()) else { continue };
            let one = Appended { cell: c.cell.clone(), prev, entries: c.entries.clone() };
            cells.entry(c.cell.clone()).or_default().push(one);
        }
        for one in released {
            cells.entry(one.cell.clone()).or_default().push(one);
        }
        join_all(cells.values().map(|list| self.apply_cell(list))).await;
        let mut old: BTreeMap<&CellId, Vec<(EntryId, u64)>> = BTreeMap::new();
        for (cell, flow, seq) in &decided.old {
            old.entry(cell).or_default().push((flows[*flow].order().into(), *seq));
        }
        join_all(old.iter().map(|(cell, list)| self.resolve_cell(cell, list))).await;
    }

    async fn apply_cell(&self, list: &[Appended]) {
        for appended in list {
            match self.follow.apply(appended).await {
                Followed::Ok { without_hold, .. } => view::count_without_hold(without_hold),
                Followed::Missing | Followed::Fork | Followed::Unknown => {
                    METRICS.apply_failures.increment(1)
                }
            }
        }
    }

    async fn resolve_cell(&self, cell: &CellId, list: &[(EntryId, u64)]) {
        if mutants::on(Mutant::NoResolve) {
            return;
        }
        for piece in list.chunks(MAX_BATCH) {
            if self.cells.resolve(cell, piece).await.is_err() {
                METRICS.apply_failures.increment(1);
            }
        }
    }
}
