//! Steps 1 and 2: verdicts. Anchors first, then the other lines one after another.
//!
//! An abort is void once the anchor is claimed; a line after a rejected one is rejected. Asks of
//! one database share transactions (several cells, locked in cell order), because a commit costs
//! the same for one order as for hundreds. A permanent error is bisected down to the order.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::frame::Mode;
use domain::order::RejectReason;
use domain::{CellId, Kind};
use futures::future::{BoxFuture, join_all};
use store::Verdicts;
use store::port::{Ask, CellAsks, CellVerdicts, MAX_CELLS, MAX_ORDERS, Skipped, UnrowedRange};

use crate::batch::{Flow, Stop};
use crate::metrics::METRICS;
use view::DatabasePatience;

/// One line of one flow: indexes into the batch.
#[derive(Debug, Clone)]
struct Want {
    flow: usize,
    line: usize,
    cell: CellId,
}

/// What the verdict steps left for later steps.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    /// New entries per cell, to apply.
    pub cells: Vec<CellVerdicts>,
    /// (cell, flow, seq) of verdicts that existed before: to resolve.
    pub old: Vec<(CellId, usize, u64)>,
    /// Ranges to finish, with the flows that must be complete first.
    pub ranges: Vec<(UnrowedRange, Vec<usize>)>,
}

/// The step.
#[derive(Clone)]
pub(crate) struct Decide {
    pub store: Arc<dyn Verdicts>,
    pub patience: DatabasePatience,
}

impl Decide {
    /// All verdicts of the batch.
    pub(crate) async fn run(&self, flows: &mut [Flow]) -> Decided {
        let mut decided = Decided::default();
        let anchors: Vec<(usize, usize)> =
            flows.iter().enumerate().map(|(i, f)| (i, f.payload.anchor)).collect();
        self.round(flows, anchors, &mut decided).await;
        let most = flows.iter().map(|f| f.payload.lines.len()).max().unwrap_or(0);
        for line in 0..most {
            let others: Vec<(usize, usize)> = flows
                .iter()
                .enumerate()
                .filter(|(_, f)| f.goes_on() && line < f.payload.lines.len())
                .filter(|(_, f)| line != f.payload.anchor)
                .map(|(i, _)| (i, line))
                .collect();
            self.round(flows, others, &mut decided).await;
        }
        decided
    }

    async fn round(&self, flows: &mut [Flow], lines: Vec<(usize, usize)>, out: &mut Decided) {
        let mut by_db: BTreeMap<u16, BTreeMap<CellId, Vec<Want>>> = BTreeMap::new();
        for (flow, line) in lines {
            let cell = flows[flow].payload.lines[line].cell.clone();
            let db = self.store.cell_db(&cell.offer);
            let want = Want { flow, line, cell: cell.clone() };
            by_db.entry(db).or_default().entry(cell).or_default().push(want);
        }
        let shared: &[Flow] = flows;
        let calls = by_db.into_iter().map(|(db, cells)| async move {
            let mut done = Vec::new();
            for group in groups(cells) {
                done.extend(self.transaction(db, group, shared).await);
            }
            done
        });
        let done: Vec<DecidedPart> = join_all(calls).await.into_iter().flatten().collect();
        for part in done {
            settle(flows, part, out);
        }
    }

    /// One transaction; split in two when it fails for ever, down to single orders.
    fn transaction<'a>(
        &'a self,
        db: u16,
        group: Vec<Want>,
        flows: &'a [Flow],
    ) -> BoxFuture<'a, Vec<DecidedPart>> {
        Box::pin(async move {
            let asks = asks(&group, flows);
            match self.patience.call(db, || self.store.verdicts(&asks)).await {
                Ok(cells) => vec![DecidedPart::Done(db, group, cells)],
                Err(e) if e.is_transient() => vec![DecidedPart::Failed(group, Stop::Database(db))],
                Err(e) if group.len() == 1 => {
                    vec![DecidedPart::Failed(group, Stop::Poison(e.to_string()))]
                }
                Err(_) => {
                    let (a, b) = halves(group);
                    let mut parts = self.transaction(db, a, flows).await;
                    parts.extend(self.transaction(db, b, flows).await);
                    parts
                }
            }
        })
    }
}

enum DecidedPart {
    Done(u16, Vec<Want>, Vec<CellVerdicts>),
    Failed(Vec<Want>, Stop),
}

