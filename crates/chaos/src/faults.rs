//! Doing a fault and undoing it. Everything here blocks its thread; the crowd is another process.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use orderlog::port::{OrderLog, Partition};
use testkit::process::PATIENCE;
use testkit::stack;

use crate::deployment::{DATABASE_SERVERS, DATABASES, Deployment, PROCESSES};
use crate::plan::{Fault, Kind};
use crate::proxy::Mode;

/// What one packet takes longer.
const MARIADB_DELAY: Duration = Duration::from_millis(200);
const CLIENT_DELAY: Duration = Duration::from_millis(300);
/// What a clock is set by, seconds.
const STEPS: [i64; 6] = [3600, -3600, 5, -5, 100_000, -100];
/// Busy loops of a CPU starvation.
const LOOPS: usize = 12;

/// A fault under way: what undoing it needs.
pub(crate) struct Done {
    pub fault: Fault,
    /// When it was asked for.
    pub began: Instant,
    /// Healed at the end.
    servers: Vec<String>,
    loops: Vec<Child>,
}

impl Done {
    /// What was hurt, for the report.
    pub(crate) fn target(&self) -> String {
        match (&self.servers[..], self.fault.kind.is_of_a_service()) {
            ([server], _) => server.clone(),
            (_, true) => format!("copy {}", self.fault.pick % 2 + 1),
            (_, false) if self.fault.kind.is_of_a_process() => {
                format!("process {}", self.fault.pick % PROCESSES + 1)
            }
            (_, false) if self.fault.kind == Kind::LostCommits => {
                format!("database {}", self.fault.pick % DATABASES)
            }
            (_, false) => "all".to_owned(),
        }
    }
}

/// Hurts the deployment.
pub(crate) struct Faults {
    pub log: Arc<dyn OrderLog>,
    pub threads: tokio::runtime::Handle,
}

impl Faults {
    /// Does it.
    pub(crate) fn begin(&self, d: &mut Deployment, fault: &Fault) -> Result<Done> {
        let mut done = Done {
            fault: fault.clone(),
            began: Instant::now(),
            servers: Vec::new(),
            loops: Vec::new(),
        };
        let pick = fault.pick;
        match fault.kind {
            Kind::GateKill => d.kill("gate", pick)?,
            Kind::GatePause => d.signal("gate", pick, "-STOP")?,
            Kind::WriterKill => d.kill("writer", pick)?,
            Kind::WriterPause => d.signal("writer", pick, "-STOP")?,
            Kind::ReconcilerKill => d.kill("reconciler", pick)?,
            Kind::ReconcilerPause => d.signal("reconciler", pick, "-STOP")?,
            Kind::ClerkKill => d.kill("clerk", pick)?,
            Kind::ClerkPause => d.signal("clerk", pick, "-STOP")?,
            Kind::ProviderCut => d.provider.set(Mode::Cut),
            Kind::ProviderHalfOpen => d.provider.set(Mode::HalfOpen),
            Kind::RedisPrimaryKill => d.servers.kill(done.on(redis("master", pick)?.name))?,
            Kind::RedisPrimaryPause => d.servers.pause(done.on(redis("master", pick)?.name))?,
            Kind::RedisReplicaKill => d.servers.kill(done.on(redis("slave", pick)?.name))?,
            Kind::RedisCut => cut_redis()?,
            Kind::RedisEmpty => stack::stack("restart-empty", "redis")?,
            Kind::RedisOld => stack::stack("restart-kept", "redis")?,
            Kind::MariadbKill => d.servers.kill(done.on(mariadb(pick)))?,
            Kind::MariadbPause => d.servers.pause(done.on(mariadb(pick)))?,
            Kind::AsymmetricCut => d.asymmetric(pick, Mode::Cut),
            Kind::AsymmetricRedis => {
                let other = || redis("master", pick / PROCESSES);
                d.keep_away(pick, &[selling(&d.selling)?.map_or_else(other, Ok)?.port])?
            }
            Kind::AsymmetricPulsar => d.keep_away(pick, &pulsar_ports()?)?,
            Kind::VanishedClient => d.vanish(pick)?,
            Kind::MaxConnections => d.occupy(pick)?,
            Kind::SlowReader => d.come(&self.threads)?,
            Kind::ClockStep => d.set_clock(pick, STEPS[pick % STEPS.len()])?,
            Kind::MariadbCut => proxy(d, pick, &mut done, Mode::Cut)?,
            Kind::MariadbDelay => proxy(d, pick, &mut done, Mode::Delay(MARIADB_DELAY))?,
            Kind::MariadbHalfOpen => proxy(d, pick, &mut done, Mode::HalfOpen)?,
            Kind::MariadbFull => d.servers.fill(done.on(mariadb(pick)))?,
            Kind::LostCommits => d.copy(pick)?,
            Kind::PulsarFull => d.servers.fill(done.on("pulsar".to_owned()))?,
            Kind::PulsarKill => d.servers.kill(done.on("pulsar".to_owned()))?,
            Kind::PulsarPause => d.servers.pause(done.on("pulsar".to_owned()))?,
            Kind::MachineSuspend => {
                d.signal_all("-STOP")?;
                for server in all_servers()? {
                    d.servers.pause(done.on(server))?;
                }
            }
            Kind::ClientCut => d.buyers.set(Mode::Cut),
            Kind::ClientDelay => d.buyers.set(Mode::Delay(CLIENT_DELAY)),
            Kind::ClientHalfOpen => d.buyers.set(Mode::HalfOpen),
            Kind::BrokenFrame => self.broken_frames(),
            Kind::CpuStarvation => {
                done.loops = (0..LOOPS).map(|_| busy()).collect::<Result<_>>()?
            }
        }
        Ok(done)
    }

