//! What a load test has to know of the deployment that it presses.

use std::path::PathBuf;

use cells::CellsConfig;
use store::StoreSection;
use web::AuthConfig;

/// Where it is, and the secrets with which tokens are made and its stores are read.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Keys ids and shards; empty: its stores are not read.
    pub identity_secret: String,
    /// With whose secret buyers' tokens are made.
    pub auth: AuthConfig,
    /// The operators' token.
    pub admin_token: String,
    /// The gate's listen address.
    pub gate_listen: String,
    /// The operators' listen address.
    pub admin_listen: String,
    /// The most units of one order.
    pub max_quantity: u32,
    /// Its databases; none: SQLite in the data folder.
    pub store: StoreSection,
    /// Folder of the embedded backends.
    pub data_dir: PathBuf,
    /// Its Redis; `None` with embedded cells, which live in another process.
    pub cells: Option<CellsConfig>,
    /// The configuration in force for the report's readers, redacted.
    pub shown: String,
}
