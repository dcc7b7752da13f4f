//! Passes: over one database on schedule, over everything or one offer on demand.

use std::collections::BTreeSet;

use domain::drift::DriftKind;
use domain::{CellId, Flag, OfferId};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use runtime::mutant::{self, Mutant};
use view::{Drift, Followed, HoldStatus, OperateError, Report};

use crate::check::Compared;
use crate::horizon::Horizon;
use crate::lead::{Claim, Turn, lease_of};
use crate::metrics::{self, METRICS, Units};
use crate::rebuild::Built;
use crate::rows::Which;
use crate::{Reconciler, down};

/// Cells that one pass builds; the next goes on.
const BUILT: usize = 50_000;
/// Cells of a database that are known while it is away.
const KNOWN: usize = 100_000;
/// Cells of one page.
const PAGE: u64 = 256;
/// Scheduled passes compare held and b of a cell every so many rounds.
const QUIET_EVERY: u64 = 15;

/// A cell as it was found, and its drift.
type Looked = Result<(Compared, Vec<Drift>), OperateError>;

/// What is looked at in a pass.
#[derive(Debug, Clone, Copy)]
struct How {
    dry_run: bool,
    /// Compare held and b too.
    quiet: bool,
}

/// What a pass over a database saw.
#[derive(Default)]
struct Round {
    status: HoldStatus,
    missing: Vec<CellId>,
    /// Its cells were listed, and each of them was compared.
    whole: bool,
}

impl Reconciler {
    /// One scheduled round: the databases whose lease this process gets. `spawn` calls this, and
    /// so do tests, which need no timer.
    pub async fn scheduled(&self, round: u64) {
        self.tick_idle().await;
        let mut status = HoldStatus::default();
        let mut units = Units::default();
        let mut missing = Vec::new();
        let mut led = Vec::new();
        for db in 0..self.ports.store.databases() {
            match self.turn(db).await {
                Turn::Mine => {
                    let lease = lease_of(db);
                    let pass = self.database(db, round, &mut units);
                    let seen = self.holding(Claim::Lease(&lease), pass).await;
                    status.add(&seen.status);
                    missing.extend(seen.missing);
                    led.push((db, lease, seen.whole));
                }
                Turn::Other => self.stand_by(db, &mut status).await,
                Turn::Unknown => {
                    self.standing.lock().unknown(db);
                    status.add(&self.watch(db).await);
                }
            }
        }
        let mut build = self.build_missing(missing).boxed();
        for (_, lease, _) in &led {
            build = self.holding(Claim::Lease(lease), build).boxed();
        }
        build.await;
        for (db, _, whole) in led {
            self.end_turn(db, whole).await;
        }
        self.standing.lock().round();
        self.ready.set(self.standing.lock().is_ready());
        metrics::holds(&status);
        units.show();
        *self.seen.lock() = status;
    }

    /// Another process has this database, or this one lets the others ask first.
    async fn stand_by(&self, db: u16, status: &mut HoldStatus) {
        let able = self.is_able(db).await;
        self.standing.lock().other(db, able);
        if able {
            self.known.lock().remove(&db);
        } else {
            status.add(&self.watch(db).await);
        }
    }