    /// Undoes it.
    pub(crate) fn end(&self, d: &mut Deployment, mut done: Done) -> Result<()> {
        let pick = done.fault.pick;
        match done.fault.kind {
            Kind::GatePause => d.signal("gate", pick, "-CONT")?,
            Kind::WriterPause => d.signal("writer", pick, "-CONT")?,
            Kind::ReconcilerPause => d.signal("reconciler", pick, "-CONT")?,
            Kind::ClerkPause => d.signal("clerk", pick, "-CONT")?,
            Kind::ProviderCut | Kind::ProviderHalfOpen => d.provider.set(Mode::Good),
            Kind::MariadbCut | Kind::MariadbDelay | Kind::MariadbHalfOpen => {
                proxy(d, pick, &mut done, Mode::Good)?;
                done.servers.clear();
            }
            Kind::MachineSuspend => d.signal_all("-CONT")?,
            Kind::AsymmetricCut => d.asymmetric(pick, Mode::Good),
            Kind::AsymmetricRedis | Kind::AsymmetricPulsar => d.reach_all()?,
            Kind::VanishedClient => d.bury(),
            Kind::MaxConnections => d.free(pick % DATABASE_SERVERS),
            Kind::SlowReader => d.go(&self.threads),
            Kind::ClockStep => d.set_clock(pick, 0)?,
            Kind::LostCommits => d.lose(pick),
            Kind::ClientCut | Kind::ClientDelay | Kind::ClientHalfOpen => d.buyers.set(Mode::Good),
            Kind::GateKill
            | Kind::WriterKill
            | Kind::ReconcilerKill
            | Kind::ClerkKill
            | Kind::RedisPrimaryKill
            | Kind::RedisPrimaryPause
            | Kind::RedisReplicaKill
            | Kind::RedisCut
            | Kind::RedisEmpty
            | Kind::RedisOld
            | Kind::MariadbKill
            | Kind::MariadbPause
            | Kind::MariadbFull
            | Kind::PulsarKill
            | Kind::PulsarPause
            | Kind::PulsarFull
            | Kind::BrokenFrame
            | Kind::CpuStarvation => {}
        }
        for server in &done.servers {
            // A database server is well when it serves the product's user.
            for at in (0..DATABASE_SERVERS).filter(|at| mariadb(*at) == *server) {
                d.free(at);
            }
            heal(d, server)?;
        }
        for child in &mut done.loops {
            child.kill()?;
            child.wait()?;
        }
        // A supervisor starts what was killed, and what gave up because a server was away.
        d.revive()
    }

