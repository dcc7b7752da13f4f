//! Where everything of a stack is: names, ports, folders.
//!
//! Pure arithmetic on one port base and one folder, so two stacks with different bases share
//! nothing. The folder is always below the workspace's own `target/`, whatever CARGO_TARGET_DIR
//! says, because other tools look for it there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port base unless `--port-base` says otherwise.
pub(crate) const DEFAULT_BASE: u16 = 17_000;

/// The same, of the benchmark's own stack.
pub(crate) const BENCH_BASE: u16 = 21_000;

/// Nodes of the Redis cluster, half of them primaries.
pub(crate) const REDIS_NODES: u8 = 6;

/// MariaDB servers, each with `DATABASES_EACH` databases.
pub(crate) const MARIADB_SERVERS: u8 = 2;

/// Databases on each MariaDB server.
pub(crate) const DATABASES_EACH: u8 = 2;

/// One server of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// A node of the Redis cluster, counted from 1.
    Redis(u8),
    /// A MariaDB server, counted from 1.
    Mariadb(u8),
    /// The Pulsar broker with its bookie.
    Pulsar,
}

impl Server {
    /// All servers in the order in which they are listed.
    pub(crate) fn all() -> Vec<Self> {
        let redis = (1..=REDIS_NODES).map(Self::Redis);
        let mariadb = (1..=MARIADB_SERVERS).map(Self::Mariadb);
        redis.chain(mariadb).chain([Self::Pulsar]).collect()
    }

    /// All nodes of the Redis cluster.
    pub(crate) fn redis_nodes() -> impl Iterator<Item = Self> {
        (1..=REDIS_NODES).map(Self::Redis)
    }

    /// The executable's name as it stands in the process's command line.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Redis(_) => "redis-server",
            Self::Mariadb(_) => "mariadbd",
            Self::Pulsar => "java",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(n) => f.pad(&format!("redis-{n}")),
            Self::Mariadb(n) => f.pad(&format!("mariadb-{n}")),
            Self::Pulsar => f.pad("pulsar"),
        }
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = Self::all();
        all.iter().copied().find(|server| server.to_string() == name).ok_or_else(|| {
            let names: Vec<String> = all.iter().map(ToString::to_string).collect();
            format!("no server has this name; there are {}", names.join(", "))
        })
    }
}

/// One stack: its port base and its folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    base: u16,
    target: PathBuf,
}

impl Layout {
    /// The stack with this port base in the workspace that this xtask belongs to.
    pub(crate) fn new(base: u16) -> Self {
        Self { base, target: workspace_root().join("target") }
    }

    /// Where a client reaches the server.
    pub(crate) fn port(&self, server: Server) -> u16 {
        self.base
            + match server {
                Server::Redis(n) => u16::from(n),
                Server::Mariadb(n) => 20 + u16::from(n),
                Server::Pulsar => 50,
            }
    }

    /// The port on which Redis nodes gossip.
    pub(crate) fn redis_bus_port(&self, n: u8) -> u16 {
        self.base + 10 + u16::from(n)
    }

    /// The port of Pulsar's admin interface.
    pub(crate) fn pulsar_admin_port(&self) -> u16 {
        self.base + 51
    }

    /// The port of Pulsar's bookie.
    pub(crate) fn bookie_port(&self) -> u16 {
        self.base + 52
    }

    /// Where the product's gate is to listen.
    pub(crate) fn gate_port(&self) -> u16 {
        self.base + 80
    }

    /// Where the product's admin listener is to listen.
    pub(crate) fn admin_port(&self) -> u16 {
        self.base + 90
    }

    /// Every port that the server itself binds.
    pub(crate) fn bound_ports(&self, server: Server) -> Vec<u16> {
        let first = self.port(server);
        match server {
            Server::Redis(n) => vec![first, self.redis_bus_port(n)],
            Server::Mariadb(_) => vec![first],
            Server::Pulsar => vec![first, self.pulsar_admin_port(), self.bookie_port()],
        }
    }

