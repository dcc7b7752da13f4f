//! Orders of the log's past, or of rows that outlived their verdicts, once more through steps 1 to
//! 6 (PROTOCOL 6.10): a database came back without its last commits.
//!
//! What is there stays as it is; only what is missing is added. Where a row is there, it tells more
//! than the frame: a dead one is never claimed for again, a living one is not aborted. The one move
//! that nothing else makes (INV-9): a pending row whose line is rejected now, because its units
//! were sold again, becomes rejected. The refund of a paid one waits for a person.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::frame::Mode;
use domain::rows::{Trace, Traces};
use domain::{CellId, OrderId, RowStatus};
use mutants::Mutant;
use store::port::{Appended, MAX_ORDERS, RowState};
use store::{LedgerRead, OrdersRead, OrdersWrite, StoreResult};

use crate::batch::{Batch, Flow, Stop};
use crate::process::Processor;
use crate::rewound::Rewound;
use crate::rows::Dead;
use view::DatabasePatience;

/// A database gives no answer, or a cell cannot be written: the same batch again.
pub(crate) struct MustWait(pub String);

impl From<store::StoreError> for MustWait {
    fn from(e: store::StoreError) -> Self {
        MustWait(e.to_string())
    }
}

/// The steps once more, with what rows and ledger know.
pub(crate) struct Again {
    pub rows: Arc<dyn OrdersRead>,
    pub refused: Arc<dyn OrdersWrite>,
    pub ledger: Arc<dyn LedgerRead>,
    pub steps: Processor,
    pub patience: DatabasePatience,
}

impl Again {
    /// The orders of a batch that concern a database. Everything is idempotent: a batch that has to
    /// wait, or a process that dies, begins it again.
    pub(crate) async fn run(
        &self,
        db: u16,
        batch: Batch,
        out: &mut Rewound,
    ) -> Result<(), MustWait> {
        let mut flows: Vec<Flow> =
            batch.flows.into_iter().filter(|f| self.concerns(db, f)).collect();
        if flows.is_empty() {
            return Ok(());
        }
        let rows = self.rows_there(&flows).await?;
        self.prepare(&mut flows, &rows).await?;
        let decided = self.steps.decide.run(&mut flows).await;
        let mut released = self.steps.write_rows(&mut flows).await;
        released.extend(self.refuse(&mut flows, &rows, out).await?);
        self.steps.end(&flows, &decided, released).await;
        out.orders += flows.len() as u64;
        for entry in decided.cells.iter().flat_map(|c| &c.entries) {
            match entry.kind {
                domain::Kind::Claim => out.claimed += 1,
                domain::Kind::Supply
                | domain::Kind::Reject
                | domain::Kind::Release
                | domain::Kind::Return(_)
                | domain::Kind::TransferOut
                | domain::Kind::Flag => out.rejected += 1,
            }
        }
        let mut waits = None;
        for flow in &flows {
            let (order, row) = (flow.order(), rows.get(&flow.order()));
            match &flow.stopped {
                Some(Stop::Database(db)) => waits = Some(format!("database {db}")),
                Some(Stop::Poison(why)) => out.leave(order, why),
                None if row.is_none() => out.rows += 1,
                None => {}
            }
        }
        waits.map_or(Ok(()), |why| Err(MustWait(why)))
    }

    /// True when a line or the row of an order lives on the database.
    fn concerns(&self, db: u16, f: &Flow) -> bool {
        let on_it = |cell: &CellId| self.rows.cell_db(&cell.offer) == db;
        self.rows.order_db(f.order()) == db || f.payload.lines.iter().any(|l| on_it(&l.cell))
    }

    async fn rows_there(&self, flows: &[Flow]) -> StoreResult<HashMap<OrderId, RowState>> {
        let mut by_db: BTreeMap<u16, Vec<OrderId>> = BTreeMap::new();
        for order in flows.iter().map(Flow::order) {
            by_db.entry(self.rows.order_db(order)).or_default().push(order);
        }
        let mut out = HashMap::new();
        for (db, orders) in by_db {
            for piece in orders.chunks(MAX_ORDERS) {
                let states = self.patience.call(db, || self.rows.statuses(db, piece)).await?;
                out.extend(states.into_iter().flatten().map(|s| (s.order, s)));
            }
        }
        Ok(out)
    }

