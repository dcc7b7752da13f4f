//! The gate: the HTTP edge of the sale.
//!
//! Admission by path, address and buyer comes before the body is read; then one reserve in the
//! cell, one frame in the log, one answer. The gate is stateless: everything it remembers (flags,
//! filters, catalog) may be lost at any moment. It never removes a hold, and it says "no" only
//! under the rules of PROTOCOL 6.3. Deliberately absent: any write to a database on the buyers'
//! side.

mod admission;
mod admitted;
mod answer;
mod body;
mod buy;
mod emit;
mod front;
mod http;
mod keys;
mod metadata;
mod metrics;
mod offers;
mod orders;
mod reserve;
mod serve;
mod soldout;
mod state;
mod wait;

pub use http::respond;
pub use serve::listen;
pub use state::{Gate, Starting};

/// What the gate counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::GateMetrics::DESCRIBED;
