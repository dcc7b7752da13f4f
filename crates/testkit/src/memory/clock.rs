//! Wall time that moves with tokio's time, so that a paused runtime moves both at once.

use std::sync::Arc;

use tokio::time::Instant;

/// Tells `start_ms` plus what has passed on tokio's clock since it was made.
#[derive(Debug)]
pub struct PausedClock {
    start_ms: u64,
    made: Instant,
}

impl PausedClock {
    /// Inside a runtime.
    pub fn starting_at(start_ms: u64) -> Arc<Self> {
        Arc::new(Self { start_ms, made: Instant::now() })
    }
}

impl runtime::Clock for PausedClock {
    fn now_ms(&self) -> u64 {
        self.start_ms + self.made.elapsed().as_millis() as u64
    }
}