    /// What the ledgers have of the lines of some orders.
    pub(crate) async fn traces(
        &self,
        lines: impl Iterator<Item = (OrderId, &CellId)>,
    ) -> StoreResult<Traces> {
        let mut by_db: BTreeMap<u16, Vec<OrderId>> = BTreeMap::new();
        for (order, cell) in lines {
            by_db.entry(self.rows.cell_db(&cell.offer)).or_default().push(order);
        }
        let mut out = Traces::new();
        for (db, mut orders) in by_db {
            orders.dedup();
            for piece in orders.chunks(MAX_ORDERS) {
                out.extend(self.patience.call(db, || self.ledger.traces(db, piece)).await?);
            }
        }
        Ok(out)
    }

    /// What is known of the orders decides what is asked for them.
    async fn prepare(
        &self,
        flows: &mut [Flow],
        rows: &HashMap<OrderId, RowState>,
    ) -> StoreResult<()> {
        let lines = flows.iter().flat_map(|f| f.payload.lines.iter().map(|l| (f.order(), &l.cell)));
        let traces = self.traces(lines).await?;
        for f in flows {
            let order = f.order();
            let of = |cell: &CellId| traces.get(&(order, cell.clone()));
            f.released = was_released(f.payload.lines.iter().filter_map(|l| of(&l.cell)));
            f.mode = rows.get(&order).map_or(f.mode, |row| mode_of(row, f.mode));
        }
        Ok(())
    }

    /// Living rows whose lines are rejected, or were given back.
    async fn refuse(
        &self,
        flows: &mut [Flow],
        rows: &HashMap<OrderId, RowState>,
        out: &mut Rewound,
    ) -> Result<Vec<Appended>, MustWait> {
        let mut by_db: BTreeMap<u16, Vec<OrderId>> = BTreeMap::new();
        for f in flows.iter().filter(|f| has_no_units(f)) {
            let order = f.order();
            match rows.get(&order).map(|r| r.status) {
                Some(status @ (RowStatus::Pending | RowStatus::Paid)) => {
                    by_db.entry(self.rows.order_db(order)).or_default().push(order);
                    out.owed += u64::from(status == RowStatus::Paid);
                }
                // Its goods are with its buyer: no refund brings others theirs.
                Some(status @ (RowStatus::Shipped | RowStatus::Completed)) => {
                    out.leave(order, &format!("{} and without its units", status.as_str()));
                }
                Some(
                    RowStatus::Refunding
                    | RowStatus::Refunded
                    | RowStatus::Rejected
                    | RowStatus::Cancelled
                    | RowStatus::Expired,
                )
                | None => {}
            }
        }
        let mut moved = Vec::new();
        for (db, orders) in by_db {
            for piece in orders.chunks(MAX_ORDERS) {
                moved.extend(self.patience.call(db, || self.refused.reject(db, piece)).await?);
            }
        }
        out.refused += moved.len() as u64;
        let mut dead = Dead::new();
        for (i, f) in flows.iter().enumerate().filter(|(_, f)| moved.contains(&f.order())) {
            for cell in f.claimed() {
                dead.entry(cell.clone()).or_default().push((i, f.order()));
            }
        }
        Ok(self.steps.settle.release(flows, dead).await)
    }
}

/// Units that went back once are not claimed again: the order lost its key, or was refused.
fn was_released<'a>(mut traces: impl Iterator<Item = &'a Trace>) -> bool {
    if mutants::on(Mutant::RewindLoser) {
        return false;
    }
    traces.any(|t| t.released)
}

/// A row tells more than the frame: a dead one is never claimed for again, a living one is not
/// aborted.
fn mode_of(row: &RowState, asked: Mode) -> Mode {
    if mutants::on(Mutant::RewindDead) && !row.status.is_live() {
        return asked;
    }
    if row.status.is_live() { Mode::Full } else { Mode::Abort }
}

/// INV-9: a row whose line is rejected, or was given back, cannot stay pending.
fn has_no_units(flow: &Flow) -> bool {
    if mutants::on(Mutant::RewindKeeps) {
        return false;
    }
    flow.goes_on() && (flow.is_rejected() || flow.released)
}
