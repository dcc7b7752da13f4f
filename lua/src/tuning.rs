//! How a client of the cluster is tuned, and why there is none.

use std::time::Duration;

/// What may be tuned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    /// Clients, each with a connection to each node; at least 1.
    pub clients: usize,
    /// Until a command without an answer is given up; 1 s or less on the hot path.
    pub command_timeout: Duration,
    /// Until a connection attempt is given up.
    pub connection_timeout: Duration,
    /// Until a node that answers nothing loses its connection.
    pub unresponsive: Duration,
    /// The most commands in flight per client; more are refused at once as `NotSent`.
    pub max_in_flight: usize,
    /// The longest pause between two attempts to reconnect.
    pub reconnect_max: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            clients: 1,
            command_timeout: Duration::from_secs(1),
            connection_timeout: Duration::from_secs(1),
            unresponsive: Duration::from_secs(2),
            max_in_flight: 10_000,
            reconnect_max: Duration::from_millis(500),
        }
    }
}

/// A cluster that cannot be reached or lets nobody in, or a configuration that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("redis cluster: {0}")]
pub struct ConnectError(pub String);