    async fn database(&self, db: u16, round: u64, units: &mut Units) -> Round {
        let how = How { dry_run: false, quiet: round % QUIET_EVERY == QUIET_EVERY - 1 };
        let mut out = Round { whole: true, ..Round::default() };
        let mut horizon = self.horizon().await;
        horizon.iter().for_each(|h| self.prune_relayed(h));
        let mut listed = Vec::new();
        loop {
            let cells = match self.ports.store.cells(db, listed.last(), PAGE).await {
                Ok(cells) => cells,
                Err(e) => {
                    tracing::debug!(db, error = %e, "the pass will be repeated");
                    return Round { status: self.watch(db).await, whole: false, ..out };
                }
            };
            if cells.is_empty() {
                break;
            }
            for (cell, found) in self.look_at(&cells, how).await {
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
        if let Some(horizon) = self.fresh(horizon).await {
            // Missing cells are built all the same.
            out.whole &= self.sweep(db, &horizon).await.unwrap_or_else(|e| {
                tracing::debug!(db, error = %e, "the sweeper waits for the next pass");
                false
            });
        }
        if let Err(e) = self.some_rows(db).await {
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
            if let Err(e) = self.relay(cell, None, &mut status).await {
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
        match self.rebuild_missing(&cells).await {
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
            horizon = self.fresh(horizon).await;
            if let Err(e) = self.relay(cell, horizon.as_ref(), status).await {
                tracing::debug!(%cell, error = %e, "relay waits for the next pass");
                whole = false;
            }
        }
        (horizon, whole)
    }

    async fn look_at(&self, cells: &[CellId], how: How) -> Vec<(CellId, Looked)> {
        let look = |cell: CellId| async move {
            let found = self.cell(&cell, how).await;
            (cell, found)
        };
        stream::iter(cells.to_vec()).map(look).buffered(self.settings.parallel).collect().await
    }

    /// All cells, or those of an offer; also builds what is missing unless it is a dry run.
    pub(crate) async fn all(
        &self,
        offer: Option<&OfferId>,
        dry_run: bool,
    ) -> Result<Report, OperateError> {
        let how = How { dry_run, quiet: true };
        let mut report = Report::default();
        let only = offer.map(|o| self.ports.store.cell_db(o));
        let dbs = 0..self.ports.store.databases();
        for db in dbs.filter(|db| only.is_none_or(|o| o == *db)) {
            if let Err(e) = self.all_of(db, offer, how, &mut report).await {
                tracing::warn!(db, error = %e, "its cells are not in the report");
                report.unread.push(db);
            }
        }
        if !dry_run {
            self.build(&mut report).await?;
        }
        for db in 0..self.ports.store.databases() {
            if let Err(e) = self.all_rows(db, Which { offer, dry_run }, &mut report).await {
                tracing::warn!(db, error = %e, "its rows are not in the report");
                report.unread.push(db);
            }
        }
        report.unread.sort_unstable();
        report.unread.dedup();
        Ok(report)
    }

    /// The cells of one database, into the report.
    async fn all_of(
        &self,
        db: u16,
        offer: Option<&OfferId>,
        how: How,
        report: &mut Report,
    ) -> Result<(), OperateError> {
        let mut after: Option<CellId> = None;
        loop {
            let page = self.ports.store.cells(db, after.as_ref(), PAGE).await.map_err(down)?;
            let Some(last) = page.last().cloned() else { return Ok(()) };
            after = Some(last);
            let wanted = |c: &CellId| offer.is_none_or(|o| c.offer == *o);
            let cells: Vec<CellId> = page.into_iter().filter(wanted).collect();
            for (cell, found) in self.look_at(&cells, how).await {
                report.cells += 1;
                match found {
                    Ok((_, drift)) => {
                        report.compared += 1;
                        report.drift.extend(drift);
                    }
                    Err(e) => tracing::warn!(%cell, error = %e, "not compared"),
                }
            }
        }
    }

    async fn build(&self, report: &mut Report) -> Result<(), OperateError> {
        let cells: Vec<CellId> =
            report.drift.iter().filter(|d| is_built(d)).map(|d| d.cell.clone()).collect();
        if cells.is_empty() {
            return Ok(());
        }
        let Built { cells: mut built, elsewhere } = self.rebuild_missing(&cells).await?;
        // Somebody was at it already: starting over would only take longer.
        for cell in elsewhere {
            match self.built(&cell).await {
                Ok(()) => built.push(cell),
                Err(e) => tracing::warn!(%cell, error = %e, "another reconciler's build"),
            }
        }
        let built: BTreeSet<CellId> = built.into_iter().collect();
        for d in report.drift.iter_mut().filter(|d| is_built(d)) {
            d.applied = built.contains(&d.cell);
        }
        Ok(())
    }

    /// One cell: compare, and repair what can be repaired at once.
    async fn cell(&self, cell: &CellId, how: How) -> Looked {
        let mut compared = self.compare(cell).await?;
        let mut found = Vec::new();
        if compared.kind == Some(DriftKind::Behind) {
            let w = compared.view.map_or(0, |v| v.totals.seq);
            let late = self.is_late(cell, w).await?;
            let applied = !how.dry_run && self.catch_up(cell).await;
            if late {
                found.push(self.note(&compared, cell, DriftKind::Behind, applied));
            }
            if applied {
                compared = self.compare(cell).await?;
            }
        }
        match compared.kind {
            None | Some(DriftKind::Behind) => {
                found.extend(self.exact(cell, &compared, how).await?);
            }
            Some(kind) => {
                let applied = !how.dry_run && self.repair(cell, kind, &compared).await?;
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
            && let Some(wrong) = self.check_quiet(cell).await?
            && !wrong.drift.is_empty()
        {
            let applied = !how.dry_run && self.mend(cell, wrong.buyers).await?;
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
            && let Some(kind) = self.paused_by(cell).await?
        {
            let over = kind == DriftKind::RepairPause;
            let applied = over && !how.dry_run && self.restore(cell).await?;
            found.push(self.note(compared, cell, kind, applied));
        }
        Ok(found)
    }

    /// True when the repair is complete now. What is built waits for all others of the pass:
    /// one barrier serves them all.
    async fn repair(
        &self,
        cell: &CellId,
        kind: DriftKind,
        compared: &Compared,
    ) -> Result<bool, OperateError> {
        match kind {
            DriftKind::Counters => self.mend(cell, Vec::new()).await,
            DriftKind::Fork if mutant::on(Mutant::ForkKept) => Ok(false),
            DriftKind::Fork => {
                let Some(view) = &compared.view else { return Ok(false) };
                let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
                self.ports.cells.drop_cell(cell, seen, true).await.map_err(down)?;
                Ok(false)
            }
            DriftKind::Missing => Ok(false),
            DriftKind::Ledger => {
                // Once more: a database that lost commits between the two reads looks the same.
                let again = self.compare(cell).await?;
                let stop = again.kind == Some(kind)
                    && (again.head.open == Flag::Open || !again.row_is_sound);
                if stop && !mutant::on(Mutant::NoStop) {
                    self.stop_selling(cell, kind.invariant().unwrap_or_default()).await?;
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
            | DriftKind::RepairPause => Ok(false),
        }
    }
}

/// True for what is built from the ledger: missing, or dropped because it is of another ledger.
fn is_built(d: &Drift) -> bool {
    matches!(d.kind, DriftKind::Missing | DriftKind::Fork)
}
