//! What a reconciler needs to know besides its ports.

use std::time::Duration;

use view::PublishTimes;

runtime::section! {
    /// The reconciler.
    pub struct ReconcilerConfig {
        /// Probe listener of `sluicegate reconciler`.
        listen: String = "127.0.0.1:9092".into(), listen;
        /// Between two passes over all cells; each pass waits up to a quarter more (jitter).
        interval_ms: u64 = 2000, range(10..=3_600_000);
        /// X: a hold older than this, with the log finished past it, is relayed.
        relay_after_ms: u64 = 5000, range(10..=3_600_000);
        /// Y: a verdict without a row for this long is published again.
        sweep_after_ms: u64 = 10_000, range(10..=3_600_000);
        /// Between two looks at all money; each reads every payment once, page by page.
        money_interval_ms: u64 = 300_000, range(100..=86_400_000);
        /// Cells worked on at once.
        parallel: usize = 8, range(1..=64);
        /// How long a lease on a database's cells lasts, and a ticket of a rebuild is respected.
        lease_ms: u64 = 10_000, range(100..=3_600_000);
        /// Rounds without progress after which the lease on a database is given up.
        give_up_after: u32 = 3, range(1..=1000);
        /// Ledger entries and holds beyond which `held` and the buyers of a cell are not compared
        /// (its counters always are).
        compare_most: u64 = 20_000_000, range(1..=100_000_000);
        /// Orders published again that may be on their way to a writer at once; more wait.
        relay_most: usize = 200_000, range(1..=10_000_000);
    }
}

/// What a reconciler needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct ReconcilerSettings {
    /// Between two passes.
    pub interval: Duration,
    /// Between two looks at all money.
    pub money_interval: Duration,
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
    /// How a gate publishes; so does the relay.
    pub publish: PublishTimes,
}

impl ReconcilerSettings {
    /// What the configuration says, and how long a gate may take to publish a hold.
    pub fn new(c: &ReconcilerConfig, publish: PublishTimes) -> Self {
        Self {
            interval: Duration::from_millis(c.interval_ms),
            money_interval: Duration::from_millis(c.money_interval_ms),
            relay_after: Duration::from_millis(c.relay_after_ms),
            sweep_after: Duration::from_millis(c.sweep_after_ms),
            parallel: c.parallel,
            lease: Duration::from_millis(c.lease_ms),
            give_up_after: c.give_up_after,
            compare_most: c.compare_most,
            relay_most: c.relay_most,
            publish,
        }
    }
}