    /// Three sorts of garbage into each main partition: no frame, half a frame, a false checksum.
    fn broken_frames(&self) {
        let good = domain::frame::encode(&[domain::frame::Item::Tick(0)]);
        let mut false_sum = good.to_vec();
        if let Some(last) = false_sum.last_mut() {
            *last ^= 0x55;
        }
        let half = good.slice(..good.len() / 2);
        for partition in 0..self.log.partitions() {
            for garbage in
                [Bytes::from_static(b"not a frame"), half.clone(), false_sum.clone().into()]
            {
                let publish = self.log.publish(Partition::Main(partition), garbage);
                // The broker may be away on purpose at the same time.
                if let Err(e) = self.threads.block_on(publish) {
                    eprintln!("broken frame: {e}");
                }
            }
        }
    }
}

impl Done {
    /// Remembers the server, which the end of the fault heals.
    fn on(&mut self, server: String) -> &str {
        self.servers.push(server);
        self.servers.last().map_or("", String::as_str)
    }
}

fn mariadb(pick: usize) -> String {
    format!("mariadb-{}", pick % DATABASE_SERVERS + 1)
}

/// All of them.
fn all_servers() -> Result<Vec<String>> {
    let redis = nodes()?.into_iter().map(|node| node.name);
    Ok(redis.chain((0..DATABASE_SERVERS).map(mariadb)).chain(["pulsar".to_owned()]).collect())
}

/// Of the binary protocol and of HTTP.
fn pulsar_ports() -> Result<Vec<u16>> {
    let log = stack::config()?.log;
    let port = |url: &str| -> Result<u16> {
        let port = url.trim_end_matches('/').rsplit_once(':').context("log.url: a port")?.1;
        port.parse().with_context(|| url.to_owned())
    };
    Ok(vec![port(&log.url)?, port(&log.admin_url)?])
}

/// As a supervisor does, again and again: a server that its fault broke (MariaDB ends itself when a
/// full disk leaves no room to roll back) may still be on its way out when it is started.
fn heal(d: &mut Deployment, server: &str) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while let Err(e) = d.servers.heal(server) {
        ensure!(Instant::now() < until, "{server} does not come back: {e:#}");
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(())
}

fn proxy(d: &Deployment, pick: usize, done: &mut Done, mode: Mode) -> Result<()> {
    let proxies = d.mariadb.get(pick % d.mariadb.len().max(1)).context("a MariaDB server")?;
    proxies.iter().for_each(|p| p.set(mode));
    done.servers.push(mariadb(pick));
    Ok(())
}

/// A node of Redis.
struct Node {
    name: String,
    port: u16,
}

fn nodes() -> Result<Vec<Node>> {
    let nodes = stack::config()?.cells.nodes;
    let named = nodes.iter().enumerate().map(|(n, node)| {
        let port = node.rsplit_once(':').context("cells.nodes: host:port")?.1;
        Ok(Node { name: format!("redis-{}", n + 1), port: port.parse()? })
    });
    named.collect()
}

/// What a Redis node says; nothing when it does not answer within 2 s, being paused by another
/// fault.
pub(crate) fn redis_cli(port: &str, args: &[&str]) -> Result<String> {
    let cli = stack::redis_cli(port)?;
    let mut bounded = Command::new("timeout");
    bounded.arg("2").arg(cli.get_program()).args(cli.get_args()).args(args);
    Ok(String::from_utf8_lossy(&bounded.output().context("redis-cli")?.stdout).into_owned())
}

/// A node that has this role now.
fn redis(role: &str, pick: usize) -> Result<Node> {
    let mut fit = Vec::new();
    for node in nodes()? {
        if redis_cli(&node.port.to_string(), &["role"])?.starts_with(role) {
            fit.push(node);
        }
    }
    ensure!(!fit.is_empty(), "no Redis node is a {role}");
    Ok(fit.swap_remove(pick % fit.len()))
}

/// The primary of the offer that is on sale; none if it is away now.
fn selling(offer: &str) -> Result<Option<Node>> {
    let cell = format!("{{{offer}.0}}:c");
    for node in nodes()? {
        // Every other node names this one and does not look.
        if redis_cli(&node.port.to_string(), &["exists", &cell])?.trim() == "1" {
            return Ok(Some(node));
        }
    }
    Ok(None)
}

fn cut_redis() -> Result<()> {
    for node in nodes()? {
        redis_cli(&node.port.to_string(), &["client", "kill", "type", "normal"])?;
    }
    Ok(())
}

fn busy() -> Result<Child> {
    let loops = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    loops.context("a busy loop")
}
