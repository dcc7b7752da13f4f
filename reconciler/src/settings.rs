//! What a reconciler needs to know besides its ports.

use std::time::Duration;

use runtime::config::{PublishConfig, ReconcilerConfig};

/// What a reconciler needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two passes.
    pub interval: Duration,
    /// X.
    pub relay_after: Duration,
    /// Y.
    pub sweep_after: Duration,
    /// Cells worked on at once.
    pub parallel: usize,
    /// How long a lease on a database's cells lasts.
    pub lease: Duration,
    /// Rounds without progress after which a lease is given up.
    pub give_up_after: u32,
    /// Ledger entries and holds beyond which held and b of a cell are not compared.
    pub compare_most: u64,
    /// Orders published again that may be on their way to a writer at once.
    pub relay_most: usize,
    /// A gate publishes what it saw at most this long ago; so does the relay.
    pub max_age: Duration,
    /// A gate waits this long for a receipt; so does the relay.
    pub publish_timeout: Duration,
}

impl Settings {
    /// What the configuration says; `publish` tells how long a gate may take to publish a hold.
    pub fn new(c: &ReconcilerConfig, publish: &PublishConfig) -> Self {
        Self {
            interval: Duration::from_millis(c.interval_ms),
            relay_after: Duration::from_millis(c.relay_after_ms),
            sweep_after: Duration::from_millis(c.sweep_after_ms),
            parallel: c.parallel,
            lease: Duration::from_millis(c.lease_ms),
            give_up_after: c.give_up_after,
            compare_most: c.compare_most,
            relay_most: c.relay_most,
            max_age: Duration::from_millis(publish.max_age_ms),
            publish_timeout: Duration::from_millis(publish.timeout_ms),
        }
    }
}
