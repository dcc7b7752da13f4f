//! What tests stand on: reference models, conformance suites, the simulator, the harness.
//!
//! A dev-dependency only; no service depends on it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]

pub mod cells;
#[expect(clippy::panic, reason = "what differs fails its test")]
pub mod golden;
pub mod log;
pub mod mariadb;
pub mod memory;
pub mod own;
#[expect(clippy::panic, reason = "a step that fails fails its test")]
pub mod ports;
#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
pub mod process;
pub mod stack;
pub mod store;
