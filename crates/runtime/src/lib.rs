//! Plumbing of every service: configuration, clock, telemetry, shutdown, named tasks.
//!
//! Nothing here knows what an order is.

pub mod clock;

pub use clock::{Clock, SystemClock};
