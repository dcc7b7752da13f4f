//! What a writer needs to know besides its ports.

use std::time::Duration;

use runtime::config::WriterConfig;

/// What a writer needs to know besides its ports.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most frames of one batch.
    pub batch_frames: usize,
    /// The most orders of one batch.
    pub batch_orders: usize,
    /// A database silent for this long sends its orders to its retry partition.
    pub patience: Duration,
    /// Rounds without progress after which a partition is given up.
    pub give_up_after: u32,
}

impl From<&WriterConfig> for Settings {
    fn from(c: &WriterConfig) -> Self {
        Self {
            batch_frames: c.batch_frames,
            batch_orders: c.batch_orders,
            patience: Duration::from_millis(c.patience_ms),
            give_up_after: c.give_up_after,
        }
    }
}
