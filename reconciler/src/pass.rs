//! A scheduled pass over the databases whose lease this process gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::CellId;
use domain::drift::DriftKind;
use futures::FutureExt;
use orderlog::port::Partition;
use parking_lot::Mutex;
use runtime::probe::Ready;
use view::HoldStatus;

use crate::cell::{How, is_built};
use crate::lead::{KeptClaim, Turn, lease_of};
use crate::metrics::{self, METRICS};
use crate::rebuild::Built;
use crate::steps::{CELLS, Steps};
use crate::units::Units;
use view::Horizon;

/// Cells that one pass builds; the next goes on.
const BUILT: usize = 50_000;
/// Cells of a database that are known while it is away.
const KNOWN: usize = 100_000;
/// Scheduled passes compare held and b of a cell every so many rounds.
const QUIET_EVERY: u64 = 15;

/// What a pass over a database saw.
#[derive(Default)]
struct Round {
    status: HoldStatus,
    missing: Vec<CellId>,
    /// Its cells were listed, and each of them was compared.
    whole: bool,
}

/// The schedule.
pub(crate) struct Passes {
    pub steps: Arc<Steps>,
    /// Whether rounds have made progress lately.
    pub ready: Ready,
    /// What the last round saw of the holds.
    pub seen: Mutex<HoldStatus>,
    /// The cells of each database as the last pass listed them; bounded.
    known: Mutex<BTreeMap<u16, Vec<CellId>>>,
}

impl Passes {
    /// Nothing is known yet.
    pub(crate) fn new(steps: Arc<Steps>) -> Self {
        Self { steps, ready: Ready::default(), seen: Mutex::default(), known: Mutex::default() }
    }

    fn databases(&self) -> u16 {
        self.steps.ledger.databases()
    }

    /// One scheduled round: the databases whose lease this process gets. `spawn` calls this, and
    /// so do tests, which need no timer.
    pub(crate) async fn round(&self, round: u64) {
        let horizons = &self.steps.horizons;
        let (mains, databases) = (horizons.log.partitions(), self.databases());
        horizons.tick_idle(Partition::of_orders(mains, databases)).await;
        let lead = &self.steps.lead;
        let mut status = HoldStatus::default();
        let mut units = Units::default();
        let mut missing = Vec::new();
        let mut led = Vec::new();
        for db in 0..self.databases() {
            match lead.turn(db).await {
                Turn::Mine => {
                    let lease = lease_of(db);
                    let pass = self.database(db, round, &mut units);
                    let seen = lead.holding(KeptClaim::Lease(&lease), pass).await;
                    status.add(&seen.status);
                    missing.extend(seen.missing);
                    led.push((db, lease, seen.whole));
                }
                Turn::Other => self.stand_by(db, &mut status).await,
                Turn::Unknown => {
                    lead.standing.lock().unknown(db);
                    status.add(&self.watch(db).await);
                }
            }
        }
        let mut build = self.build_missing(missing).boxed();
        for (_, lease, _) in &led {
            build = lead.holding(KeptClaim::Lease(lease), build).boxed();
        }
        build.await;
        for (db, _, whole) in led {
            lead.end_turn(db, whole).await;
        }
        lead.standing.lock().round();
        self.ready.set(lead.standing.lock().is_ready());
        metrics::holds(&status);
        units.show();
        *self.seen.lock() = status;
    }

    /// Another process has this database, or this one lets the others ask first.
    async fn stand_by(&self, db: u16, status: &mut HoldStatus) {
        let able = self.steps.lead.is_able(db).await;
        self.steps.lead.standing.lock().other(db, able);
        if able {
            self.known.lock().remove(&db);
        } else {
            status.add(&self.watch(db).await);
        }
    }

    async fn database(&self, db: u16, round: u64, units: &mut Units) -> Round {
        let how = How { dry_run: false, quiet: round % QUIET_EVERY == QUIET_EVERY - 1 };
        let mut out = Round { whole: true, ..Round::default() };
        let steps = &self.steps;
        let mut horizon = steps.horizons.read().await;
        horizon.iter().for_each(|h| steps.relay.prune(h));
        let mut listed = Vec::new();
        loop {
            let cells = match steps.ledger.cells(db, listed.last(), CELLS).await {
                Ok(cells) => cells,
                Err(e) => {
                    tracing::debug!(db, error = %e, "the pass will be repeated");
                    return Round { status: self.watch(db).await, whole: false, ..out };
                }
            };
            if cells.is_empty() {
                break;
            }
            for (cell, found) in steps.look.run(&cells, how).await {
                let Ok((compared, found)) = found else {
                    out.whole = false;
                    continue;
                };
                units.add(&compared);
                out.status.diverged += u64::from(found.iter().any(|d| !d.applied));
                if found.iter().any(is_built) && out.missing.len() < BUILT {
                    out.missing.push(cell);
                }
            }
            let relayed;
            (horizon, relayed) = self.relay_cells(&cells, horizon, &mut out.status).await;
            out.whole &= relayed;
            listed.extend(cells);
        }
        self.know(db, listed);
        if let Some(horizon) = steps.horizons.fresh(horizon).await {
            // Missing cells are built all the same.
            out.whole &= steps.sweep.run(db, &horizon).await.unwrap_or_else(|e| {
                tracing::debug!(db, error = %e, "the sweeper waits for the next pass");
                false
            });
        }
        if let Err(e) = steps.rows.some(db).await {
            tracing::debug!(db, error = %e, "rows are looked at in the next pass");
            out.whole = false;
        }
        METRICS.passes.increment(1);
        out
    }

    /// Remembers the cells of a database, so that their holds are seen while it is away.
    fn know(&self, db: u16, mut cells: Vec<CellId>) {
        if cells.len() > KNOWN {
            tracing::warn!(db, cells = cells.len(), "holds of the first {KNOWN} cells are watched");
            cells.truncate(KNOWN);
        }
        self.known.lock().insert(db, cells);
    }

    /// What can be seen of the holds while a database, or database 0, does not answer.
    async fn watch(&self, db: u16) -> HoldStatus {
        let known = self.known.lock().get(&db).cloned().unwrap_or_default();
        let mut status = HoldStatus::default();
        for cell in &known {
            if let Err(e) = self.steps.relay.run(cell, None, &mut status).await {
                tracing::debug!(%cell, error = %e, "its holds are not counted");
            }
        }
        status
    }

    async fn build_missing(&self, cells: Vec<CellId>) {
        if cells.is_empty() {
            return;
        }
        tracing::warn!(cells = cells.len(), "building missing cells from the ledger");
        match self.steps.build.missing(&cells).await {
            Ok(Built { cells: built, elsewhere }) => {
                let elsewhere = elsewhere.len();
                tracing::info!(cells = built.len(), elsewhere, "built");
                built
                    .iter()
                    .for_each(|_| METRICS.repairs.of(DriftKind::Missing.repair()).increment(1));
            }
            Err(e) => tracing::warn!(error = %e, "not built, the next pass tries again"),
        }
    }

    /// Answers the horizon that it used last, and whether every cell's turn came.
    async fn relay_cells(
        &self,
        cells: &[CellId],
        mut horizon: Option<Horizon>,
        status: &mut HoldStatus,
    ) -> (Option<Horizon>, bool) {
        let mut whole = true;
        for cell in cells {
            horizon = self.steps.horizons.fresh(horizon).await;
            if let Err(e) = self.steps.relay.run(cell, horizon.as_ref(), status).await {
                tracing::debug!(%cell, error = %e, "relay waits for the next pass");
                whole = false;
            }
        }
        (horizon, whole)
    }
}
