//! The real servers for tests: where they are, and who may disturb them.
//!
//! `SLUICEGATE_STACK` names the configuration file; without it `target/stack/sluicegate.toml` of
//! this workspace is taken. A test that only uses the servers holds [`calm`]; one that kills or
//! pauses a server holds [`disrupt`], which excludes all others, over processes too. Whatever a
//! disruption left down is brought back when its guard goes. Nothing here ever flushes a server.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cells::CellsConfig;
use orderlog::LogConfig;
use runtime::config::{Sources, read};
use store::StoreSection;

/// What `stack` says of a server that it finds down.
const IS_DOWN: &str = "is down";
const HELP: &str = "the servers are needed: run `cargo xtask stack up`";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Set when this process tests the secure stack.
static SECURE: OnceLock<PathBuf> = OnceLock::new();

/// Makes this process use the secure stack: the one that `SLUICEGATE_SECURE_STACK` names, or that
/// of `cargo xtask test`. Its folder with certificates, passwords and tokens.
pub fn secure() -> Result<PathBuf> {
    let file = SECURE.get_or_init(|| match std::env::var_os("SLUICEGATE_SECURE_STACK") {
        Some(file) => file.into(),
        None => workspace().join("target/stack-17100/sluicegate.toml"),
    });
    let folder = file.with_file_name("secure");
    ensure!(
        folder.is_dir(),
        "{} does not exist; the secure servers are needed: run \
         `cargo xtask stack up --secure --port-base 17100`",
        folder.display()
    );
    Ok(folder)
}

/// The stack's configuration file.
pub fn file() -> PathBuf {
    if let Some(file) = SECURE.get() {
        return file.clone();
    }
    match std::env::var_os("SLUICEGATE_STACK") {
        Some(file) => file.into(),
        None => workspace().join("target/stack/sluicegate.toml"),
    }
}

/// What a test has to know of a stack's configuration.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Keys ids and shards.
    pub identity_secret: String,
    /// The operators' token.
    pub admin_token: String,
    /// Redis.
    pub cells: CellsConfig,
    /// The databases.
    pub store: StoreSection,
    /// Pulsar.
    pub log: LogConfig,
}

impl Servers {
    /// As these sources have them.
    pub fn of(sources: &Sources) -> Result<Self> {
        Ok(Self {
            identity_secret: read(sources, "identity.secret").context(HELP)?,
            admin_token: read(sources, "admin.token").context(HELP)?,
            cells: read(sources, "cells").context(HELP)?,
            store: read(sources, "store").context(HELP)?,
            log: read(sources, "log").context(HELP)?,
        })
    }
}

/// The servers as the product reaches them.
pub fn config() -> Result<Servers> {
    let file = file();
    ensure!(file.is_file(), "{} does not exist; {HELP}", file.display());
    Servers::of(&Sources { file: Some(file), ..Default::default() })
}

/// The same servers as their operator reaches them: with rights that the product does not have.
/// Of a stack without access control it is the product's own configuration.
pub fn operator() -> Result<Servers> {
    let file = file().with_file_name("operator.toml");
    match file.is_file() {
        true => Servers::of(&Sources { file: Some(file), ..Default::default() }),
        false => config(),
    }
}

/// `redis-cli` as the operator on the node at this port.
pub fn redis_cli(port: &str) -> Result<Command> {
    let cells = operator()?.cells;
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", port]);
    if cells.tls {
        cli.arg("--tls").arg("--cacert").arg(&cells.ca_file);
    }
    if !cells.user.is_empty() {
        cli.args(["--user", &cells.user, "--pass", &cells.password, "--no-auth-warning"]);
    }
    Ok(cli)
}

fn lock_file() -> Result<File> {
    let path = file().with_file_name(".disrupt");
    let open = File::options().create(true).truncate(false).write(true).open(&path);
    open.with_context(|| format!("{}; {HELP}", path.display()))
}

