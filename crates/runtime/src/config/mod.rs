//! The configuration: one struct per concern, file, environment, flags, in that order.
//!
//! Unknown keys are refused with their path. `sluicegate.toml` in the repository lists every key
//! with its default; a test holds the two together. Secrets are redacted when printed.

mod access;
mod cells;
mod gate;
mod load;
mod network;
mod ranges;
mod redact;
mod store;

pub use cells::{CellsBackend, CellsConfig, ReserveConfig};
pub use gate::{AdminConfig, AuthConfig, GateConfig, LimitConfig, LimitsConfig};
pub use load::{ConfigError, Sources, check, load};
pub use network::Network;
pub use redact::{print_redacted, without_password};
pub use store::{LogBackend, LogConfig, PublishConfig, StoreSection};

use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder of the embedded backends.
    pub data_dir: DataDir,
    /// The identity secret.
    pub identity: IdentityConfig,
    /// Tokens.
    pub auth: AuthConfig,
    /// The buyers' listener.
    pub gate: GateConfig,
    /// Limits of admission.
    pub limits: LimitsConfig,
    /// The operators' listener.
    pub admin: AdminConfig,
    /// Where cells live.
    pub cells: CellsConfig,
    /// The reserve combiner.
    pub reserve: ReserveConfig,
    /// Databases.
    pub store: StoreSection,
    /// The order log.
    pub log: LogConfig,
    /// The frame combiner.
    pub publish: PublishConfig,
    /// The writer.
    pub writer: WriterConfig,
    /// The reconciler.
    pub reconciler: ReconcilerConfig,
    /// Logs.
    pub telemetry: TelemetryConfig,
}

/// A folder; `data` by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DataDir(pub std::path::PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        Self("data".into())
    }
}

/// Keys ids, shards, buckets and receipts; never changes in a deployment's life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// At least 16 characters; `dev` makes one in its data folder when empty.
    pub secret: String,
}

/// The writer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WriterConfig {
    /// Probe listener of `sluicegate writer`.
    pub listen: String,
    /// The most frames of one batch, 1 to 256.
    pub batch_frames: usize,
    /// The most orders of one batch, 1 to 4,096.
    pub batch_orders: usize,
    /// A database that does not answer for this long sends its orders to its retry partition.
    pub patience_ms: u64,
    /// Rounds without progress after which a partition is given up to another writer, 1 to 1,000.
    pub give_up_after: u32,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9091".into(),
            batch_frames: 256,
            batch_orders: 2048,
            patience_ms: 2000,
            give_up_after: 5,
        }
    }
}

/// The reconciler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconcilerConfig {
    /// Probe listener of `sluicegate reconciler`.
    pub listen: String,
    /// Between two passes over all cells; each pass waits up to a quarter more (jitter).
    pub interval_ms: u64,
    /// X: a hold older than this, with the log finished past it, is relayed.
    pub relay_after_ms: u64,
    /// Y: a verdict without a row for this long is published again.
    pub sweep_after_ms: u64,
    /// Cells worked on at once, 1 to 64.
    pub parallel: usize,
    /// How long a lease on a database's cells lasts, and a ticket of a rebuild is respected.
    pub lease_ms: u64,
    /// Rounds without progress after which the lease on a database is given up, 1 to 1,000.
    pub give_up_after: u32,
    /// Ledger entries and holds beyond which `held` and the buyers of a cell are not compared
    /// (its counters always are).
    pub compare_most: u64,
    /// Orders published again that may be on their way to a writer at once; more wait.
    pub relay_most: usize,
}

impl Default for ReconcilerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9092".into(),
            interval_ms: 2000,
            relay_after_ms: 5000,
            sweep_after_ms: 10_000,
            parallel: 8,
            lease_ms: 10_000,
            give_up_after: 3,
            compare_most: 20_000_000,
            relay_most: 200_000,
        }
    }
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// A filter such as `info` or `warn,sluicegate_writer=debug`.
    pub log: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "warn,sluicegate=info".into(), format: LogFormat::Text }
    }
}

impl Config {
    /// True when nothing outside this process is needed.
    pub fn is_embedded(&self) -> bool {
        self.cells.backend == CellsBackend::Embedded
    }
}
