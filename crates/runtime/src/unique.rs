//! Unique numbers from the operating system: nonces, incarnations, tickets, holder names.
//!
//! A port like the clock, so that a simulation can hand out its own sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives numbers that no other process and no later start gives again.
pub trait Unique: Send + Sync {
    /// 64 bits that are never repeated in practice.
    fn next(&self) -> u64;
}

/// A random start, then a counter scrambled by a fixed odd multiplier: two processes meet with
/// the probability of two 64-bit random walks.
#[derive(Debug)]
pub struct RandomUnique {
    base: u64,
    count: AtomicU64,
}

impl RandomUnique {
    /// Seeds from the operating system through the standard library's hasher keys.
    pub fn new() -> Self {
        use std::hash::{BuildHasher, Hasher};
        let base = std::collections::hash_map::RandomState::new().build_hasher().finish();
        Self { base, count: AtomicU64::new(0) }
    }
}

impl Default for RandomUnique {
    fn default() -> Self {
        Self::new()
    }
}

impl Unique for RandomUnique {
    fn next(&self) -> u64 {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        self.base ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// The process's own source behind the port.
pub fn random() -> Arc<dyn Unique> {
    Arc::new(RandomUnique::new())
}
