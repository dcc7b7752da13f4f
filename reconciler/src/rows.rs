//! Order rows against the ledger of their lines (INV-5, INV-6): what a database that lost commits
//! leaves behind.
//!
//! A row is written after its verdicts, so a living row without them is no order that is on its
//! way. It is published again as the row has it; the ledger then grants it or not. A row that it
//! does not grant stays until an operator's rewind. A scheduled pass looks at a few pages of each
//! database and goes on where it was, so the whole is seen again and again at a small cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::drift::DriftKind;
use domain::frame::{Item, Mode, Sealed};
use domain::rows::{self, Trace, Traces};
use domain::{CellId, Giveback, OfferId, OrderId};
use mutants::Mutant;
use parking_lot::Mutex;
use store::port::{KeptRow, MAX_ORDERS};
use store::{LedgerRead, LedgerWrite, Marks, OrdersRead};
use tokio::time::Instant;
use view::{Drift, Follow, OperateError, Report};

use crate::down::down;
use crate::metrics;
use crate::metrics::METRICS;
use crate::publish::Republish;

/// Pages of a scheduled pass over a database.
const PAGES: usize = 2;
/// Orders that a line of a report names.
const NAMED: usize = 3;

/// What is looked at, and whether anything is done about it.
#[derive(Clone, Copy)]
pub(crate) struct Which<'a> {
    pub offer: Option<&'a OfferId>,
    pub dry_run: bool,
}

/// Rows of a cell that have the same fault.
type RowFaults = BTreeMap<(CellId, DriftKind), Vec<KeptRow>>;

/// The step.
pub(crate) struct Rows {
    pub orders: Arc<dyn OrdersRead>,
    pub ledger: Arc<dyn LedgerRead>,
    pub entries: Arc<dyn LedgerWrite>,
    pub marks: Arc<dyn Marks>,
    pub follow: Follow,
    pub publish: Arc<Republish>,
    /// Releases of a dead row may take as long (Y).
    pub settle: Duration,
    /// How far the rows of each database were looked at; may be lost.
    pub looked: Mutex<BTreeMap<u16, OrderId>>,
    /// When rows that had lost their claims were published again, per cell; may be lost.
    pub claiming: Mutex<HashMap<CellId, Instant>>,
}

/// A page of rows that was looked at.
struct RowsSeen {
    rows: u64,
    drift: Vec<Drift>,
    next: Option<OrderId>,
}

