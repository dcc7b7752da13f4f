//! Databases and the order log.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::tls::Files;

/// Databases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSection {
    /// `mysql://user:password@host:port/database`, one per database; empty = SQLite in the data
    /// folder. The order and number never change without moving shards. TLS where the URL says so:
    /// `?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE`.
    pub databases: Vec<String>,
    /// A file with the password of all databases, read at every new pool; their URLs have none.
    pub password_file: PathBuf,
    /// Connections per database.
    pub connections: u32,
    /// The most time a transaction may take.
    pub timeout_ms: u64,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            databases: Vec::new(),
            password_file: PathBuf::new(),
            connections: 8,
            timeout_ms: 2000,
        }
    }
}

impl StoreSection {
    /// The password of URLs that have none.
    pub fn secret(&self) -> Secret {
        Secret::of("", &self.password_file)
    }
}

/// Which backend is the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogBackend {
    /// A durable queue in the data folder.
    #[default]
    Embedded,
    /// Apache Pulsar; needs a build with the feature `pulsar`.
    Pulsar,
}

/// The order log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `embedded` or `pulsar`.
    pub backend: LogBackend,
    /// `pulsar://host:port`, or `pulsar+ssl://host:port` for TLS.
    pub url: String,
    /// `http://host:port` or `https://host:port` of the broker's admin API.
    pub admin_url: String,
    /// The token that broker and admin API ask for; empty = none.
    pub token: String,
    /// A file with the token instead, read at every connect.
    pub token_file: PathBuf,
    /// PEM file with the certificates to trust; empty = those that browsers trust.
    pub ca_file: PathBuf,
    /// `tenant/namespace`.
    pub namespace: String,
    /// Topic names start with this.
    pub topic_prefix: String,
    /// Main partitions, 1 to 256; fixed at the first init.
    pub partitions: u16,
    /// Frames that are finished stay readable for this many hours, 1 to 8,760: as far back as
    /// `reconciler rewind` can go.
    pub retention_hours: u32,
    /// The most GiB of them, of each partition (embedded: of the file), 0 to 1,048,576; 0 = any.
    pub retention_gib: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            backend: LogBackend::Embedded,
            url: String::new(),
            admin_url: String::new(),
            token: String::new(),
            token_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            namespace: "public/default".into(),
            topic_prefix: "sluicegate".into(),
            partitions: 4,
            retention_hours: 168,
            retention_gib: 16,
        }
    }
}

impl LogConfig {
    /// What this client proves itself with.
    pub fn secret(&self) -> Secret {
        Secret::of(&self.token, &self.token_file)
    }

    /// The certificates, where a URL asks for TLS.
    pub fn files(&self) -> Files {
        Files { ca: self.ca_file.clone(), ..Files::default() }
    }
}

/// The frame combiner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublishConfig {
    /// The most orders of one frame, 1 to 256.
    pub frame_orders: usize,
    /// The most bytes of one frame, at most 262,144.
    pub frame_bytes: usize,
    /// Frames on their way at once per partition.
    pub in_flight: usize,
    /// Places per partition; without one a request is shed before it takes a hold.
    pub queue: usize,
    /// An order is never published for the first time later than this after its first hold.
    pub max_age_ms: u64,
    /// A receipt that takes longer counts as unknown.
    pub timeout_ms: u64,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            frame_orders: 256,
            frame_bytes: 262_144,
            in_flight: 4,
            queue: 8192,
            max_age_ms: 3000,
            timeout_ms: 2500,
        }
    }
}
