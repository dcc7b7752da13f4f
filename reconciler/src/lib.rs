//! The reconciler: compares Redis with the ledger at the same watermark and repairs what drifted;
//! publishes again what a dead gate or a lossy log left behind; builds cells again after a loss.
//!
//! Any number may run; leases spread the work, safety never needs them. Every step may be killed
//! anywhere: it only adds facts that are missing or calls a script that compares first. Slow is
//! not dead: a hold is touched only once the log is finished past it (PROTOCOL 6.5). Absent: any
//! decision about an order; the ledger decides.

mod check;
mod holds;
mod horizon;
mod lead;
mod metrics;
mod pass;
mod quiet;
mod rebuild;
mod relay;
mod relayed;
mod repair;
mod rows;
mod sweep;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cells::port::Changed;
use domain::{CellId, OfferId, OrderId};
use parking_lot::Mutex;
use runtime::config::{PublishConfig, ReconcilerConfig};
use runtime::probe::Ready;
use runtime::{Phase, Tasks};
use store::port::UnrowedRange;
use tokio::time::Instant;
use view::{Follow, HoldStatus, OperateError, Reconcile, ReconcilerPorts, Report};

/// What the reconciler counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::ReconcilerMetrics::DESCRIBED;

/// What a reconciler needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two passes.
    pub interval: Duration,
    /// X.
    pub relay_after: Duration,
    /// Y.
    pub sweep_after: Duration,
    /// Cells worked on at once.
    pub parallel: usize,
    /// How long a lease on a database's cells lasts.
    pub lease: Duration,
    /// Rounds without progress after which a lease is given up.
    pub give_up_after: u32,
    /// Ledger entries and holds beyond which held and b of a cell are not compared.
    pub compare_most: u64,
    /// Orders published again that may be on their way to a writer at once.
    pub relay_most: usize,
}

impl From<&ReconcilerConfig> for Settings {
    fn from(c: &ReconcilerConfig) -> Self {
        Self {
            interval: Duration::from_millis(c.interval_ms),
            relay_after: Duration::from_millis(c.relay_after_ms),
            sweep_after: Duration::from_millis(c.sweep_after_ms),
            parallel: c.parallel,
            lease: Duration::from_millis(c.lease_ms),
            give_up_after: c.give_up_after,
            compare_most: c.compare_most,
            relay_most: c.relay_most,
        }
    }
}

/// One reconciler; share it.
pub struct Reconciler {
    pub(crate) ports: ReconcilerPorts,
    pub(crate) follow: Follow,
    pub(crate) settings: Settings,
    /// A gate may still publish a hold this long after it was made (PROTOCOL 6.9's wait).
    pub(crate) settle: Duration,
    /// The relay publishes what it saw at most this long ago.
    pub(crate) max_age: Duration,
    pub(crate) publish_timeout: Duration,
    pub(crate) holder: String,
    pub(crate) seen: Mutex<HoldStatus>,
    /// What this process published again; bounded, may be lost.
    pub(crate) relayed: Mutex<relayed::Relayed>,
    pub(crate) standing: Mutex<lead::Standing>,
    /// The cells of each database as the last pass listed them; bounded.
    pub(crate) known: Mutex<BTreeMap<u16, Vec<CellId>>>,
    /// Ranges without rows whose time lies in the future, and when each was seen first.
    pub(crate) ahead: Mutex<BTreeMap<u16, HashMap<UnrowedRange, u64>>>,
    /// How far the rows of each database were looked at; may be lost.
    pub(crate) looked: Mutex<BTreeMap<u16, OrderId>>,
    /// When rows that had lost their claims were published again, per cell; may be lost.
    pub(crate) claiming: Mutex<HashMap<CellId, Instant>>,
    /// Held while the buyers of a large cell are in memory.
    pub(crate) large: tokio::sync::Mutex<()>,
    pub(crate) ready: Ready,
}

impl Reconciler {
    /// Over its ports; `publish` tells how long a gate may take to publish a hold.
    pub fn new(ports: ReconcilerPorts, settings: Settings, publish: &PublishConfig) -> Arc<Self> {
        let max_age = Duration::from_millis(publish.max_age_ms);
        let publish_timeout = Duration::from_millis(publish.timeout_ms);
        let relayed = relayed::Relayed::new(settings.relay_most, ports.store.databases());
        Arc::new(Self {
            follow: Follow::new(ports.store.clone(), ports.cells.clone(), ports.identity.clone()),
            holder: format!("{:016x}", ports.unique.next()),
            seen: Mutex::default(),
            relayed: Mutex::new(relayed),
            standing: Mutex::new(lead::Standing::new(settings.give_up_after)),
            known: Mutex::default(),
            ahead: Mutex::default(),
            looked: Mutex::default(),
            claiming: Mutex::default(),
            large: tokio::sync::Mutex::default(),
            ready: Ready::default(),
            ports,
            settings,
            settle: max_age + publish_timeout,
            max_age,
            publish_timeout,
        })
    }

    /// Says whether rounds have made progress lately: the answer of `/readyz`.
    pub fn ready(&self) -> Ready {
        self.ready.clone()
    }

    /// Passes on schedule, with jitter, until `FlushLog`.
    pub fn spawn(self: &Arc<Self>, tasks: &Tasks) {
        let (me, t) = (self.clone(), tasks.clone());
        tasks.spawn_loop("reconciler", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.rounds(&t).await }
        });
    }

    async fn rounds(&self, t: &Tasks) {
        for round in 0.. {
            let interval = self.settings.interval;
            let jitter = interval.mul_f64((self.ports.unique.next() % 1000) as f64 / 4000.0);
            let pause = tokio::time::sleep(interval + jitter);
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
        self.all(offer, dry_run).await
    }

    async fn rebuild(&self, cell: &CellId) -> Result<(), OperateError> {
        self.rebuild_living(cell).await
    }

    async fn first_ticket(&self, cells: &[CellId]) -> Result<Option<String>, OperateError> {
        let ticket = format!("{:016x}", self.ports.unique.next());
        let respect = Some(self.settings.lease.as_millis() as u64);
        for cell in cells {
            let taken = self.ports.cells.take_ticket(cell, &ticket, respect).await;
            if taken.map_err(down)? != Changed::Ok {
                return Ok(None);
            }
        }
        Ok(Some(ticket))
    }

    async fn first_load(&self, cells: &[CellId], ticket: &str) -> Result<(), OperateError> {
        for cell in cells {
            self.load(cell, ticket).await?;
        }
        Ok(())
    }

    fn holds(&self) -> HoldStatus {
        *self.seen.lock()
    }
}

pub(crate) fn down(e: impl std::fmt::Display) -> OperateError {
    OperateError::Down(e.to_string())
}
