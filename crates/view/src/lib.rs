//! What several services share on top of the ports: following the ledger, and the catalog cache.
//!
//! A Redis cell is a view of the ledger; [`Follow`] is the one way it is brought forward (INV-3).
//! [`CatalogCache`] is what every process knows of offers and campaigns. Services never depend on
//! each other; what two of them need lives here.

mod catalog;
pub mod failed;
mod follow;
mod horizon;
mod intake;
mod lost;
mod metrics;
mod open;
mod operate;
pub mod past;
mod patience;
mod ports;
mod times;

pub use catalog::{CatalogCache, Known, POLL};
pub use follow::{Follow, Followed};
pub use horizon::{Horizon, Horizons, age as horizon_age};
pub use intake::{FrameWork, Intake, IntakeCount, IntakeSettings, Marking, Processed};
pub use lost::{count_without_hold, without_hold};
pub use open::{OpenError, Opened, open_offer};
pub use operate::{Drift, HoldStatus, OperateError, Reconcile, Report};
pub use past::{LogPast, Lost, RewindError};
pub use patience::DatabasePatience;
pub use ports::{
    AllStores, ClerkPorts, ClerkStore, DeskPorts, DeskStore, GatePorts, GateStore, Ports,
    ReconcilerPorts, ReconcilerStore, WriterPorts, WriterStore,
};
pub use times::PublishTimes;

/// What whoever follows a ledger or reads the catalog counts, for the recorder and the documents.
pub const METRICS: &[runtime::meter::Described] = metrics::ViewMetrics::DESCRIBED;
