//! The gate's state: ports, combiners, caches. One per process, shared by all connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use cells::port::Wait;
use contract::Reason;
use domain::{CellId, Offer, OrderId};
use life::calls::ProviderCalls;
use runtime::probe::Ready;
use runtime::{Phase, Tasks};
use view::{CatalogCache, GatePorts};
use web::Tokens;

use crate::config::{GateConfig, GateSettings};
use crate::entry::admission::Admission;
use crate::pay::tell::TellLives;
use crate::sale::emit::Emit;
use crate::sale::reserve::Reserve;
use crate::show::stock::Stocks;
use crate::show::wait::Waiters;

/// Why a gate could not be made: a line for the operator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Starting(pub String);

/// One gate.
pub struct Gate {
    pub(crate) cfg: GateConfig,
    pub(crate) ports: GatePorts,
    pub(crate) tasks: Tasks,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) admission: Admission,
    pub(crate) catalog: Arc<CatalogCache>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) emit: Arc<Emit>,
    pub(crate) tell: Arc<TellLives>,
    pub(crate) calls: Arc<dyn ProviderCalls>,
    pub(crate) stocks: Stocks,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) connections: AtomicIsize,
    ready: Ready,
}

impl Gate {
    /// Makes a gate over its ports; `calls` is how it opens sessions at providers. It answers
    /// `starting` until [`Gate::set_ready`].
    pub fn new(
        config: &GateSettings,
        ports: GatePorts,
        calls: Arc<dyn ProviderCalls>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, Starting> {
        let clock = ports.clock.clone();
        let tokens = Tokens::new(&config.auth, &config.admin_token, clock).map_err(Starting)?;
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
        let receipt = config.publish.times().timeout;
        let databases = ports.store.databases();
        let tell = TellLives::new(ports.log.clone(), databases, receipt, tasks.clone());
        let waiters = Waiters::new(ports.store.clone(), config.gate.max_waiters);
        Ok(Arc::new(Self {
            cfg: config.gate.clone(),
            tokens: Arc::new(tokens),
            admission: Admission::new(&config.limits),
            reserve: Arc::new(reserve),
            emit,
            tell,
            calls,
            stocks: Stocks::default(),
            waiters,
            catalog,
            ports,
            tasks: tasks.clone(),
            connections: Default::default(),
            ready: Ready::default(),
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
        self.ready.set(true);
    }

    /// True while requests are served and more should come.
    pub fn is_ready(&self) -> bool {
        self.is_open() && self.tasks.phase() == Phase::Running
    }

    /// Why requests are not served now.
    pub(crate) fn not_serving(&self) -> Reason {
        if self.is_open() { Reason::Draining } else { Reason::Starting }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.ready.get()
    }

    /// The tokens of this deployment.
    pub fn tokens(&self) -> &Arc<Tokens> {
        &self.tokens
    }

    /// What it knows of offers.
    pub fn catalog(&self) -> &Arc<CatalogCache> {
        &self.catalog
    }

    /// What a hold waits for before it is taken for one; `None`: nothing.
    pub fn wait(&self) -> Option<Wait> {
        self.reserve.wait
    }

    /// Whether it is ready.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// True while buyers are connected.
    pub fn has_connections(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }

    /// True when every accepted hold has its receipt or its answer.
    pub fn is_flushed(&self) -> bool {
        self.emit.is_idle() && self.tell.is_idle()
    }

    /// The database of an order's row.
    pub(crate) fn order_db(&self, order: OrderId) -> u16 {
        self.ports.store.order_db(order)
    }

    /// The buyer's cell of an offer.
    pub(crate) fn cell_of(&self, offer: &Offer, buyer: &domain::Buyer) -> CellId {
        offer.id.cell(self.ports.identity.bucket(buyer, offer.buckets))
    }
}
