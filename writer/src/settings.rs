//! What a writer needs to know besides its ports.

use std::time::Duration;

runtime::section! {
    /// The writer.
    pub struct WriterConfig {
        /// Probe listener of `sluicegate writer`.
        listen: String = "127.0.0.1:9091".into(), listen;
        /// The most frames of one batch.
        batch_frames: usize = 256, range(1..=256);
        /// The most orders of one batch.
        batch_orders: usize = 2048, range(1..=4096);
        /// A database that does not answer for this long sends its orders to its retry partition.
        patience_ms: u64 = 2000, range(10..=3_600_000);
        /// Rounds without progress after which a partition is given up to another writer.
        give_up_after: u32 = 5, range(1..=1000);
    }
}

/// What a writer needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct WriterSettings {
    /// The most frames of one batch.
    pub batch_frames: usize,
    /// The most orders of one batch.
    pub batch_orders: usize,
    /// A database silent for this long sends its orders to its retry partition.
    pub patience: Duration,
    /// Rounds without progress after which a partition is given up.
    pub give_up_after: u32,
}

impl From<&WriterConfig> for WriterSettings {
    fn from(c: &WriterConfig) -> Self {
        Self {
            batch_frames: c.batch_frames,
            batch_orders: c.batch_orders,
            patience: Duration::from_millis(c.patience_ms),
            give_up_after: c.give_up_after,
        }
    }
}
