//! The operators' desk: campaigns, offers, supply, flags, reconcile, rebuild, status, tasks.
//!
//! Loopback by default; every call but the probes needs an operator's token, a viewer may only
//! GET. Changes go to the ledger first and answer once the views obey (PROTOCOL 6.8).

mod buyers;
mod campaigns;
mod config;
mod input;
mod money;
mod named;
mod offers;
mod orders;
mod providers;
mod repair;
mod resolve;
mod serve;
mod status;
mod supply;
mod tasks;

use std::sync::Arc;

use cells::port::Wait;
use domain::Tenant;
use view::{CatalogCache, DeskPorts, Follow, Reconcile};
use web::{Probes, Tokens};

pub use config::AdminConfig;
pub use repair::report_json;
pub use serve::{listen, respond};

/// What the process of a desk has already.
pub struct DeskWith {
    /// What it knows of offers.
    pub catalog: Arc<CatalogCache>,
    /// Whose tokens open what.
    pub tokens: Arc<Tokens>,
    /// How it is.
    pub probes: Probes,
    /// What a hold of units that leave waits for; `None`: nothing.
    pub wait: Option<Wait>,
}

/// What the desk works with.
pub struct Desk {
    ports: DeskPorts,
    catalog: Arc<CatalogCache>,
    tokens: Arc<Tokens>,
    probes: Probes,
    follow: Follow,
    reconciler: Arc<dyn Reconcile>,
    /// What a hold of units that leave waits for; `None`: nothing.
    wait: Option<Wait>,
}

impl Desk {
    /// Over the ports of a process, with what that process knows of offers, whose tokens open what,
    /// and who compares and rebuilds. Units that leave an offer wait for replicas as holds do.
    pub fn new(ports: DeskPorts, with: DeskWith, reconciler: Arc<dyn Reconcile>) -> Arc<Self> {
        let DeskWith { catalog, tokens, probes, wait } = with;
        let follow = ports.follow();
        Arc::new(Self { ports, catalog, tokens, probes, follow, reconciler, wait })
    }
}

/// The desk as an operator of one tenant sees it: names are those of the tenant.
pub(crate) struct Shop<'a> {
    desk: &'a Desk,
    tenant: &'a Tenant,
    /// Who it is, for history and tasks.
    name: &'a str,
}

impl std::ops::Deref for Shop<'_> {
    type Target = Desk;
    fn deref(&self) -> &Desk {
        self.desk
    }
}
