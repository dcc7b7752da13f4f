//! The operators' listener: campaigns, offers, supply, flags, reconcile, rebuild, status.
//!
//! Loopback by default; every call but the probes needs an operator's token, a viewer may only
//! GET. Changes go to the ledger first and answer once the views obey (PROTOCOL 6.8).

mod campaigns;
mod input;
mod offers;
mod repair;
mod serve;
mod status;
mod supply;
mod tasks;

use std::sync::Arc;

use domain::Tenant;
use metrics_exporter_prometheus::PrometheusHandle;
use view::{Follow, Reconcile};

use crate::state::Gate;

pub use repair::report_json;
pub use serve::{respond, spawn};

/// What the admin listener works with.
#[derive(Clone)]
pub struct Admin {
    pub(crate) gate: Arc<Gate>,
    pub(crate) follow: Follow,
    pub(crate) reconciler: Arc<dyn Reconcile>,
    pub(crate) metrics: PrometheusHandle,
}

/// The admin listener as an operator of one tenant sees it: names are those of the tenant.
pub(crate) struct Shop<'a> {
    admin: &'a Admin,
    tenant: &'a Tenant,
}

impl std::ops::Deref for Shop<'_> {
    type Target = Admin;
    fn deref(&self) -> &Admin {
        self.admin
    }
}

impl Admin {
    /// Over a gate and a reconciler of the same ports.
    pub fn new(gate: Arc<Gate>, reconciler: Arc<dyn Reconcile>, metrics: PrometheusHandle) -> Self {
        let follow = Follow::new(&gate.ports);
        Self { gate, follow, reconciler, metrics }
    }
}
