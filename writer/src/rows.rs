//! Step 3: rows of everything that has its verdicts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{CellId, OrderId, RowStatus};
use futures::future::join_all;
use mutants::Mutant;
use store::OrdersWrite;
use store::port::{MAX_ORDERS, RowAsk, RowState};

use crate::batch::{Flow, Stop};
use crate::lines::reject_reason;
use crate::metrics::METRICS;
use view::DatabasePatience;

/// Lines whose units go back: per cell the flow and its order.
pub(crate) type Dead = BTreeMap<CellId, Vec<(usize, OrderId)>>;

/// The step.
#[derive(Clone)]
pub(crate) struct WriteRows {
    pub store: Arc<dyn OrdersWrite>,
    pub patience: DatabasePatience,
}

impl WriteRows {
    /// Writes them; answers what has to be released.
    pub(crate) async fn run(&self, flows: &mut [Flow]) -> Dead {
        let mut by_db: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (i, flow) in flows.iter().enumerate().filter(|(_, f)| f.goes_on()) {
            by_db.entry(self.store.order_db(flow.order())).or_default().push(i);
        }
        let shared: &[Flow] = flows;
        let calls = by_db.into_iter().map(|(db, members)| async move {
            let mut done = Vec::new();
            for piece in members.chunks(MAX_ORDERS) {
                done.extend(self.of_database(db, piece, shared).await);
            }
            done
        });
        let done: Vec<(usize, Result<RowState, Stop>)> =
            join_all(calls).await.into_iter().flatten().collect();
        let mut dead = Dead::new();
        for (i, row) in done {
            match row {
                Ok(row) => note(&flows[i], i, &row, &mut dead),
                Err(stop) => {
                    flows[i].stopped.get_or_insert(stop);
                }
            }
        }
        dead
    }

    /// Rows of one database; a permanent error is bisected down to the order.
    async fn of_database(
        &self,
        db: u16,
        members: &[usize],
        flows: &[Flow],
    ) -> Vec<(usize, Result<RowState, Stop>)> {
        let asks: Vec<RowAsk> = members.iter().map(|i| ask(&flows[*i])).collect();
        match self.patience.call(db, || self.store.rows(db, &asks)).await {
            Ok(states) => members.iter().copied().zip(states.into_iter().map(Ok)).collect(),
            Err(e) if e.is_transient() => {
                members.iter().map(|i| (*i, Err(Stop::Database(db)))).collect()
            }
            Err(e) if members.len() == 1 => {
                vec![(members[0], Err(Stop::Poison(e.to_string())))]
            }
            Err(_) => {
                let (a, b) = members.split_at(members.len() / 2);
                let mut out = Box::pin(self.of_database(db, a, flows)).await;
                out.extend(Box::pin(self.of_database(db, b, flows)).await);
                out
            }
        }
    }
}

/// How long an order may be paid at least once it has its row: one that waited for its writer until
/// its window was over is not dead at once.
const LEAST_MS: u64 = 60_000;

fn ask(flow: &Flow) -> RowAsk {
    RowAsk {
        payload: flow.payload.clone(),
        t_ms: flow.sealed.t_ms,
        rejected: reject_reason(flow),
        least_ms: LEAST_MS,
    }
}

/// INV-6: what a dead row had claimed goes back.
fn gives_back(row: &RowState) -> bool {
    if mutants::on(Mutant::NoRelease) {
        return false;
    }
    row.status == RowStatus::Rejected
}

fn note(flow: &Flow, i: usize, row: &RowState, dead: &mut Dead) {
    if row.fresh {
        METRICS.rows.of(row.status).increment(1);
    }
    if gives_back(row) {
        let cells: BTreeSet<&CellId> = flow.claimed().collect();
        for cell in cells {
            dead.entry(cell.clone()).or_default().push((i, flow.order()));
        }
    }
}