impl Rows {
    /// The next pages of a database, on schedule.
    pub(crate) async fn some(&self, db: u16) -> Result<(), OperateError> {
        let all = Which { offer: None, dry_run: false };
        for _ in 0..PAGES {
            let after = self.looked.lock().get(&db).copied();
            let next = self.page(db, after, all).await?.next;
            let mut looked = self.looked.lock();
            match next {
                Some(at) => looked.insert(db, at),
                None => looked.remove(&db),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// All rows of a database, into the report.
    pub(crate) async fn all(
        &self,
        db: u16,
        which: Which<'_>,
        report: &mut Report,
    ) -> Result<(), OperateError> {
        let mut after = None;
        loop {
            let page = self.page(db, after, which).await?;
            report.rows += page.rows;
            report.drift.extend(page.drift);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(
        &self,
        db: u16,
        after: Option<OrderId>,
        which: Which<'_>,
    ) -> Result<RowsSeen, OperateError> {
        let page = self.orders.kept_rows(db, after, MAX_ORDERS as u64).await.map_err(down)?;
        let wanted =
            |r: &KeptRow| which.offer.is_none_or(|o| r.cells.iter().any(|c| c.offer == *o));
        let rows: Vec<KeptRow> = page.rows.into_iter().filter(wanted).collect();
        let looked = rows.len() as u64;
        let traces = self.traces(&rows).await?;
        let mut found = RowFaults::new();
        for row in rows {
            if let Some(kind) = fault(&row, &traces)
                && let Some(cell) = row.cells.first().cloned()
            {
                found.entry((cell, kind)).or_default().push(row);
            }
        }
        let mut drift = Vec::new();
        for ((cell, kind), rows) in found {
            drift.extend(self.tell(cell, kind, rows, which.dry_run).await?);
        }
        Ok(RowsSeen { rows: looked, drift, next: page.next })
    }

    /// What the ledgers say of these rows' lines. The rows were read before: their verdicts, which
    /// are older, are seen.
    async fn traces(&self, rows: &[KeptRow]) -> Result<Traces, OperateError> {
        let mut by_db: BTreeMap<u16, Vec<OrderId>> = BTreeMap::new();
        for row in rows {
            let dbs = row.cells.iter().map(|c| self.ledger.cell_db(&c.offer));
            for db in dbs.collect::<BTreeSet<_>>() {
                by_db.entry(db).or_default().push(row.order);
            }
        }
        let mut out = Traces::new();
        for (db, orders) in by_db {
            out.extend(self.ledger.traces(db, &orders).await.map_err(down)?);
        }
        Ok(out)
    }

    /// Repairs what can be repaired here, and says what was found.
    async fn tell(
        &self,
        cell: CellId,
        kind: DriftKind,
        rows: Vec<KeptRow>,
        dry_run: bool,
    ) -> Result<Option<Drift>, OperateError> {
        let rows = match kind == DriftKind::RowUnreleased {
            true => self.settled(rows).await?,
            false => rows,
        };
        if rows.is_empty() {
            return Ok(None);
        }
        let ids: Vec<OrderId> = rows.iter().map(|r| r.order).collect();
        let applied = !dry_run && self.repair_rows(kind, rows).await?;
        metrics::drift(kind);
        if applied {
            METRICS.repairs.of(kind.repair()).increment(1);
        }
        let names: Vec<String> = ids.iter().take(NAMED).map(OrderId::to_string).collect();
        let more = if ids.len() > NAMED { ", ..." } else { "" };
        let ledger = format!("{} orders: {}{more}", ids.len(), names.join(", "));
        tracing::error!(
            %cell, kind = kind.as_str(), repair = kind.repair().as_str(), applied, orders = ledger,
            "rows that the ledger does not bear out; see `A database lost commits` in \
             docs/operations.md"
        );
        let (repair, redis) = (kind.repair(), "not compared".to_owned());
        Ok(Some(Drift { cell, kind, ledger, redis, repair, applied }))
    }

    /// Without those that died a moment ago: their releases are on the way.
    async fn settled(&self, rows: Vec<KeptRow>) -> Result<Vec<KeptRow>, OperateError> {
        let now = self.marks.now_ms().await.map_err(down)?;
        let y = self.settle.as_millis() as u64;
        Ok(rows.into_iter().filter(|r| r.updated_ms + y < now).collect())
    }

    async fn repair_rows(&self, kind: DriftKind, rows: Vec<KeptRow>) -> Result<bool, OperateError> {
        match kind {
            DriftKind::RowUnclaimed => {
                let all = rows.len();
                let fitting = self.fitting(rows).await?;
                let whole = fitting.len() == all;
                self.publish_rows(fitting).await?;
                Ok(whole)
            }
            DriftKind::RowUnreleased => self.release(rows).await,
            DriftKind::Missing
            | DriftKind::Behind
            | DriftKind::Fork
            | DriftKind::Counters
            | DriftKind::Held
            | DriftKind::Buyers
            | DriftKind::Phantom
            | DriftKind::LostHold
            | DriftKind::RepairPause
            | DriftKind::RowRefused
            | DriftKind::RowReturned
            | DriftKind::Ledger => Ok(false),
        }
    }

    /// INV-6: what a dead row had claimed goes back.
    async fn release(&self, rows: Vec<KeptRow>) -> Result<bool, OperateError> {
        if mutants::on(Mutant::NoRelease) {
            return Ok(false);
        }
        let mut by_cell: BTreeMap<CellId, Vec<Giveback>> = BTreeMap::new();
        for row in rows {
            row.cells.into_iter().for_each(|c| {
                by_cell.entry(c).or_default().push(Giveback::release(row.order));
            });
        }
        let mut all = true;
        for (cell, gives) in by_cell {
            let given = self.entries.give_back(&cell, &gives).await.map_err(down)?;
            self.follow.apply(&given.appended).await;
            all &= given.refused.is_empty();
        }
        Ok(all)
    }

    /// Those for which their cells have units. A claim that does not fit is rejected for ever, and
    /// supply may be what the database lost: until an operator has repeated it, the others wait.
    /// What was published a moment ago has not claimed its units yet, so its cells wait as well.
    async fn fitting(&self, rows: Vec<KeptRow>) -> Result<Vec<Sealed>, OperateError> {
        let mut rooms: BTreeMap<CellId, i64> = BTreeMap::new();
        let mut out = Vec::new();
        for sealed in rows.into_iter().filter_map(|r| r.sealed) {
            let lines = domain::Payload::decode(&sealed.payload).map_err(down)?.lines;
            for line in &lines {
                if !rooms.contains_key(&line.cell) {
                    let room = self.room(&line.cell).await?;
                    rooms.insert(line.cell.clone(), room);
                }
            }
            let room = |cell: &CellId| rooms.get(cell).copied().unwrap_or_default();
            if lines.iter().all(|l| i64::from(l.qty) <= room(&l.cell)) {
                for line in lines {
                    *rooms.entry(line.cell.clone()).or_default() -= i64::from(line.qty);
                    self.claiming.lock().insert(line.cell, Instant::now());
                }
                out.push(sealed);
            }
        }
        Ok(out)
    }

    async fn room(&self, cell: &CellId) -> Result<i64, OperateError> {
        {
            let mut claiming = self.claiming.lock();
            claiming.retain(|_, at| at.elapsed() < self.settle);
            if claiming.contains_key(cell) {
                return Ok(0);
            }
        }
        let head = self.ledger.head(cell).await.map_err(down)?.unwrap_or_default();
        Ok(head.supply - head.net)
    }

    async fn publish_rows(&self, all: Vec<Sealed>) -> Result<(), OperateError> {
        let mut items = Vec::with_capacity(all.len());
        for sealed in all {
            let payload = domain::Payload::decode(&sealed.payload).map_err(down)?;
            items.push((self.publish.home(&payload), Item::Order(Mode::Full, sealed)));
        }
        self.publish.run(items, None).await
    }
}

fn fault(row: &KeptRow, traces: &Traces) -> Option<DriftKind> {
    let of = |c: &CellId| traces.get(&(row.order, c.clone())).copied().unwrap_or_default();
    let lines: Vec<Trace> = row.cells.iter().map(of).collect();
    rows::compare(row.status, &lines)
}
