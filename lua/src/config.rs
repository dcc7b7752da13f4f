//! Where cells live.

use std::path::PathBuf;

use runtime::config::told;
use runtime::secret::Secret;
use runtime::tls::Files;
use serde::{Deserialize, Serialize};

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

runtime::section! {
    /// Where cells live.
    pub struct CellsConfig, checked by wrong {
        /// `embedded` or `redis`.
        backend: CellsBackend = CellsBackend::Embedded;
        /// Some nodes of the cluster, `host:port`.
        nodes: Vec<String> = Vec::new();
        /// The most time one script call may take.
        timeout_ms: u64 = 1000, range(10..=60_000);
        /// The user of the access list; empty = the cluster's default user.
        user: String = String::new();
        /// The user's password; empty = none.
        password: String = String::new(), secret;
        /// A file with the password instead, read at every connect.
        password_file: PathBuf = PathBuf::new();
        /// True for TLS to every node. Addresses as the nodes announce them must be in their
        /// certificates.
        tls: bool = false;
        /// PEM file with the certificates to trust; empty = those that browsers trust.
        ca_file: PathBuf = PathBuf::new();
        /// PEM file with this client's certificate, where nodes ask for one.
        cert_file: PathBuf = PathBuf::new();
        /// PEM file with its key.
        key_file: PathBuf = PathBuf::new();
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

/// What contradicts itself, and what a client would silently ignore.
fn wrong(c: &CellsConfig) -> Vec<String> {
    let set = |path: &PathBuf| !path.as_os_str().is_empty();
    let files = set(&c.ca_file) || set(&c.cert_file) || set(&c.key_file);
    let nothing = c.password.is_empty() && !set(&c.password_file);
    told(&[
        (!c.password.is_empty() && set(&c.password_file), "password: or its file, not both"),
        (!c.user.is_empty() && nothing, "user: needs cells.password or cells.password_file"),
        (files && !c.tls, "ca_file, cert_file, key_file: need cells.tls = true"),
        (set(&c.cert_file) != set(&c.key_file), "cert_file and cells.key_file: both or none"),
    ])
}
