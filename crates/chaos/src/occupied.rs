//! A MariaDB server without a free connection: idle sessions of somebody else have them all, and
//! the product's own were killed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::mariadb::Server;

use crate::deployment::Deployment;

/// The least that MariaDB takes for `max_connections`.
const SLOTS: usize = 10;
/// How long a server may take to say a word, and how long it is waited for.
const WORD: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose connections somebody else has.
pub(crate) struct Occupied {
    server: usize,
    root: Server,
    /// The product's.
    user: String,
    /// `max_connections`, and connections refused for it, before.
    before: [u64; 2],
    idle: Vec<Child>,
}

impl Deployment {
    /// Takes all connections of a server. One that another fault keeps away keeps them this time.
    pub(crate) fn occupy(&mut self, pick: usize) -> Result<()> {
        let server = pick % self.mariadb.len().max(1);
        let (root, user) = {
            let server = self.server(server)?;
            (server.root(), server.user().to_owned())
        };
        let taken = Occupied::of(server, root, user).and_then(|one| {
            self.occupied.push(one);
            self.occupied.last_mut().context("a server")?.take()
        });
        if let Err(e) = taken {
            eprintln!("  not occupied: {e:#}");
            self.free(server);
        }
        Ok(())
    }

    /// Gives back what [`Self::occupy`] took; later, if the server is away now.
    pub(crate) fn free(&mut self, server: usize) {
        self.occupied.retain_mut(|one| {
            if one.server != server {
                return true;
            }
            let done = one.give_back();
            done.inspect_err(|e| eprintln!("  given back later: {e:#}")).is_err()
        });
    }

    /// Gives back all.
    pub(crate) fn free_all(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while let Some(server) = self.occupied.first().map(|one| one.server) {
            self.free(server);
            let done = self.occupied.first().is_none_or(|one| one.server != server);
            ensure!(done || Instant::now() < until, "max_connections is not what it was");
            if !done {
                std::thread::sleep(Duration::from_millis(500));
            }
        }
        Ok(())
    }

    /// One of the MariaDB servers, in the order of the proxies.
    pub(crate) fn server(&self, at: usize) -> Result<&Server> {
        let mut servers: Vec<&Server> = Vec::new();
        for (server, _) in &self.databases {
            if !servers.contains(&server) {
                servers.push(server);
            }
        }
        servers.get(at).copied().context("a MariaDB server")
    }
}

impl Occupied {
    fn of(server: usize, root: Server, user: String) -> Result<Self> {
        answers(&root)?;
        let limit = number(&root, "SELECT @@GLOBAL.max_connections")?;
        let before = [limit, refused(&root)?];
        Ok(Self { server, root, user, before, idle: Vec::new() })
    }

    fn take(&mut self) -> Result<()> {
        for _ in 0..SLOTS {
            self.idle.push(self.root.idle()?);
        }
        let asks = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'root'";
        let until = Instant::now() + WORD;
        // The one that asks is a root's, too.
        while number(&self.root, asks)? <= SLOTS as u64 {
            ensure!(Instant::now() < until, "not all idle sessions are there");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The server keeps one connection more for its administrator.
        let (root, user) = (&self.root, &self.user);
        root.sql(&format!("SET GLOBAL max_connections = {SLOTS}; KILL USER '{user}'"))?;
        Ok(())
    }

    fn give_back(&mut self) -> Result<()> {
        let [limit, before] = self.before;
        let set = format!("SET GLOBAL max_connections = {limit};\n");
        // A paused server would be waited for, by the one who has to resume it.
        if let Err(e) = answers(&self.root) {
            self.end_idle();
            return Err(e);
        }
        // By a session that is there: the product wants every connection, the administrator's too.
        let said = self.idle.first_mut().and_then(|one| one.stdin.as_mut());
        if let Some(said) = said {
            let _ = said.write_all(set.as_bytes()).and_then(|()| said.flush());
        }
        for mut one in self.idle.drain(..) {
            drop(one.stdin.take());
            one.wait()?;
        }
        answers(&self.root)?;
        // Once more: it may have been a session of a server that was killed.
        self.root.sql(&set)?;
        // A server that was started anew in between counts from 0.
        let refused = refused(&self.root)?.saturating_sub(before);
        eprintln!("  {refused} connections were refused");
        Ok(())
    }
}

impl Occupied {
    fn end_idle(&mut self) {
        for mut one in self.idle.drain(..) {
            let _ = one.kill().and_then(|()| one.wait());
        }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.end_idle();
    }
}

fn number(root: &Server, ask: &str) -> Result<u64> {
    let answer = root.sql(ask)?;
    answer.trim().parse().with_context(|| format!("{ask}: {answer}"))
}

/// Connections that found none free, since the server started.
fn refused(root: &Server) -> Result<u64> {
    counter(root, "Connection_errors_max_connections")
}

/// What a server has counted since it started.
pub(crate) fn counter(root: &Server, name: &str) -> Result<u64> {
    let ask = format!(
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{name}'"
    );
    number(root, &ask)
}

/// A paused server takes a connection and says nothing; its client would wait for good.
pub(crate) fn answers(server: &Server) -> Result<()> {
    let place = server.place();
    let mut stream = TcpStream::connect_timeout(&place.parse()?, WORD).context("no connection")?;
    stream.set_read_timeout(Some(WORD))?;
    stream.read_exact(&mut [0]).with_context(|| format!("{place} says nothing"))
}
