//! The product as processes on the real servers: two gates, writers, reconcilers and clerks, with
//! proxies where the network may be made bad. Databases and topics of its own, dropped at the end.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use runtime::Tasks;
use serde_json::{Value, json};
use testkit::process::{self, Databases, PATIENCE, Service, free_port};
use testkit::stack::{self, Disruption};

use crate::filter::{self, Filter};
use crate::lost::Lost;
use crate::occupied::Occupied;
use crate::proxy::{Mode, Proxy};
use crate::strangers::Strangers;

/// Of each service.
pub(crate) const COPIES: usize = 2;
const SERVICES: [&str; 4] = ["gate", "writer", "reconciler", "clerk"];
/// An order that is not paid expires so long after its time, ms: a schedule is short.
const GRACE_MS: u64 = 3000;
/// All of them.
pub(crate) const PROCESSES: usize = COPIES * SERVICES.len();
/// Of the stack.
pub(crate) const DATABASES: usize = 4;
/// On so many servers.
pub(crate) const DATABASE_SERVERS: usize = 2;
/// Makes the time of a process an offset that a file says; Debian's package faketime.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// True when clocks can be set.
pub(crate) fn has_faketime() -> bool {
    Path::new(FAKETIME).exists()
}

struct Process {
    service: Service,
    sets: Vec<String>,
    /// How far its clock is off.
    clock: PathBuf,
}

/// The deployment of a chaos run.
pub(crate) struct Deployment {
    pub servers: Disruption,
    /// In front of both gates.
    pub buyers: Proxy,
    /// In front of the payment provider.
    pub provider: Proxy,
    /// Where that listens, in a schedule that has one.
    provider_at: SocketAddr,
    /// In front of each MariaDB server, one for each process, and one for everybody else.
    pub mariadb: Vec<Vec<Proxy>>,
    binary: PathBuf,
    sets: Vec<String>,
    processes: Vec<Process>,
    pub(crate) databases: Databases,
    /// What has lost commits and waits for its rewind.
    pub(crate) lost: Vec<Lost>,
    /// Servers whose connections somebody else has.
    pub(crate) occupied: Vec<Occupied>,
    /// The server that a client vanished from, and how often locks had been waited for there.
    pub(crate) vanished: Option<(usize, u64)>,
    /// Where packets can be filtered.
    pub(crate) filter: Option<Filter>,
    /// Where the gates listen.
    pub(crate) gates: Vec<SocketAddr>,
    /// The last offer that was made.
    pub(crate) selling: String,
    /// Of the schedule under way.
    pub(crate) strangers: Option<Strangers>,
    admin: String,
}

