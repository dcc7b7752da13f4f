//! The order log: at least once, one port, two backends.
//!
//! `embedded` is a durable queue in one SQLite file for a single process; `pulsar` (cargo feature
//! of the same name, off by default because it needs `protoc`) is Apache Pulsar. Neither knows
//! what a frame holds. What is deliberately absent: deduplication (the ledger does it), delayed
//! delivery (the database's due index is the truth) and a dead-letter queue (a poison frame is
//! parked in a table by the writer).

mod config;
pub mod embedded;
pub mod port;
#[cfg(feature = "pulsar")]
pub mod pulsar;

pub use config::{LogBackend, LogConfig};
pub use embedded::EmbeddedLog;
pub use port::{Consumer, Delivery, DeliveryId, LogError, MAX_FRAME, OrderLog, Partition, Reader};
#[cfg(feature = "pulsar")]
pub use pulsar::PulsarLog;
