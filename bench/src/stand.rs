//! What is measured: gate, writer and reconciler in this process over the real stack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use domain::{CampaignId, Identity, Offer, OfferId, Price, Tenant};
use gate::Gate;
use orderlog::port::{Consumer, LogError, OrderLog, Partition, Reader};
use reconciler::Reconciler;
use runtime::{Phase, Tasks};
use store::{Init, Shards, SqlStore, StoreConfig};
use view::Ports;

use crate::config::Config;

/// Which log stands behind the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// Every frame has its receipt at once and nobody reads it.
    Null,
    /// Pulsar, with a writer.
    Real,
}

struct NullLog;

#[async_trait]
impl OrderLog for NullLog {
    fn partitions(&self) -> u16 {
        4
    }
    async fn init(&self, _: u16) -> Result<(), LogError> {
        Ok(())
    }
    async fn ready(&self) -> Result<(), LogError> {
        Ok(())
    }
    async fn publish(&self, _: Partition, _: Bytes) -> Result<(), LogError> {
        Ok(())
    }
    async fn consumer(&self, p: Partition) -> Result<Box<dyn Consumer>, LogError> {
        Err(LogError::Ended(p, "nobody reads this log".into()))
    }
    async fn reader(&self, p: Partition, _: u64) -> Result<Box<dyn Reader>, LogError> {
        Err(LogError::Ended(p, "nobody reads this log".into()))
    }
    async fn backlog(&self) -> Result<u64, LogError> {
        Ok(0)
    }
}

/// One running deployment.
pub(crate) struct Stand {
    /// The buyers' address.
    pub address: SocketAddr,
    /// Its ports.
    pub ports: Ports,
    gate: Arc<Gate>,
    reconciler: Arc<Reconciler>,
    tasks: Tasks,
}

/// An offer of one cell.
pub(crate) fn described(id: &OfferId, units: i64, limit_per_buyer: Option<u32>) -> Offer {
    Offer {
        id: id.clone(),
        campaign: CampaignId::evergreen(&Tenant::default()),
        sku: "bench".to_owned(),
        price: Price { currency: "EUR".to_owned(), minor: 1999 },
        allotment: units,
        limit_per_buyer,
        buckets: 1,
        policy: Default::default(),
    }
}

/// The store of a configuration.
pub(crate) fn store(config: &Config) -> Result<SqlStore> {
    let cfg = StoreConfig::of(&config.store, Duration::from_secs(10));
    let identity = Identity::new(config.identity_secret.as_bytes());
    Ok(SqlStore::new(&cfg, identity, runtime::clock::system_clock())?)
}

/// Ports with a topic prefix of their own, so that a bench never reads a product's orders.
pub(crate) async fn ports(config: &Config, kind: LogKind, tasks: &Tasks) -> Result<Ports> {
    let clock = runtime::clock::system_clock();
    let store = Arc::new(store(config)?);
    let identity = Identity::new(config.identity_secret.as_bytes());
    store.init(&identity.fingerprint_hex()).await?;
    let log: Arc<dyn OrderLog> = match kind {
        LogKind::Null => Arc::new(NullLog),
        LogKind::Real => real_log(config, tasks, store.databases()).await?,
    };
    let cells = cells::fred::connect(&config.cells, &cells::fred::Tuning::default()).await?;
    let unique = runtime::unique::random();
    Ok(Ports { cells: Arc::new(cells), store, log, identity, clock, unique })
}

#[cfg(feature = "pulsar")]
async fn real_log(config: &Config, tasks: &Tasks, databases: u16) -> Result<Arc<dyn OrderLog>> {
    let mut log = config.log.clone();
    log.topic_prefix = format!("bench-{:08x}", runtime::unique::random().next() as u32);
    let timeout = Duration::from_secs(3);
    let clock = runtime::clock::system_clock();
    let log = orderlog::PulsarLog::connect(&log, databases, timeout, tasks, clock).await?;
    log.init(databases).await?;
    Ok(log)
}

#[cfg(not(feature = "pulsar"))]
async fn real_log(_: &Config, _: &Tasks, _: u16) -> Result<Arc<dyn OrderLog>> {
    Err(anyhow::anyhow!("this row needs Pulsar: build with --features pulsar"))
}

impl Stand {
    pub(crate) async fn start(config: &Config, kind: LogKind) -> Result<Self> {
        let tasks = Tasks::new();
        let ports = ports(config, kind, &tasks).await?;
        if kind == LogKind::Real {
            writer::spawn(&tasks, &ports.writer(), &(&config.writer).into());
        }
        let settings = config.of_reconciler();
        let reconciler = Reconciler::new(&ports.reconciler(), &settings);
        let calls = life::http::HttpProviders::new(ports.clock.clone());
        let gate = Gate::new(&config.gate, ports.gate(), calls, &tasks)?;
        gate.start().await?;
        let listener = web::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        gate::listen(&gate, listener);
        gate.set_ready();
        Ok(Self { address, ports, gate, reconciler, tasks })
    }

    /// A new offer that every gate knows when this returns.
    pub(crate) async fn offer(&self, units: i64) -> Result<String> {
        let id = self.quick_offer(units).await?;
        self.refresh().await?;
        Ok(id)
    }

    /// A new offer; call [`Stand::refresh`] after the last one.
    pub(crate) async fn quick_offer(&self, units: i64) -> Result<String> {
        let name = format!("bench-{:016x}", self.ports.unique.next());
        let id: OfferId = name.parse()?;
        let offer = described(&id, units, None);
        let Ports { store, identity, .. } = &self.ports;
        store.put_offer(&offer).await?;
        view::open_offer(&**store, identity, &*self.reconciler, &offer).await?;
        Ok(name)
    }

    pub(crate) async fn refresh(&self) -> Result<()> {
        tokio::time::sleep(view::POLL * 3).await;
        Ok(())
    }

    /// Waits until the writer has finished everything.
    pub(crate) async fn drained(&self) -> Result<()> {
        for _ in 0..1200 {
            if self.ports.log.backlog().await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ensure!(false, "the writer did not finish within 120 s");
        Ok(())
    }

    pub(crate) async fn stop(self) {
        for phase in [Phase::StopAccept, Phase::FlushLog, Phase::ClosePools] {
            self.tasks.enter(phase);
        }
        self.tasks.wait(Duration::from_secs(3)).await;
        drop(self.gate);
    }
}
