//! The conformance of the cell port: a reference model, directed cases, random sequences.
//!
//! Every backend passes the same suite. The model is written from the protocol, the scripts are
//! not looked at; where both agree on every reply and every scan, INV-3 and INV-4 hold in both.

pub mod audit;
pub mod case;
#[expect(clippy::panic, reason = "a failed case fails its test")]
pub mod conformance;
mod conformance_ledger;
pub mod model;
pub mod ops;
pub mod sequence;
#[expect(clippy::panic, reason = "a missing stack fails the test")]
pub mod stack;

use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that a test moves.
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl HandClock {
    /// Starts at `ms`.
    pub fn at(ms: u64) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(AtomicU64::new(ms)))
    }

    /// Moves on.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl runtime::Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