/// As long as this lives nobody disturbs the servers.
#[must_use]
pub struct Calm(#[expect(dead_code, reason = "the lock ends with the file")] File);

/// Waits until no disruption is under way. Blocks the thread.
pub fn calm() -> Result<Calm> {
    let lock = lock_file()?;
    lock.lock_shared()?;
    Ok(Calm(lock))
}

/// The right to disturb servers. Dropped, it brings back what it took down.
#[must_use]
pub struct Disruption {
    _lock: File,
    hurt: Vec<(String, &'static str)>,
}

/// Waits until no test uses the servers, then keeps all others out. Blocks the thread.
pub fn disrupt() -> Result<Disruption> {
    let lock = lock_file()?;
    lock.lock()?;
    Ok(Disruption { _lock: lock, hurt: Vec::new() })
}

impl Disruption {
    /// kill -9. What this disruption has taken down already stays down.
    pub fn kill(&mut self, server: &str) -> Result<()> {
        self.hit("kill", "start", server).map(|_| ())
    }
    /// Does it; false when the server is down after what was done to it before.
    fn hit(&mut self, what: &str, remedy: &'static str, server: &str) -> Result<bool> {
        let before = self.hurt.iter().any(|h| h.0 == server);
        self.hurt.push((server.to_owned(), remedy));
        match stack(what, server) {
            Err(e) if before && format!("{e:#}").contains(IS_DOWN) => {
                eprintln!("{e:#}");
                self.hurt.pop();
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }
    /// Stops the process without ending it: connections stay and nothing answers. Returns when
    /// the last of its threads stands still. What this disruption has taken down stays down.
    pub fn pause(&mut self, server: &str) -> Result<()> {
        if !self.hit("pause", "resume", server)? {
            return Ok(());
        }
        let pid = std::fs::read_to_string(file().with_file_name(format!("{server}.pid")))?;
        for _ in 0..200 {
            if stands_still(pid.trim())? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("{server} (process {}) does not stand still", pid.trim())
    }
    /// Fills the disk of a server to the last byte; the server needs a small one, see [`disk_of`].
    /// Healed, it has room again. Pulsar is started anew then, since its bookie has ended for good;
    /// a database only if it had ended.
    pub fn fill(&mut self, server: &str) -> Result<()> {
        let remedies: &[_] = match server {
            "pulsar" => &["empty", "kill", "start"],
            _ => &["empty", "start"],
        };
        self.hurt.extend(remedies.iter().map(|remedy| (server.to_owned(), *remedy)));
        stack("fill", server)
    }
    /// Undoes what was done to a server; with `start` it waits until the server answers.
    pub fn heal(&mut self, server: &str) -> Result<()> {
        while let Some(at) = self.hurt.iter().position(|h| h.0 == server) {
            let (_, remedy) = self.hurt.remove(at);
            match stack(remedy, server) {
                // Killed since it was paused: what is left to do starts it.
                Err(e) if remedy == "resume" && self.hurt.iter().any(|h| h.0 == server) => {
                    eprintln!("{e:#}");
                }
                done => done?,
            }
        }
        Ok(())
    }
}

impl Drop for Disruption {
    fn drop(&mut self) {
        for (server, remedy) in self.hurt.drain(..) {
            if let Err(e) = stack(remedy, &server) {
                eprintln!("stack {remedy} {server}: {e:#}");
            }
        }
    }
}

/// The server's small disk (`stack up --small-disks`), if it has one.
pub fn disk_of(server: &str) -> Option<PathBuf> {
    Some(file().with_file_name(format!("{server}.img"))).filter(|image| image.is_file())
}

/// `--port-base N` of the stack that the tests use, unless it is the default one.
pub fn port_base() -> Option<[String; 2]> {
    let folder = file().parent()?.file_name()?.to_string_lossy().into_owned();
    Some(["--port-base".to_owned(), folder.strip_prefix("stack-")?.to_owned()])
}

/// True when every thread of the process is stopped (state `T`, after the name in brackets).
fn stands_still(pid: &str) -> Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        if state != Some('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `cargo xtask stack WHAT SERVER` on the stack that the tests use.
pub fn stack(what: &str, server: &str) -> Result<()> {
    // Under `cargo xtask` its own program is named: cargo would wait for every build under way.
    let mut xtask = match std::env::var_os("SLUICEGATE_XTASK") {
        Some(program) => Command::new(program),
        None => {
            let mut cargo = Command::new("cargo");
            cargo.arg("xtask");
            cargo
        }
    };
    xtask.current_dir(workspace()).arg("stack");
    xtask.args(port_base().into_iter().flatten());
    let out = xtask.args([what, server]).output().context("cargo xtask")?;
    ensure!(out.status.success(), "stack {what}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
