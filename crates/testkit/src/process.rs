//! The product as processes on the real servers: databases of its own, services with a log each.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::mariadb::Server;
use crate::stack;

/// How long something may take to come about.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The product's command line on the stack, with these keys set.
pub fn command(binary: &Path, sets: &[String], args: &[&str]) -> Command {
    let mut c = Command::new(binary);
    c.arg("--config").arg(stack::file()).args(args).stdin(Stdio::null());
    sets.iter().for_each(|s| {
        c.args(["--set", s]);
    });
    c
}

/// A database on the server of each of the stack's: the server and the name.
pub type Databases = Vec<(Server, String)>;

/// Makes `sluice_RUN_N` for each database N of the stack.
pub fn create_databases(run: &str) -> Result<Databases> {
    let urls = stack::config()?.store.databases;
    let create = |(n, url): (usize, &String)| {
        let (server, name) = (Server::of(url)?.0, format!("sluice_{run}_{n}"));
        server.sql(&format!("CREATE DATABASE {name}"))?;
        Ok((server, name))
    };
    urls.iter().enumerate().map(create).collect()
}

/// Drops them; what cannot be dropped is told.
pub fn drop_databases(databases: &Databases) {
    for (server, name) in databases {
        if let Err(e) = server.root().sql(&format!("DROP DATABASE IF EXISTS {name}")) {
            eprintln!("{e:#}");
        }
    }
}

/// A service of the product; its process ends with it.
#[derive(Debug)]
pub struct Service {
    /// `gate`, `writer` or `reconciler`.
    pub name: &'static str,
    /// Stdout and stderr of all its processes.
    pub log: PathBuf,
    child: Option<Child>,
}

impl Service {
    /// One that does not run yet.
    pub fn new(name: &'static str, log: PathBuf) -> Self {
        Self { name, log, child: None }
    }

    /// Everything that its processes said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Starts it and waits until it says that it works. One that ends before is an error at once:
    /// a server that it needs may be down on purpose.
    pub fn start(&mut self, mut command: Command) -> Result<()> {
        let out = File::options().create(true).append(true).open(&self.log)?;
        let before = std::fs::read(&self.log)?.len();
        let mut child = command.stdout(out.try_clone()?).stderr(out).spawn()?;
        let until = Instant::now() + PATIENCE;
        loop {
            let text = String::from_utf8_lossy(&std::fs::read(&self.log)?[before..]).into_owned();
            if text.lines().any(|l| l.starts_with(self.name)) {
                self.child = Some(child);
                return Ok(());
            }
            if child.try_wait()?.is_some() || Instant::now() > until {
                let _ = child.kill();
                let _ = child.wait();
                bail!("{} does not start: {}", self.name, text.trim());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// kill -9; fine when it does not run.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// False when it was never started, was killed or has ended by itself.
    pub fn is_running(&mut self) -> Result<bool> {
        if let Some(child) = &mut self.child
            && child.try_wait()?.is_some()
        {
            self.child = None;
        }
        Ok(self.child.is_some())
    }

    /// Of its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(e) = self.kill() {
            eprintln!("{}: {e:#}", self.name);
        }
    }
}
