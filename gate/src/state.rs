//! The gate's state: ports, combiners, caches. One per process, shared by all connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{CellId, Offer};
use runtime::config::GateConfig;
use runtime::{Config, Phase, Tasks};
use view::{CatalogCache, Ports};

use crate::admission::Admission;
use crate::auth::Tokens;
use crate::emit::Emit;
use crate::offers::Offers;
use crate::reserve::Reserve;
use crate::wait::Waiters;

/// Why a gate could not be made: a line for the operator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Starting(pub String);

/// One gate.
pub struct Gate {
    pub(crate) cfg: GateConfig,
    pub(crate) ports: Ports,
    pub(crate) tasks: Tasks,
    pub(crate) tokens: Tokens,
    pub(crate) admission: Admission,
    pub(crate) catalog: Arc<CatalogCache>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) emit: Arc<Emit>,
    pub(crate) offers: Offers,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) requests: crate::metrics::Requests,
    pub(crate) connections: std::sync::atomic::AtomicUsize,
    ready: AtomicBool,
}

impl Gate {
    /// Makes a gate over its ports; it answers `starting` until [`Gate::set_ready`].
    pub fn new(config: &Config, ports: Ports, tasks: &Tasks) -> Result<Arc<Self>, Starting> {
        crate::metrics::describe();
        let clock = ports.clock.clone();
        let tokens = Tokens::new(&config.auth, &config.admin.token, clock).map_err(Starting)?;
        let catalog = CatalogCache::new(ports.store.clone());
        let emit = Emit::new(ports.log.clone(), config.publish.clone(), tasks.clone());
        let emit = Arc::new(emit);
        let reserve = Reserve::new(
            ports.cells.clone(),
            emit.clone(),
            ports.identity.clone(),
            config.reserve.clone(),
            tasks.clone(),
        );
        let waiters = Waiters::new(ports.store.clone(), config.gate.max_waiters);
        Ok(Arc::new(Self {
            cfg: config.gate.clone(),
            tokens,
            admission: Admission::new(&config.limits),
            reserve: Arc::new(reserve),
            emit,
            offers: Offers::default(),
            waiters,
            requests: Default::default(),
            catalog,
            ports,
            tasks: tasks.clone(),
            connections: Default::default(),
            ready: AtomicBool::new(false),
        }))
    }

    /// Reads the catalog and starts the background tasks.
    pub async fn start(&self) -> Result<(), Starting> {
        self.catalog.refresh().await.map_err(|e| Starting(e.to_string()))?;
        self.catalog.spawn(&self.tasks);
        self.waiters.spawn(&self.tasks);
        Ok(())
    }

    /// From now on requests are served.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// True while requests are served and more should come.
    pub fn is_ready(&self) -> bool {
        self.is_open() && self.tasks.phase() == Phase::Running
    }

    pub(crate) fn is_open(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The tokens of this deployment.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// True while buyers are connected.
    pub fn has_connections(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }

    /// True when every accepted hold has its receipt or its answer.
    pub fn is_flushed(&self) -> bool {
        self.emit.is_idle()
    }

    /// The buyer's cell of an offer.
    pub(crate) fn cell_of(&self, offer: &Offer, buyer: &domain::Buyer) -> CellId {
        offer.id.cell(self.ports.identity.bucket(buyer, offer.buckets))
    }
}
