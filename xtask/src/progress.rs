//! Progress lines on stderr: who did what, and how long after the command began.
//!
//! stdout stays free for what a script would read (`stack status`, `stack logs`).

use std::time::Instant;

/// A clock that started with the command; shared by all threads of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    began: Instant,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    /// Prints one line, for example `[  1.2s] redis-1    started, pid 4711`.
    pub(crate) fn say(&self, who: &str, what: &str) {
        eprintln!("[{:6.1}s] {who:<10} {what}", self.seconds());
    }

    /// Seconds since the clock started.
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}
