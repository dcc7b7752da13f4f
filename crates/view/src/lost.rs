//! Fresh claims that found no hold: Redis lost data, or an order came back from the log.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::METRICS;

static WITHOUT_HOLD: AtomicU64 = AtomicU64::new(0);

/// Counts some.
pub fn count_without_hold(n: u32) {
    WITHOUT_HOLD.fetch_add(n.into(), Ordering::Relaxed);
    METRICS.apply_without_hold.increment(n.into());
}

/// How many there were since this process began.
pub fn without_hold() -> u64 {
    WITHOUT_HOLD.load(Ordering::Relaxed)
}
