//! Steps 3 to 5: rows, releases of rejected orders, and the end of `unrowed` ranges.

use std::collections::{BTreeMap, BTreeSet};

use domain::{CellId, OrderId, RowStatus};
use futures::future::join_all;
use runtime::mutant::{self, Mutant};
use store::port::{Appended, MAX_ORDERS, RowAsk, RowState};

use crate::batch::{Flow, Stop};
use crate::lines::{Decided, reject_reason};
use crate::metrics::METRICS;
use crate::process::Processor;

impl Processor {
    /// Rows of everything that has its verdicts; answers the entries that releases appended.
    pub(crate) async fn write_rows(&self, flows: &mut [Flow]) -> Vec<Appended> {
        let mut by_db: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (i, flow) in flows.iter().enumerate().filter(|(_, f)| f.goes_on()) {
            by_db.entry(self.ports.store.order_db(flow.order())).or_default().push(i);
        }
        let shared: &[Flow] = flows;
        let calls = by_db.into_iter().map(|(db, members)| async move {
            let mut done = Vec::new();
            for piece in members.chunks(MAX_ORDERS) {
                done.extend(self.rows_of(db, piece, shared).await);
            }
            done
        });
        let done: Vec<(usize, Result<RowState, Stop>)> =
            join_all(calls).await.into_iter().flatten().collect();
        let mut dead: BTreeMap<CellId, Vec<(usize, OrderId)>> = BTreeMap::new();
        for (i, row) in done {
            match row {
                Ok(row) => note(&flows[i], i, &row, &mut dead),
                Err(stop) => {
                    flows[i].stopped.get_or_insert(stop);
                }
            }
        }
        self.release_all(flows, dead).await
    }

    /// Rows of one database; a permanent error is bisected down to the order.
    async fn rows_of(
        &self,
        db: u16,
        members: &[usize],
        flows: &[Flow],
    ) -> Vec<(usize, Result<RowState, Stop>)> {
        let asks: Vec<RowAsk> = members.iter().map(|i| ask(&flows[*i])).collect();
        match self.patiently(db, || self.ports.store.rows(db, &asks)).await {
            Ok(states) => members.iter().copied().zip(states.into_iter().map(Ok)).collect(),
            Err(e) if e.is_transient() => {
                members.iter().map(|i| (*i, Err(Stop::Database(db)))).collect()
            }
            Err(e) if members.len() == 1 => {
                vec![(members[0], Err(Stop::Poison(e.to_string())))]
            }
            Err(_) => {
                let (a, b) = members.split_at(members.len() / 2);
                let mut out = Box::pin(self.rows_of(db, a, flows)).await;
                out.extend(Box::pin(self.rows_of(db, b, flows)).await);
                out
            }
        }
    }

    /// Releases every claimed line of a dead row (INV-6: each at most once).
    pub(crate) async fn release_all(
        &self,
        flows: &mut [Flow],
        dead: BTreeMap<CellId, Vec<(usize, OrderId)>>,
    ) -> Vec<Appended> {
        let mut appended = Vec::new();
        for (cell, members) in dead {
            let orders: Vec<OrderId> = members.iter().map(|m| m.1).collect();
            let db = self.ports.store.cell_db(&cell.offer);
            match self.patiently(db, || self.ports.store.release(&cell, &orders)).await {
                Ok(entries) => appended.push(entries),
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
    pub(crate) async fn finish_ranges(&self, flows: &[Flow], decided: &Decided) {
        let mut by_db: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for (range, members) in &decided.ranges {
            if members.iter().all(|i| flows[*i].goes_on()) {
                let db = self.ports.store.cell_db(&range.cell.offer);
                by_db.entry(db).or_default().push(range.clone());
            }
        }
        for (db, ranges) in by_db {
            if let Err(e) = self.ports.store.finish_unrowed(db, &ranges).await {
                tracing::debug!(error = %e, "ranges left to the sweeper");
            }
        }
    }
}

fn ask(flow: &Flow) -> RowAsk {
    RowAsk { payload: flow.payload.clone(), t_ms: flow.sealed.t_ms, rejected: reject_reason(flow) }
}

fn note(flow: &Flow, i: usize, row: &RowState, dead: &mut BTreeMap<CellId, Vec<(usize, OrderId)>>) {
    if row.fresh {
        METRICS.rows.of(row.status).increment(1);
    }
    if row.status != RowStatus::Rejected || mutant::on(Mutant::NoRelease) {
        return;
    }
    let cells: BTreeSet<&CellId> = flow.claimed().collect();
    for cell in cells {
        dead.entry(cell.clone()).or_default().push((i, flow.order()));
    }
}
