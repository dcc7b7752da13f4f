//! The deterministic simulator: production gates, writers and reconcilers in one thread on a paused
//! clock, over the real scripts and stores in memory, with faults from a seed.
//!
//! Same seed, same story. Every call of a process goes through its own ports ([`net`]), where it is
//! delayed, lost, carried out late or twice; processes die, stop and crawl; stores lose data. The
//! [`oracle`] looks after every step. Nothing here decides anything about an order.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]

pub mod bank;
pub mod calls;
pub mod cells;
pub mod cli;
pub mod client;
pub mod coverage;
pub mod fault;
pub mod http;
pub mod log;
pub mod mutants;
pub mod net;
pub mod node;
pub mod operator;
pub mod oracle;
pub mod person;
pub mod plan;
pub mod plant;
pub mod post;
pub mod process;
pub mod redis;
pub mod rng;
pub mod run;
pub mod servers;
pub mod shrink;
pub mod store;
pub mod story;
pub mod sweep;
pub mod tell;
pub mod transfer;
pub mod world;
