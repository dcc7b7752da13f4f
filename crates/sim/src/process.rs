//! The production processes: gates with their operators' listener, writers, reconcilers, each
//! incarnation over ports of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::cells::Engine;
use ::cells::port::Wait;
use clerk::{ClerkConfig, ClerkSettings, ClerkWith};
use desk::{Desk, DeskWith};
use gate::Gate;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use reconciler::{Reconciler, ReconcilerConfig, ReconcilerSettings};
use runtime::Tasks;
use view::{CatalogCache, Ports};
use web::Probes;
use writer::WriterConfig;

use crate::calls::NodeCalls;
use crate::cells::NodeRunner;
use crate::log::NodeLog;
use crate::net::spawn;
use crate::node::Node;
use crate::plan::Role;
use crate::store::NodeStore;
use crate::world::World;

/// `publish.max_age` of the simulated deployment.
pub const MAX_AGE_MS: u64 = 300;

/// The operators' token.
pub const ADMIN_TOKEN: &str = "the operators of every schedule";

/// What the processes of a schedule are made of.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Gates.
    pub gate: gate::GateSettings,
    /// Writers.
    pub writer: WriterConfig,
    /// Reconcilers.
    pub reconciler: ReconcilerConfig,
    /// Clerks.
    pub clerk: ClerkConfig,
}

/// The configuration of every process: the defaults with a tenth of their times, and batches so
/// small that several happen.
pub fn config() -> Config {
    let mut c = Config::default();
    let gate = &mut c.gate;
    gate.auth.hs256_secret = "the buyers' secret of every schedule".to_owned();
    gate.auth.remembered_tokens = 64;
    gate.admin_token = ADMIN_TOKEN.to_owned();
    gate.reserve.batch = 4;
    gate.reserve.queue = 16;
    gate.reserve.budget_ms = 250;
    gate.reserve.wait_timeout_ms = 10;
    gate.publish.frame_orders = 4;
    gate.publish.in_flight = 2;
    gate.publish.queue = 6;
    gate.publish.max_age_ms = MAX_AGE_MS;
    gate.publish.timeout_ms = 250;
    c.writer.batch_frames = 4;
    c.writer.batch_orders = 64;
    c.writer.patience_ms = 250;
    c.writer.give_up_after = 3;
    c.reconciler.interval_ms = 400;
    c.reconciler.relay_after_ms = 400;
    c.reconciler.sweep_after_ms = 800;
    c.reconciler.parallel = 2;
    c.reconciler.lease_ms = 1000;
    c.clerk.pass_ms = 60;
    c.clerk.expire_grace_ms = 400;
    c.clerk.refund_pauses_ms = vec![100, 200, 400];
    c.clerk.late_window_ms = 5000;
    c.clerk.lease_ms = 600;
    c.clerk.patience_ms = 250;
    c.clerk.give_up_after = 3;
    c
}

/// Numbers of the reconcilers inside gates.
const DESK: u64 = 10;

struct Process {
    node: Arc<Node>,
    /// The operators' reconciler in a gate: the same process, told apart by what it may do.
    desk: Option<Arc<Node>>,
    gate: Option<(Arc<Gate>, Arc<Desk>)>,
}

/// All processes of a schedule.
pub struct Fleet {
    /// Their world.
    pub world: Arc<World>,
    config: Config,
    metrics: PrometheusHandle,
    cast: Mutex<BTreeMap<(Role, u64), Process>>,
}

impl Fleet {
    /// Nobody yet.
    pub fn new(world: Arc<World>, config: Config, metrics: PrometheusHandle) -> Arc<Self> {
        let mut config = config;
        config.gate.reserve.wait_replicas = u8::from(world.plan.waits);
        Arc::new(Self { world, config, metrics, cast: Mutex::default() })
    }

    /// Starts the next incarnation of a process that is not there or dead.
    pub fn start(&self, role: Role, index: u64) {
        let life = match self.cast.lock().get(&(role, index)) {
            Some(p) if !p.node.is_dead() => return,
            Some(p) => p.node.life + 1,
            None => 0,
        };
        let node = Node::new(&self.world, role, index, life);
        self.world.tell(&node.name, || "starts".to_owned());
        let tasks = Tasks::new();
        let ports = ports(&node);
        let gate = match role {
            Role::Gate => self.gate_over(&node, &ports, &tasks),
            Role::Writer => {
                writer::spawn(&tasks, &ports.writer(), &(&self.config.writer).into());
                None
            }
            Role::Reconciler => {
                self.reconciler(&ports).spawn(&tasks);
                None
            }
            Role::Clerk => {
                self.clerk(&node, &ports, &tasks);
                None
            }
            // Not a process of the fleet: see `transfer`.
            Role::Coordinator => None,
        };
        let (gate, desk) = match gate {
            Some((gate, admin, desk)) => (Some((gate, admin)), Some(desk)),
            None => (None, None),
        };
        self.cast.lock().insert((role, index), Process { node, desk, gate });
    }

