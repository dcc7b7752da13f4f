//! The protocol over every interleaving of small scopes.
//!
//! Gates, writers, the relay, a rebuilder and the faults are sequences of atomic steps on a small
//! state; the checker visits every state that any order of these steps can reach, asks the oracle
//! about each, and from each lets everybody die and only recovery run (INV-7, INV-11). What the
//! code has as pure functions is used as it is: `domain::Totals` decides what the ledger takes,
//! `domain::invariant` what is broken. What is deliberately absent: time (nothing in the protocol
//! may depend on it but `publish.max_age`, which the rebuilder's grace stands for), campaign
//! windows, RETURNING and CONFLICT, retry partitions, batches. The random simulator has those.

pub mod check;
mod fault;
pub mod gate;
pub mod ledger;
pub mod ops;
pub mod oracle;
pub mod rebuild;
pub mod redis;
pub mod relay;
mod scope;
pub mod scopes;
mod seen;
pub mod state;
pub mod walk;
pub mod world;
pub mod writer;

pub use check::{Found, Report, explore};
pub use ops::{Op, Reply};
pub use state::{Mutant, Scope, State};
pub use world::{Action, World};
