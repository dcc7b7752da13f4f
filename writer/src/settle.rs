//! Steps 4 and 5: releases of rejected orders, and the end of `unrowed` ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Giveback;
use store::LedgerWrite;
use store::port::Appended;

use crate::batch::{Flow, Stop};
use crate::lines::Decided;
use crate::rows::Dead;
use view::DatabasePatience;

/// The steps.
#[derive(Clone)]
pub(crate) struct Settle {
    pub store: Arc<dyn LedgerWrite>,
    pub patience: DatabasePatience,
}

impl Settle {
    /// Releases every claimed line of a dead row (INV-6: each at most once); answers the entries.
    pub(crate) async fn release(&self, flows: &mut [Flow], dead: Dead) -> Vec<Appended> {
        let mut appended = Vec::new();
        for (cell, members) in dead {
            let gives: Vec<Giveback> = members.iter().map(|m| Giveback::release(m.1)).collect();
            let db = self.store.cell_db(&cell.offer);
            match self.patience.call(db, || self.store.give_back(&cell, &gives)).await {
                Ok(given) => {
                    // The reconciler finds such a row and says so (INV-15).
                    if let Some(first) = given.refused.first() {
                        tracing::error!(%cell, order = %first.order, "a release was refused");
                    }
                    appended.push(given.appended);
                }
                Err(e) => {
                    let stop = if e.is_transient() {
                        Stop::Database(e.db())
                    } else {
                        Stop::Poison(e.to_string())
                    };
                    for (i, _) in members {
                        flows[i].stopped.get_or_insert(stop.clone());
                    }
                }
            }
        }
        appended
    }

    /// Forgets the ranges whose orders are all complete. Failing is harmless: the sweeper looks.
    pub(crate) async fn ranges(&self, flows: &[Flow], decided: &Decided) {
        let mut by_db: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for (range, members) in &decided.ranges {
            if members.iter().all(|i| flows[*i].goes_on()) {
                let db = self.store.cell_db(&range.cell.offer);
                by_db.entry(db).or_default().push(range.clone());
            }
        }
        for (db, ranges) in by_db {
            if let Err(e) = self.store.finish_unrowed(db, &ranges).await {
                tracing::debug!(error = %e, "ranges left to the sweeper");
            }
        }
    }
}