    fn reconciler(&self, ports: &Ports) -> Arc<Reconciler> {
        let settings =
            ReconcilerSettings::new(&self.config.reconciler, self.config.gate.publish.times());
        Reconciler::new(&ports.reconciler(), &settings)
    }

    fn clerk(&self, node: &Arc<Node>, ports: &Ports, tasks: &Tasks) {
        let catalog = CatalogCache::new(ports.store.clone());
        let timeout = Duration::from_millis(self.config.gate.reserve.wait_timeout_ms);
        let replicas = self.config.gate.reserve.wait_replicas;
        let mut settings = ClerkSettings::from(&self.config.clerk);
        settings.late_deadline_ms = self.world.plan.lives.map_or(0, |l| l.late_deadline);
        let with = ClerkWith {
            catalog: catalog.clone(),
            calls: Arc::new(NodeCalls { node: node.clone() }),
            publish: self.config.gate.publish.times(),
            wait: (replicas > 0).then_some(Wait { replicas, timeout }),
            settings,
        };
        let (ports, tasks) = (ports.clerk(), tasks.clone());
        spawn(async move {
            while catalog.refresh().await.is_err() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            catalog.spawn(&tasks);
            clerk::spawn(&tasks, &ports, &with);
        });
    }

    fn gate_over(
        &self,
        node: &Arc<Node>,
        ports: &Ports,
        tasks: &Tasks,
    ) -> Option<(Arc<Gate>, Arc<Desk>, Arc<Node>)> {
        let calls = Arc::new(NodeCalls { node: node.clone() });
        let gate = match Gate::new(&self.config.gate, ports.gate(), calls, tasks) {
            Ok(gate) => gate,
            Err(e) => {
                self.world.tell(&node.name, || format!("does not start: {e}"));
                return None;
            }
        };
        let desk = Node::new(&self.world, Role::Reconciler, DESK + node.index, node.life);
        let mended = self.reconciler(&crate::process::ports(&desk));
        let (tasks, ready) = (tasks.clone(), gate.ready().clone());
        let probes = Probes { tasks, ready, metrics: self.metrics.clone() };
        let with = DeskWith {
            catalog: gate.catalog().clone(),
            tokens: gate.tokens().clone(),
            probes,
            wait: gate.wait(),
        };
        let admin = Desk::new(ports.desk(), with, mended);
        let starting = gate.clone();
        spawn(async move {
            while starting.start().await.is_err() {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            starting.set_ready();
        });
        Some((gate, admin, desk))
    }

    /// Does something to a living process.
    pub fn with(&self, role: Role, index: u64, act: impl Fn(&Node)) {
        if let Some(p) = self.cast.lock().get(&(role, index))
            && !p.node.is_dead()
        {
            act(&p.node);
            if let Some(desk) = &p.desk {
                act(desk);
            }
        }
    }

    /// A living gate.
    pub fn gate(&self, index: u64) -> Option<(Arc<Node>, Arc<Gate>, Arc<Desk>)> {
        let cast = self.cast.lock();
        let p = cast.get(&(Role::Gate, index)).filter(|p| !p.node.is_dead())?;
        p.gate.clone().map(|(gate, admin)| (p.node.clone(), gate, admin))
    }

    /// Everybody goes on, the dead start again.
    pub fn heal(&self) {
        let all: Vec<(Role, u64)> = self.cast.lock().keys().copied().collect();
        for (role, index) in all {
            self.with(role, index, Node::heal);
            self.start(role, index);
        }
    }
}

/// The ports of one process.
pub fn ports(node: &Arc<Node>) -> Ports {
    let world = &node.world;
    Ports {
        cells: Arc::new(Engine::new(NodeRunner { node: node.clone() })),
        store: Arc::new(NodeStore::new(node)),
        log: Arc::new(NodeLog { node: node.clone(), inner: world.log.clone() }),
        identity: world.identity.clone(),
        clock: node.clone(),
        unique: node.clone(),
    }
}
