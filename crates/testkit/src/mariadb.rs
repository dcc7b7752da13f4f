//! A database server of a MySQL URL, reached through its own client.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A server and how to log in to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    user: String,
    password: String,
    /// Name or address.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// The parameters of its URLs, with their question mark; empty for none.
    parameters: String,
    /// Reached by this file instead, without TLS.
    socket: Option<PathBuf>,
}

impl Server {
    /// The server and the database of `mysql://user:password@host:port/database?parameters`.
    pub fn of(url: &str) -> Result<(Self, String)> {
        let (rest, parameters) = match url.split_once('?') {
            Some((rest, parameters)) => (rest, format!("?{parameters}")),
            None => (url, String::new()),
        };
        let rest = rest.strip_prefix("mysql://").context("mysql://")?;
        let (login, rest) = rest.split_once('@').context("user:password@host")?;
        let (user, password) = login.split_once(':').context("user:password")?;
        let (place, database) = rest.split_once('/').context("host:port/database")?;
        let (host, port) = place.split_once(':').context("host:port")?;
        let port = port.parse().with_context(|| format!("the port {port}"))?;
        let (user, password) = (user.to_owned(), password.to_owned());
        let (host, socket) = (host.to_owned(), None);
        let server = Self { user, password, host, port, parameters, socket };
        Ok((server, database.to_owned()))
    }

    /// `host:port`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Who logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// A session that does nothing until its client is killed.
    pub fn idle(&self) -> Result<Child> {
        let mut client = self.client("mariadb");
        client.stdin(Stdio::piped()).stdout(Stdio::null());
        client.spawn().context("the `mariadb` client")
    }

    /// The URL of a database of this server, reached at `place`.
    pub fn url(&self, place: &str, database: &str) -> String {
        let Self { user, password, parameters, .. } = self;
        format!("mysql://{user}:{password}@{place}/{database}{parameters}")
    }

    /// The URL without the password.
    pub fn url_without_password(&self, place: &str, database: &str) -> String {
        format!("mysql://{}@{place}/{database}{}", self.user, self.parameters)
    }

    /// The same server for its administrator, who has no password.
    pub fn root(&self) -> Self {
        Self { user: "root".to_owned(), password: String::new(), ..self.clone() }
    }

    /// The same server for its administrator on this machine, whatever its TLS is like.
    pub fn by_socket(&self, socket: &Path) -> Self {
        Self { socket: Some(socket.to_owned()), parameters: String::new(), ..self.root() }
    }

    /// Where it is, for the client.
    fn way(&self) -> Vec<String> {
        match &self.socket {
            Some(socket) => vec![format!("--socket={}", socket.display())],
            None => vec![format!("-h{}", self.host), format!("-P{}", self.port)],
        }
    }

    /// What the client needs for TLS where the URL asks for it.
    fn tls(&self) -> Vec<String> {
        let ca = self.parameters.split(['?', '&']).find_map(|p| p.strip_prefix("ssl-ca="));
        let verify = || "--ssl-verify-server-cert".to_owned();
        ca.map(|ca| vec![format!("--ssl-ca={ca}"), verify()]).unwrap_or_default()
    }

    /// Copies all tables of a database, as they are at one moment, into a new one.
    pub fn copy(&self, database: &str, into: &str) -> Result<()> {
        self.sql(&format!("DROP DATABASE IF EXISTS {into}; CREATE DATABASE {into}"))?;
        let mut dump = self.client("mariadb-dump");
        dump.args(["--single-transaction", "--skip-lock-tables", "--no-tablespaces", database]);
        let mut dump = dump.stdout(Stdio::piped()).spawn().context("mariadb-dump")?;
        let rows = dump.stdout.take().context("its output")?;
        let mut load = self.client("mariadb");
        let loaded = load.arg(into).stdin(rows).status().context("the `mariadb` client")?;
        ensure!(dump.wait()?.success() && loaded.success(), "{database} is not copied");
        Ok(())
    }

    /// Puts the tables of a copy in place of the database's, all in one step, as a failover to a
    /// replica that was behind does. The copy is gone afterwards.
    pub fn put_back(&self, database: &str, copy: &str) -> Result<()> {
        let list = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{copy}'"
        );
        let away = format!("{copy}_away");
        let tables = self.sql(&list)?;
        let moves: Vec<String> = tables
            .lines()
            .map(|t| format!("{database}.{t} TO {away}.{t}, {copy}.{t} TO {database}.{t}"))
            .collect();
        let moves = moves.join(", ");
        let limit = "SET SESSION lock_wait_timeout = 30";
        self.sql(&format!("{limit}; CREATE DATABASE IF NOT EXISTS {away}; RENAME TABLE {moves}"))?;
        self.sql(&format!("DROP DATABASE {away}; DROP DATABASE {copy}")).map(|_| ())
    }

    fn client(&self, program: &str) -> Command {
        let mut c = Command::new(program);
        c.args(self.way()).args(self.tls());
        c.args(["-u", &self.user, &format!("--password={}", self.password)]);
        c.stdin(Stdio::null());
        c
    }

    /// Runs statements; the answer without headings, columns separated by tabs.
    pub fn sql(&self, statements: &str) -> Result<String> {
        let out = Command::new("mariadb")
            .args(["--local-infile=1", "--connect-timeout=5", "-N"])
            .args(self.way())
            .args(self.tls())
            .args(["-u", &self.user, &format!("--password={}", self.password), "-e", statements])
            .output()
            .context("the `mariadb` client")?;
        let said = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "{statements}: {said}");
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart_and_together() {
        let url = "mysql://me:secret@127.0.0.1:17021/sluice_0";
        let (server, database) = Server::of(url).unwrap();
        assert_eq!((server.place().as_str(), database.as_str()), ("127.0.0.1:17021", "sluice_0"));
        assert_eq!(server.url(&server.place(), &database), url);
        assert!(server.tls().is_empty());
        let url = format!("{url}?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem");
        let (server, database) = Server::of(&url).unwrap();
        assert_eq!((server.url(&server.place(), &database), database.as_str()), (url, "sluice_0"));
        assert_eq!(server.tls()[0], "--ssl-ca=/ca.pem");
        assert_eq!(server.root().url("h:1", "d").split('@').next(), Some("mysql://root:"));
        for bad in ["sqlite://x", "mysql://me@h:1/d", "mysql://me:s@h/d", "mysql://me:s@h:1"] {
            assert!(Server::of(bad).is_err(), "{bad}");
        }
    }
}
