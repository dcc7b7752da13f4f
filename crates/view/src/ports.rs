//! The set of ports a service works on; cheap to clone.

use std::sync::Arc;

use cells::port::Cells;
use domain::Identity;
use orderlog::port::OrderLog;
use runtime::Clock;
use runtime::unique::Unique;
use store::Store;

/// Everything that is outside a service, behind ports.
#[derive(Clone)]
pub struct Ports {
    /// Redis, or the same scripts in process.
    pub cells: Arc<dyn Cells>,
    /// The databases.
    pub store: Arc<dyn Store>,
    /// The order log.
    pub log: Arc<dyn OrderLog>,
    /// The keyed functions.
    pub identity: Identity,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Nonces, tickets, incarnations.
    pub unique: Arc<dyn Unique>,
}
