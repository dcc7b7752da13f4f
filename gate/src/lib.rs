//! The gate: the HTTP edge of the sale.
//!
//! Admission by path, address and buyer comes before the body is read; then one reserve in the
//! cell, one frame in the log, one answer. The gate is stateless: everything it remembers (flags,
//! filters, catalog) may be lost at any moment. It never removes a hold, and it says "no" only
//! under the rules of PROTOCOL 6.3. A purchase writes to no database; what is asked of an order
//! that has its row (pay, cancel, refund) is one transaction there.

mod config;
mod edge;
mod entry;
mod metrics;
mod pay;
mod sale;
mod show;
mod state;

pub use config::{
    GateConfig, GateSettings, LimitConfig, LimitsConfig, PublishConfig, ReserveConfig,
};
pub use edge::http::respond;
pub use edge::serve::listen;
pub use state::{Gate, Starting};

/// What the gate counts, for the recorder and for `docs/metrics.md`.
pub const METRICS: &[runtime::meter::Described] = metrics::GateMetrics::DESCRIBED;
