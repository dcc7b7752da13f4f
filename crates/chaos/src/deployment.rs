//! The product as processes on the real servers: two gates, two writers, two reconcilers, with
//! proxies where the network may be made bad. Databases and topics of its own, dropped at the end.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use runtime::Tasks;
use serde_json::{Value, json};
use testkit::stack::{self, Disruption};

use crate::proxy::Proxy;

/// How long a service may take to say that it works.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of each service.
const COPIES: usize = 2;
const SERVICES: [&str; 3] = ["gate", "writer", "reconciler"];

struct Process {
    service: &'static str,
    sets: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

/// The deployment of a chaos run.
pub(crate) struct Deployment {
    pub servers: Disruption,
    /// In front of both gates.
    pub buyers: Proxy,
    /// In front of each MariaDB server.
    pub mariadb: Vec<Proxy>,
    binary: PathBuf,
    sets: Vec<String>,
    processes: Vec<Process>,
    databases: Vec<(String, String)>,
    admin: String,
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `mysql://login@host:port/database` in its three parts.
fn parts(url: &str) -> Result<(String, String, String)> {
    let (login, rest) = url.split_once('@').context("store.databases: login@host")?;
    let (host, database) = rest.split_once('/').context("store.databases: host/database")?;
    Ok((login.to_owned(), host.to_owned(), database.to_owned()))
}

impl Deployment {
    /// Starts everything; logs go to `dir`.
    pub async fn start(tasks: &Tasks, binary: &Path, dir: &Path) -> Result<Self> {
        let servers = stack::disrupt()?;
        let config = stack::config()?;
        let run = format!("chaos_{:08x}", std::process::id() ^ u32::from(free_port()?) << 12);
        let mut mariadb: Vec<(String, Proxy)> = Vec::new();
        let (mut databases, mut urls) = (Vec::new(), Vec::new());
        for (n, url) in config.store.databases.iter().enumerate() {
            let (login, host, _) = parts(url)?;
            let name = format!("sluice_{run}_{n}");
            sql(&format!("{login}@{host}"), &format!("CREATE DATABASE {name}"))?;
            databases.push((format!("{login}@{host}"), name.clone()));
            if !mariadb.iter().any(|m| m.0 == host) {
                let to: SocketAddr = host.parse().with_context(|| host.clone())?;
                mariadb.push((host.clone(), Proxy::start(tasks, vec![to]).await?));
            }
            let proxy = mariadb.iter().find(|m| m.0 == host).context("a proxy")?.1.address;
            urls.push(format!("\"{login}@{proxy}/{name}\""));
        }
        let gates: Vec<SocketAddr> = (0..COPIES)
            .map(|_| Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?))))
            .collect::<Result<_>>()?;
        let admin = format!("127.0.0.1:{}", free_port()?);
        let sets = vec![
            format!("store.databases=[{}]", urls.join(",")),
            format!("log.topic_prefix=chaos-{run}"),
        ];
        let mut me = Self {
            servers,
            buyers: Proxy::start(tasks, gates.clone()).await?,
            mariadb: mariadb.into_iter().map(|m| m.1).collect(),
            binary: binary.to_owned(),
            sets,
            processes: Vec::new(),
            databases,
            admin,
        };
        for service in SERVICES {
            for (copy, gate) in gates.iter().enumerate() {
                me.add(service, copy, *gate, dir)?;
            }
        }
        Ok(me)
    }

    fn add(
        &mut self,
        service: &'static str,
        copy: usize,
        gate: SocketAddr,
        dir: &Path,
    ) -> Result<()> {
        let admin =
            if copy == 0 { self.admin.clone() } else { format!("127.0.0.1:{}", free_port()?) };
        let sets = match service {
            "gate" => vec![format!("gate.listen={gate}"), format!("admin.listen={admin}")],
            _ => vec![format!("{service}.listen=127.0.0.1:{}", free_port()?)],
        };
        let log = dir.join(format!("{service}-{}.log", copy + 1));
        self.processes.push(Process { service, sets, log, child: None });
        self.start_process(self.processes.len() - 1)
    }

    /// The product's command line with this deployment's configuration.
    fn command(&self, args: &[&str]) -> Command {
        let mut c = Command::new(&self.binary);
        c.arg("--config").arg(stack::file()).args(args).stdin(Stdio::null());
        self.sets.iter().for_each(|s| {
            c.args(["--set", s]);
        });
        c
    }

    fn start_process(&mut self, at: usize) -> Result<()> {
        let p = &self.processes[at];
        let (service, log) = (p.service, p.log.clone());
        let out = File::options().create(true).append(true).open(&log)?;
        let before = std::fs::read(&log)?.len();
        let mut command = self.command(&[service]);
        p.sets.iter().for_each(|s| {
            command.args(["--set", s]);
        });
        let mut child = command.stdout(out.try_clone()?).stderr(out).spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8_lossy(&std::fs::read(&log)?[before..]).into_owned();
            if text.lines().any(|l| l.starts_with(service)) {
                self.processes[at].child = Some(child);
                return Ok(());
            }
            let ended = child.try_wait()?;
            // A server that it needs may be down on purpose: it is started again by `revive`.
            if ended.is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                self.processes[at].child = None;
                bail!("{service} does not start: {}", text.trim());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn one_of(&self, service: &str, pick: usize) -> Result<usize> {
        let all: Vec<usize> =
            (0..self.processes.len()).filter(|i| self.processes[*i].service == service).collect();
        all.get(pick % all.len().max(1)).copied().context("a service")
    }

    /// kill -9 of a copy of a service.
    pub fn kill(&mut self, service: &str, pick: usize) -> Result<()> {
        let at = self.one_of(service, pick)?;
        if let Some(mut child) = self.processes[at].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP or SIGCONT of a copy of a service.
    pub fn signal(&self, service: &str, pick: usize, signal: &str) -> Result<()> {
        let at = self.one_of(service, pick)?;
        if let Some(child) = &self.processes[at].child {
            let done = Command::new("kill").args([signal, &child.id().to_string()]).status()?;
            ensure!(done.success(), "kill {signal} {service}");
        }
        Ok(())
    }

    /// Starts every process that does not run, as a supervisor does. One that gives up because a
    /// server is away on purpose is left for the next time.
    pub fn revive(&mut self) -> Result<()> {
        for at in 0..self.processes.len() {
            let running = match &mut self.processes[at].child {
                Some(child) => child.try_wait()?.is_none(),
                None => false,
            };
            if !running && let Err(e) = self.start_process(at) {
                eprintln!("  {e:#}");
            }
        }
        Ok(())
    }

    /// Until everything runs.
    pub fn revive_all(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.revive()?;
            if self.processes.iter().all(|p| p.child.is_some()) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "not all processes start");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Names and pids of what runs.
    pub fn pids(&self) -> Vec<(String, u32)> {
        let name = |p: &Process| p.log.file_stem().map(|n| n.to_string_lossy().into_owned());
        let pid = |p: &Process| Some((name(p)?, p.child.as_ref()?.id()));
        self.processes.iter().filter_map(pid).collect()
    }

    /// Over all databases: live orders, bytes of tables and indexes, rows of `unrowed`.
    pub fn tables(&self) -> Result<[u64; 3]> {
        let mut sums = [0; 3];
        for (server, database) in &self.databases {
            let ask = format!(
                "SELECT COUNT(*) FROM {database}.orders WHERE status = {}; \
                 SELECT SUM(data_length + index_length) FROM information_schema.tables \
                 WHERE table_schema = '{database}'; SELECT COUNT(*) FROM {database}.unrowed",
                domain::Status::Pending as u8
            );
            let answer = sql(server, &ask)?;
            for (sum, line) in sums.iter_mut().zip(answer.lines()) {
                *sum += line.trim().parse::<u64>().unwrap_or(0);
            }
        }
        Ok(sums)
    }

    /// Lines of the services' logs that say that something is broken in the product.
    pub fn panics(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for p in &self.processes {
            let text = std::fs::read(&p.log)?;
            let text = String::from_utf8_lossy(&text);
            let bad = text.lines().filter(|l| l.contains("panicked"));
            found.extend(bad.map(|l| format!("{}: {l}", p.log.display())));
        }
        Ok(found)
    }

    /// Makes a new offer; while a server is just coming back it is asked for again.
    pub fn offer(&self, units: u32, limit: Option<u32>) -> Result<String> {
        let id = format!("chaos-{:08x}", rand::random::<u32>());
        let mut body = json!({
            "campaign": "evergreen", "sku": "chaos", "allotment": units,
            "price": {"currency": "EUR", "minor": 100},
        });
        if let Some(limit) = limit {
            body["limit_per_buyer"] = limit.into();
        }
        let url = format!("http://{}/admin/offers/{id}", self.admin);
        let bearer = format!("Authorization: Bearer {}", stack::config()?.admin.token);
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
                return Ok(id);
            }
            ensure!(Instant::now() < until, "no offer: {answer}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Starts a crowd; what it saw goes to files in `dir`.
    pub fn crowd(&self, args: &[String], dir: &Path) -> Result<Child> {
        let mut c = self.command(&["loadtest", "--quiet", "--verify", "--settle", "60s"]);
        c.arg("--gate").arg(format!("http://{}", self.buyers.address));
        c.arg("--admin").arg(format!("http://{}", self.admin));
        c.arg("--json").arg(dir.join("summary.json"));
        c.arg("--history").arg(dir.join("history.jsonl"));
        c.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(c.spawn()?)
    }

    /// `reconciler --once --dry-run`: the report, and whether it found nothing.
    pub fn drift(&self) -> Result<(bool, Value)> {
        let Output { status, stdout, stderr } =
            self.command(&["reconciler", "--once", "--dry-run"]).output()?;
        let report = serde_json::from_slice(&stdout)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&stderr).into_owned()));
        Ok((status.success(), report))
    }

    /// The configuration with which the stores of this deployment are read.
    pub fn config(&self) -> Result<runtime::Config> {
        runtime::config::load(&runtime::config::Sources {
            file: Some(stack::file()),
            sets: self.sets.clone(),
            ..Default::default()
        })
        .context("the deployment's configuration")
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for p in &mut self.processes {
            if let Some(child) = &mut p.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        for name in ["mariadb-1", "mariadb-2"] {
            let _ = self.servers.heal(name);
        }
        for (server, database) in &self.databases {
            if let Err(e) = sql(server, &format!("DROP DATABASE IF EXISTS {database}")) {
                eprintln!("{e:#}");
            }
        }
    }
}

/// Statements through the server's own client; its answer without headings.
fn sql(server: &str, statement: &str) -> Result<String> {
    let rest = server.strip_prefix("mysql://").context("mysql://")?;
    let (login, place) = rest.split_once('@').context("user:password@host")?;
    let (user, password) = login.split_once(':').context("user:password")?;
    let (host, port) = place.split_once(':').context("host:port")?;
    let out = Command::new("mariadb")
        .args(["-h", host, "-P", port, "-u", user, &format!("-p{password}"), "-N", "-e"])
        .arg(statement)
        .output()
        .context("the `mariadb` client")?;
    ensure!(out.status.success(), "{statement}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