impl Deployment {
    /// Starts everything; logs go to `dir`.
    pub(crate) async fn start(tasks: &Tasks, binary: &Path, dir: &Path) -> Result<Self> {
        let servers = stack::disrupt()?;
        let run = format!("chaos_{:08x}", std::process::id() ^ u32::from(free_port()?) << 12);
        let databases = process::create_databases(&run)?;
        let mut mariadb: Vec<(String, Vec<Proxy>)> = Vec::new();
        for (server, _) in &databases {
            let place = server.place();
            if !mariadb.iter().any(|m| m.0 == place) {
                // What a run that was killed had taken.
                server.root().sql("SET GLOBAL max_connections = DEFAULT")?;
                let to: SocketAddr = place.parse().with_context(|| place.clone())?;
                let mut of_each = Vec::new();
                for _ in 0..=PROCESSES {
                    of_each.push(Proxy::start(tasks, vec![to]).await?);
                }
                mariadb.push((place, of_each));
            }
        }
        // The databases as one of the processes reaches them.
        let urls = |who: usize| -> Result<String> {
            let mut urls = Vec::new();
            for (server, name) in &databases {
                let proxies = mariadb.iter().find(|m| m.0 == server.place());
                let place = proxies.context("a proxy")?.1[who].address.to_string();
                urls.push(format!("\"{}\"", server.url(&place, name)));
            }
            Ok(format!("store.databases=[{}]", urls.join(",")))
        };
        let places = (0..=PROCESSES).map(urls).collect::<Result<Vec<_>>>()?;
        let gates: Vec<SocketAddr> = (0..COPIES)
            .map(|_| Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?))))
            .collect::<Result<_>>()?;
        let admin = format!("127.0.0.1:{}", free_port()?);
        let sets = vec![
            places[PROCESSES].clone(),
            format!("log.topic_prefix=chaos-{run}"),
            format!("clerk.expire_grace_ms={GRACE_MS}"),
        ];
        let provider_at = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut me = Self {
            servers,
            buyers: Proxy::start(tasks, gates.clone()).await?,
            provider: Proxy::start(tasks, vec![provider_at]).await?,
            provider_at,
            mariadb: mariadb.into_iter().map(|m| m.1).collect(),
            binary: binary.to_owned(),
            sets,
            processes: Vec::new(),
            databases,
            lost: Vec::new(),
            occupied: Vec::new(),
            vanished: None,
            filter: filter::can_filter().then(Filter::of_stack),
            gates: gates.clone(),
            selling: String::new(),
            strangers: None,
            admin,
        };
        for service in SERVICES {
            for (copy, gate) in gates.iter().enumerate() {
                let place = places[me.processes.len()].clone();
                me.add((service, copy), *gate, place, dir)?;
            }
        }
        Ok(me)
    }

    fn add(
        &mut self,
        (service, copy): (&'static str, usize),
        gate: SocketAddr,
        place: String,
        dir: &Path,
    ) -> Result<()> {
        let admin =
            if copy == 0 { self.admin.clone() } else { format!("127.0.0.1:{}", free_port()?) };
        let mut sets = match service {
            "gate" => vec![format!("gate.listen={gate}"), format!("admin.listen={admin}")],
            _ => vec![format!("{service}.listen=127.0.0.1:{}", free_port()?)],
        };
        let log = dir.join(format!("{service}-{}.log", copy + 1));
        sets.push(place);
        let clock = dir.join(format!("{service}-{}.clock", copy + 1));
        std::fs::write(&clock, "+0")?;
        // The processes may run elsewhere than this one.
        let clock = clock.canonicalize()?;
        self.processes.push(Process { service: Service::new(service, log), sets, clock });
        self.start_process(self.processes.len() - 1)
    }

    /// The product's command line with this deployment's configuration.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        process::command(&self.binary, &self.sets, args)
    }

    fn start_process(&mut self, at: usize) -> Result<()> {
        let p = &mut self.processes[at];
        let sets = [self.sets.as_slice(), &p.sets].concat();
        let mut command = process::command(&self.binary, &sets, &[p.service.name]);
        if has_faketime() {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", &p.clock);
            command.env("FAKETIME_CACHE_DURATION", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        if self.filter.is_some() {
            command.gid(filter::group(at));
        }
        p.service.start(command)
    }

    /// Sets the clock of a process off by so many seconds, within a second.
    pub(crate) fn set_clock(&self, pick: usize, seconds: i64) -> Result<()> {
        let clock = &self.processes[pick % self.processes.len()].clock;
        std::fs::write(clock, format!("{seconds:+}")).with_context(|| clock.display().to_string())
    }

    /// The network between one process and one MariaDB server.
    pub(crate) fn asymmetric(&self, pick: usize, mode: Mode) {
        let server = &self.mariadb[pick / PROCESSES % self.mariadb.len()];
        server[pick % PROCESSES].set(mode);
    }

    /// Where a copy of a service is among the processes.
    pub(crate) fn one_of(&self, service: &str, pick: usize) -> Result<usize> {
        let all: Vec<usize> = (0..self.processes.len())
            .filter(|i| self.processes[*i].service.name == service)
            .collect();
        all.get(pick % all.len().max(1)).copied().context("a service")
    }

    /// kill -9 of a copy of a service.
    pub(crate) fn kill(&mut self, service: &str, pick: usize) -> Result<()> {
        let at = self.one_of(service, pick)?;
        self.processes[at].service.kill()
    }

    /// SIGSTOP or SIGCONT of a copy of a service.
    pub(crate) fn signal(&self, service: &str, pick: usize, signal: &str) -> Result<()> {
        send(signal, &self.processes[self.one_of(service, pick)?].service)
    }

    /// The same for every process.
    pub(crate) fn signal_all(&self, signal: &str) -> Result<()> {
        self.processes.iter().try_for_each(|p| send(signal, &p.service))
    }

    /// Starts every process that does not run, as a supervisor does. One that gives up because a
    /// server is away on purpose is left for the next time.
    pub(crate) fn revive(&mut self) -> Result<()> {
        for at in 0..self.processes.len() {
            let running = self.processes[at].service.is_running()?;
            if !running && let Err(e) = self.start_process(at) {
                eprintln!("  {e:#}");
            }
        }
        Ok(())
    }

    /// Until everything runs.
    pub(crate) fn revive_all(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.revive()?;
            if self.processes.iter().all(|p| p.service.pid().is_some()) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "not all processes start");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Names and pids of what runs.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        let name = |s: &Service| s.log.file_stem().map(|n| n.to_string_lossy().into_owned());
        let pid = |p: &Process| Some((name(&p.service)?, p.service.pid()?));
        self.processes.iter().filter_map(pid).collect()
    }

    /// Over all databases: live orders, bytes of tables and indexes, rows of `unrowed`.
    pub(crate) fn tables(&self) -> Result<[u64; 3]> {
        let mut sums = [0; 3];
        for (server, database) in &self.databases {
            let ask = format!(
                "SELECT COUNT(*) FROM {database}.orders WHERE status = {}; \
                 SELECT SUM(data_length + index_length) FROM information_schema.tables \
                 WHERE table_schema = '{database}'; SELECT COUNT(*) FROM {database}.unrowed",
                domain::RowStatus::Pending as u8
            );
            let answer = server.sql(&ask)?;
            for (sum, line) in sums.iter_mut().zip(answer.lines()) {
                *sum += line.trim().parse::<u64>().unwrap_or(0);
            }
        }
        Ok(sums)
    }

    /// Lines of the services' logs that say that something is broken in the product.
    pub(crate) fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for Process { service, .. } in &self.processes {
            let text = service.said();
            let bad = text.lines().filter(|l| l.contains("panicked"));
            found.extend(bad.map(|l| format!("{}: {l}", service.log.display())));
        }
        found
    }

    /// Makes a new offer; while a server is just coming back it is asked for again.
    pub(crate) fn offer(&mut self, units: u32, limit: Option<u32>) -> Result<String> {
        let id = format!("chaos-{:08x}", rand::random::<u32>());
        let mut body = json!({
            "campaign": "evergreen", "sku": "chaos", "allotment": units,
            "price": {"currency": "EUR", "minor": 100},
        });
        if let Some(limit) = limit {
            body["limit_per_buyer"] = limit.into();
        }
        let url = format!("http://{}/admin/offers/{id}", self.admin);
        let bearer = format!("Authorization: Bearer {}", stack::config()?.admin_token);
        let until = Instant::now() + PATIENCE;
        loop {
            let out = Command::new("curl")
                .args(["-s", "-m", "20", "-X", "PUT", "-H", &bearer, &url, "-d", &body.to_string()])
                .args(["-H", "Content-Type: application/json"])
                .output()
                .context("curl")?;
            let answer: Value = serde_json::from_slice(&out.stdout).unwrap_or(Value::Null);
            let cell = &answer["cells"][0];
            if answer["offer"] == id.as_str() && cell.is_object() && cell["missing"] != true {
                self.selling.clone_from(&id);
                return Ok(id);
            }
            ensure!(Instant::now() < until, "no offer: {answer}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Starts a crowd; what it saw goes to files in `dir`.
    pub(crate) fn crowd(&self, args: &[String], dir: &Path) -> Result<Child> {
        // From the crowd's end on, and a busy machine starts a broker in a minute and a half.
        let mut c = self.command(&["loadtest", "--quiet", "--settle", "180s"]);
        c.arg("--gate").arg(format!("http://{}", self.buyers.address));
        c.arg("--admin").arg(format!("http://{}", self.admin));
        c.arg("--json").arg(dir.join("summary.json"));
        c.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(c.spawn()?)
    }

    /// What a crowd that pays is told of its provider.
    pub(crate) fn provider_flags(&self) -> [String; 4] {
        let url = format!("http://{}", self.provider.address);
        ["--provider-listen".into(), self.provider_at.to_string(), "--provider-url".into(), url]
    }

    /// `reconciler --once --dry-run`: the report, and whether it found nothing.
    pub(crate) fn drift(&self) -> Result<(bool, Value)> {
        let Output { status, stdout, stderr } =
            self.command(&["reconciler", "--once", "--dry-run"]).output()?;
        let report = serde_json::from_slice(&stdout)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&stderr).into_owned()));
        Ok((status.success(), report))
    }

    /// The configuration with which the stores of this deployment are read.
    pub(crate) fn config(&self) -> Result<stack::Servers> {
        stack::Servers::of(&runtime::config::Sources {
            file: Some(stack::file()),
            sets: self.sets.clone(),
            ..Default::default()
        })
        .context("the deployment's configuration")
    }
}

fn send(signal: &str, service: &Service) -> Result<()> {
    if let Some(pid) = service.pid() {
        let done = Command::new("kill").args([signal, &pid.to_string()]).status()?;
        ensure!(done.success(), "kill {signal} {}", service.name);
    }
    Ok(())
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.processes.clear();
        for at in 0..self.mariadb.len() {
            self.free(at);
        }
        for name in ["mariadb-1", "mariadb-2"] {
            let _ = self.servers.heal(name);
        }
        if let Err(e) = self.free_all() {
            eprintln!("{e:#}");
        }
        process::drop_databases(&self.databases);
    }
}
