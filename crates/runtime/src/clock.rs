//! The clock port: the one place where wall time enters.
//!
//! Deadlines use `tokio::time` (which a test can pause); wall time is asked from here, so that a
//! simulation can decide what time it is.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells wall time.
pub trait Clock: Send + Sync {
    /// UTC milliseconds.
    fn now_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }
}

/// The machine's clock behind the port.
pub fn system_clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
