//! Plumbing of every service: configuration, clock, telemetry, shutdown, named tasks, probes,
//! credentials and certificates.
//!
//! Nothing here knows what an order is. The bans of `clippy.toml` (wall clock, raw spawn,
//! environment) are lifted in exactly the modules that replace them.

pub mod clock;
pub mod config;
mod counted;
pub mod meter;
pub mod probe;
pub mod secret;
pub mod seldom;
pub mod tasks;
pub mod telemetry;
pub mod tell;
pub mod tls;
pub mod unique;

pub use clock::{Clock, SystemClock};
pub use counted::DESCRIBED as METRICS;
pub use secret::Secret;
pub use tasks::{Phase, Tasks, Watch, caught};
