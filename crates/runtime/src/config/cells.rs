//! Where cells live, and how the gate reserves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::tls::Files;

/// Which backend holds the cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellsBackend {
    /// The scripts in this process, rebuilt from the ledger at start.
    #[default]
    Embedded,
    /// Redis Cluster.
    Redis,
}

/// Where cells live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CellsConfig {
    /// `embedded` or `redis`.
    pub backend: CellsBackend,
    /// Some nodes of the cluster, `host:port`.
    pub nodes: Vec<String>,
    /// The most time one script call may take.
    pub timeout_ms: u64,
    /// The user of the access list; empty = the cluster's default user.
    pub user: String,
    /// The user's password; empty = none.
    pub password: String,
    /// A file with the password instead, read at every connect.
    pub password_file: PathBuf,
    /// True for TLS to every node.
    pub tls: bool,
    /// PEM file with the certificates to trust; empty = those that browsers trust.
    pub ca_file: PathBuf,
    /// PEM file with this client's certificate, where nodes ask for one.
    pub cert_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
}

impl Default for CellsConfig {
    fn default() -> Self {
        Self {
            backend: CellsBackend::Embedded,
            nodes: Vec::new(),
            timeout_ms: 1000,
            user: String::new(),
            password: String::new(),
            password_file: PathBuf::new(),
            tls: false,
            ca_file: PathBuf::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
        }
    }
}

impl CellsConfig {
    /// What the user proves itself with.
    pub fn secret(&self) -> Secret {
        Secret::of(&self.password, &self.password_file)
    }

    /// The certificates; `None` without TLS.
    pub fn files(&self) -> Option<Files> {
        let (ca, cert, key) = (&self.ca_file, &self.cert_file, &self.key_file);
        let files = Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
        self.tls.then_some(files)
    }
}

/// The reserve combiner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReserveConfig {
    /// The most orders of one call, 1 to 256.
    pub batch: usize,
    /// The most requests that wait for one cell; more are shed with 503.
    pub queue: usize,
    /// Time a reserve may take from its first attempt; later it answers LATE.
    pub budget_ms: u64,
    /// Replicas that must have a hold before its order is `accepted`, 0 to 5; 0 = do not wait.
    /// Only the number of replicas that each primary has protects against a failover.
    pub wait_replicas: u8,
    /// The most time replicas get for it, 1 to 500; then the orders are `unconfirmed`.
    pub wait_timeout_ms: u64,
}

impl Default for ReserveConfig {
    fn default() -> Self {
        Self { batch: 256, queue: 4096, budget_ms: 2000, wait_replicas: 0, wait_timeout_ms: 100 }
    }
}