/// Cuts the wants of a database into transactions within the store's bounds; order is kept.
fn groups(cells: BTreeMap<CellId, Vec<Want>>) -> Vec<Vec<Want>> {
    let mut out: Vec<Vec<Want>> = Vec::new();
    let (mut orders, mut in_group) = (MAX_ORDERS, MAX_CELLS);
    for wants in cells.into_values() {
        for piece in wants.chunks(MAX_ORDERS) {
            if orders + piece.len() > MAX_ORDERS || in_group >= MAX_CELLS {
                out.push(Vec::new());
                (orders, in_group) = (0, 0);
            }
            orders += piece.len();
            in_group += 1;
            if let Some(group) = out.last_mut() {
                group.extend_from_slice(piece);
            }
        }
    }
    out
}

fn halves(mut group: Vec<Want>) -> (Vec<Want>, Vec<Want>) {
    let second = group.split_off(group.len() / 2);
    (group, second)
}

/// The wants of a transaction by cell, in the order of the group.
fn asks(group: &[Want], flows: &[Flow]) -> Vec<CellAsks> {
    let mut cells: Vec<CellAsks> = Vec::new();
    for want in group {
        let flow = &flows[want.flow];
        let anchor = want.line == flow.payload.anchor;
        // Lines after the anchor follow what is decided so far: the frame's mode no longer counts.
        let mode = match (anchor, flow.is_rejected()) {
            (true, _) => flow.mode,
            (false, true) => Mode::Abort,
            (false, false) => Mode::Full,
        };
        let ask = Ask {
            order: flow.order(),
            buyer: flow.payload.buyer.clone(),
            qty: flow.payload.lines[want.line].qty,
            mode,
            anchor,
            sealed: flow.sealed.clone(),
        };
        match cells.last_mut() {
            Some(last) if last.cell == want.cell => last.asks.push(ask),
            _ => cells.push(CellAsks { cell: want.cell.clone(), asks: vec![ask] }),
        }
    }
    cells
}

/// What becomes of orders whose cell was left out of its transaction: they wait, unless there is
/// nothing to wait for.
fn skipped(cell: &CellId, db: u16, why: Skipped) -> Stop {
    METRICS.skipped_cells.of(why).increment(1);
    match why {
        Skipped::NoCell => Stop::Poison(format!("the ledger has no cell {cell}")),
        Skipped::Busy | Skipped::Broken => {
            tracing::warn!(%cell, ?why, "its orders wait, those of other cells go on");
            Stop::Database(db)
        }
    }
}

fn settle(flows: &mut [Flow], part: DecidedPart, out: &mut Decided) {
    let (db, group, cells) = match part {
        DecidedPart::Done(db, group, cells) => (db, group, cells),
        DecidedPart::Failed(group, stop) => {
            for want in group {
                flows[want.flow].stopped.get_or_insert(stop.clone());
            }
            return;
        }
    };
    let mut wants = group.into_iter();
    for cell in cells {
        // Wants and cells are in the same order; a cell takes the run of wants that name it.
        let run = wants.as_slice().iter().take_while(|w| w.cell == cell.cell).count();
        let of_cell: Vec<Want> = wants.by_ref().take(run).collect();
        if let Some(why) = cell.skipped {
            let stop = skipped(&cell.cell, db, why);
            for want in &of_cell {
                flows[want.flow].stopped.get_or_insert(stop.clone());
            }
            continue;
        }
        let mut members = Vec::new();
        for (want, verdict) in of_cell.iter().zip(&cell.verdicts) {
            flows[want.flow].verdicts[want.line] = Some(*verdict);
            members.push(want.flow);
            if verdict.fresh {
                METRICS.verdicts.of(verdict.kind).increment(1);
            } else {
                METRICS.redelivered.increment(1);
                out.old.push((cell.cell.clone(), want.flow, verdict.seq));
            }
        }
        if let Some(range) = cell.unrowed.clone() {
            out.ranges.push((range, members));
        }
        out.cells.push(cell);
    }
}

/// Why a row is born rejected.
pub(crate) fn reject_reason(flow: &Flow) -> Option<RejectReason> {
    if !flow.is_rejected() {
        // Claimed and given back: what lost its key.
        return flow.released.then_some(RejectReason::KeyConflict);
    }
    let anchor = flow.verdicts[flow.payload.anchor];
    let anchor_rejected = anchor.is_some_and(|v| v.kind == Kind::Reject);
    Some(RejectReason::of(flow.mode, anchor_rejected))
}
