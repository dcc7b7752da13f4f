//! What tests stand on: reference models, conformance suites, the simulator, the harness.
//!
//! A dev-dependency only; no service depends on it.

pub mod cells;
pub mod log;
pub mod memory;
#[expect(clippy::panic, reason = "a step that fails fails its test")]
pub mod ports;
pub mod stack;
pub mod store;
