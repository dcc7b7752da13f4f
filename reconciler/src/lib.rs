//! The reconciler: compares Redis with the ledger at the same watermark and repairs what drifted;
//! publishes again what a dead gate or a lossy log left behind; builds cells again after a loss.
//!
//! Any number may run; leases spread the work, safety never needs them. Every step may be killed
//! anywhere: it only adds facts that are missing or calls a script that compares first. Slow is
//! not dead: a hold is touched only once the log is finished past it (PROTOCOL 6.5). Absent: any
//! decision about an order; the ledger decides.

mod cell;
mod check;
mod demand;
mod down;
mod lead;
mod metrics;
mod money;
mod pass;
mod publish;
mod quiet;
mod rebuild;
mod relay;
mod relayed;
mod repair;
mod rows;
mod scan;
mod settings;
mod steps;
mod sweep;
mod units;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cells::port::Changed;
use domain::{CellId, OfferId};
use runtime::probe::Ready;
use runtime::unique::Unique;
use runtime::{Phase, Tasks};
use view::{HoldStatus, OperateError, Reconcile, ReconcilerPorts, Report};

use demand::Demand;
use down::down;
use lead::KeptClaim;
use pass::Passes;
use steps::Steps;

pub use settings::{ReconcilerConfig, ReconcilerSettings};

/// What the reconciler counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::ReconcilerMetrics::DESCRIBED;

/// One reconciler; share it.
pub struct Reconciler {
    steps: Arc<Steps>,
    passes: Passes,
    unique: Arc<dyn Unique>,
    interval: Duration,
    money_interval: Duration,
}

impl Reconciler {
    /// Over its ports.
    pub fn new(ports: &ReconcilerPorts, settings: &ReconcilerSettings) -> Arc<Self> {
        let steps = Arc::new(Steps::over(ports, settings));
        Arc::new(Self {
            passes: Passes::new(steps.clone()),
            steps,
            unique: ports.unique.clone(),
            interval: settings.interval,
            money_interval: settings.money_interval,
        })
    }

    /// Says whether rounds have made progress lately: the answer of `/readyz`.
    pub fn ready(&self) -> Ready {
        self.passes.ready.clone()
    }

    /// One scheduled round: the databases whose lease this process gets. [`Self::spawn`] calls
    /// this, and so do tests, which need no timer.
    pub async fn scheduled(&self, round: u64) {
        self.passes.round(round).await;
    }

    /// Passes on schedule, with jitter, until `FlushLog`.
    pub fn spawn(self: &Arc<Self>, tasks: &Tasks) {
        let (me, t) = (self.clone(), tasks.clone());
        tasks.spawn_loop("reconciler", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.rounds(&t).await }
        });
    }

    /// Looks at all money, time and again, until `FlushLog`: beside the passes, which it never
    /// holds up.
    pub fn spawn_money(self: &Arc<Self>, tasks: &Tasks) {
        let (me, t) = (self.clone(), tasks.clone());
        tasks.spawn_loop("money", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.looks_at_money(&t).await }
        });
    }

    /// Adds up the money of each database whose sums are so old, unless another process is at it.
    pub async fn add_up(&self, age: Duration) {
        for db in 0..self.steps.ledger.databases() {
            if let Err(e) = self.add_up_one(db, age).await {
                tracing::warn!(db, error = %e, "its money is added up the next time");
            }
        }
    }

    async fn add_up_one(&self, db: u16, age: Duration) -> Result<(), OperateError> {
        let (money, lead) = (&self.steps.money, &self.steps.lead);
        if !money.is_due(db, age).await? {
            return Ok(());
        }
        let lease = format!("money:{db}");
        if !lead.try_lease(&lease).await {
            return Ok(());
        }
        lead.holding(KeptClaim::Lease(&lease), money.run(db)).await
    }

    async fn looks_at_money(&self, t: &Tasks) {
        loop {
            if t.unless(Phase::FlushLog, self.add_up(self.money_interval)).await.is_none() {
                return;
            }
            // Others look as well: whoever finds the sums old enough makes them anew.
            let pause = tokio::time::sleep(self.money_interval / 4);
            if t.unless(Phase::FlushLog, pause).await.is_none() {
                return;
            }
        }
    }

    async fn rounds(&self, t: &Tasks) {
        for round in 0.. {
            let jitter = self.interval.mul_f64((self.unique.next() % 1000) as f64 / 4000.0);
            let pause = tokio::time::sleep(self.interval + jitter);
            if t.unless(Phase::FlushLog, pause).await.is_none() {
                return;
            }
            if t.unless(Phase::FlushLog, self.scheduled(round)).await.is_none() {
                return;
            }
        }
    }
}

#[async_trait]
impl Reconcile for Reconciler {
    async fn reconcile(
        &self,
        offer: Option<&OfferId>,
        dry_run: bool,
    ) -> Result<Report, OperateError> {
        Demand(self.steps.clone()).run(offer, dry_run).await
    }

    async fn rebuild(&self, cell: &CellId) -> Result<(), OperateError> {
        self.steps.build.living(cell).await
    }

    async fn first_ticket(&self, cells: &[CellId]) -> Result<Option<String>, OperateError> {
        let ticket = format!("{:016x}", self.unique.next());
        let respect = Some(self.steps.lead.lease_ms());
        for cell in cells {
            let taken = self.steps.cells.take_ticket(cell, &ticket, respect).await;
            if taken.map_err(down)? != Changed::Ok {
                return Ok(None);
            }
        }
        Ok(Some(ticket))
    }

    async fn first_load(&self, cells: &[CellId], ticket: &str) -> Result<(), OperateError> {
        for cell in cells {
            self.steps.build.load(cell, ticket).await?;
        }
        Ok(())
    }

    fn holds(&self) -> HoldStatus {
        *self.passes.seen.lock()
    }
}
