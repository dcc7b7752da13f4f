//! Whether a service is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says whether a service is ready; set by the service.
#[derive(Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Changes the answer of `/readyz`.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
    /// The answer of `/readyz`.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
