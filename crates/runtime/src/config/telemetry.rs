//! Logs: what is written, and in which form.

use serde::{Deserialize, Serialize};

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

crate::section! {
    /// Logs.
    pub struct TelemetryConfig {
        /// A filter such as `info` or `warn,sluicegate_writer=debug`.
        log: String = "warn,sluicegate=info".into();
        /// `text` or `json`.
        format: LogFormat = LogFormat::Text;
    }
}
