//! Store and log in memory, for the deterministic simulator and for tests of thousands of short
//! schedules.
//!
//! They obey the ports' contracts: the conformance suites that run on the databases and on the
//! real logs run on them (`tests/memory.rs`). Every call is one atomic step behind one yield;
//! nothing here spawns, looks at a clock of its own or iterates in an order that is not fixed, so
//! the same polls give the same answers. Faults are deliberately absent: a wrapper adds them. What
//! only a simulator needs (looking inside without waiting, cutting a ledger, losing a frame,
//! breaking a rule on purpose) are inherent methods.

mod catalog;
mod clock;
mod details;
mod fork;
mod inspect;
mod ledger;
mod life;
mod life_tables;
mod log;
mod log_control;
mod marks;
mod money;
mod mutant;
mod orders;
mod reads;
mod state;
mod units;
mod verdicts;

pub use clock::PausedClock;
pub use log::{MemoryLog, Pick};
pub use log_control::StoredFrame;
pub use mutant::StoreMutant;
pub use state::{MemoryStore, SavedDatabase};