    /// The ports of outgoing connections (`from to`, as the kernel tells them), where a port of
    /// this stack is among them.
    pub(crate) fn among_outgoing(&self, range: &str) -> Option<(u16, u16)> {
        let mut ends = range.split_whitespace().map(|n| n.parse::<u16>().ok());
        let (from, to) = (ends.next()??, ends.next()??);
        let outgoing = |port: u16| (from..=to).contains(&port);
        let ports = Server::all().into_iter().flat_map(|s| self.bound_ports(s));
        ports.into_iter().any(outgoing).then_some((from, to))
    }

    /// The folder with everything of this stack.
    pub(crate) fn folder(&self) -> PathBuf {
        match self.base {
            DEFAULT_BASE => self.target.join("stack"),
            base => self.target.join(format!("stack-{base}")),
        }
    }

    /// The lock that commands hold while they change the stack; outside of the folder, so that
    /// wiping the folder does not take it away under a command that waits for it.
    pub(crate) fn lock_file(&self) -> PathBuf {
        self.target.join(format!(".stack-{}.lock", self.base))
    }

    /// The product's configuration for this stack.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder().join("sluicegate.toml")
    }

    /// The servers' configuration for whoever may do everything on them, where somebody may not.
    pub(crate) fn operator_file(&self) -> PathBuf {
        self.folder().join("operator.toml")
    }

    /// A server's own folder.
    pub(crate) fn home(&self, server: Server) -> PathBuf {
        self.folder().join(server.to_string())
    }

    /// Where a server's process id is.
    pub(crate) fn pid_file(&self, server: Server) -> PathBuf {
        self.folder().join(format!("{server}.pid"))
    }

    /// Where a server's stdout and stderr go.
    pub(crate) fn log_file(&self, server: Server) -> PathBuf {
        self.folder().join(format!("{server}.log"))
    }

    /// The databases on a MariaDB server; numbers run on from one server to the next.
    pub(crate) fn databases(&self, server: u8) -> Vec<String> {
        let first = (server - 1) * DATABASES_EACH;
        (first..first + DATABASES_EACH).map(|n| format!("sluice_{n}")).collect()
    }
}

/// The workspace's root: the parent of this crate. cargo names the crate at run time; the path
/// from compile time serves when the binary is started by hand.
pub(crate) fn workspace_root() -> PathBuf {
    let here = std::env::var("CARGO_MANIFEST_DIR")
        .ok()
        .filter(|dir| Path::new(dir).ends_with("xtask"))
        .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&here).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_to_its_server() {
        for server in Server::all() {
            assert_eq!(server.to_string().parse(), Ok(server));
        }
        assert!("redis-0".parse::<Server>().is_err());
    }

    #[test]
    fn no_port_is_given_twice() {
        let layout = Layout::new(20_000);
        let mut ports: Vec<u16> =
            Server::all().into_iter().flat_map(|server| layout.bound_ports(server)).collect();
        ports.extend([layout.gate_port(), layout.admin_port()]);
        let given = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), given);
        assert!(ports.iter().all(|port| (20_000..20_100).contains(port)));
    }

    #[test]
    fn a_base_among_outgoing_ports_is_told() {
        let range = "32768\t60999\n";
        assert_eq!(Layout::new(17_000).among_outgoing(range), None);
        assert_eq!(Layout::new(37_000).among_outgoing(range), Some((32_768, 60_999)));
        assert_eq!(Layout::new(61_000).among_outgoing(range), None);
        assert_eq!(Layout::new(37_000).among_outgoing("nonsense"), None);
    }

    #[test]
    fn databases_are_numbered_through() {
        let layout = Layout::new(DEFAULT_BASE);
        assert_eq!(layout.databases(1), ["sluice_0", "sluice_1"]);
        assert_eq!(layout.databases(2), ["sluice_2", "sluice_3"]);
    }

    #[test]
    fn another_base_is_another_folder() {
        assert!(Layout::new(DEFAULT_BASE).folder().ends_with("target/stack"));
        assert!(Layout::new(18_000).folder().ends_with("target/stack-18000"));
    }
}
