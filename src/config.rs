//! The configuration: the sections of all services, and what they must agree on.

use std::path::PathBuf;

use cells::{CellsBackend, CellsConfig};
use clerk::ClerkConfig;
use desk::AdminConfig;
use gate::{GateConfig, LimitsConfig, PublishConfig, ReserveConfig};
use orderlog::{LogBackend, LogConfig};
use reconciler::ReconcilerConfig;
use runtime::config::{TelemetryConfig, told};
use store::StoreSection;
use web::AuthConfig;
use writer::WriterConfig;

runtime::section! {
    /// The identity secret.
    pub(crate) struct IdentityConfig, checked by short {
        /// Keys ids, shards, buckets and receipts; never changes in a deployment's life. At least
        /// 16 characters; `dev` makes one in its data folder when empty.
        secret: String = String::new(), secret;
    }
}

fn short(c: &IdentityConfig) -> Vec<String> {
    let short = !c.secret.is_empty() && c.secret.len() < 16;
    told(&[(short, "secret: at least 16 characters")])
}

runtime::compose! {
    /// Everything.
    pub(crate) struct Config, checked by together {
        /// Folder of the embedded backends.
        data_dir: PathBuf = "data".into();
        [identity: IdentityConfig]
        [auth: AuthConfig]
        [gate: GateConfig]
        [limits: LimitsConfig]
        [admin: AdminConfig]
        [cells: CellsConfig]
        [reserve: ReserveConfig]
        [store: StoreSection]
        [log: LogConfig]
        [publish: PublishConfig]
        [writer: WriterConfig]
        [clerk: ClerkConfig]
        [reconciler: ReconcilerConfig]
        [telemetry: TelemetryConfig]
    }
}

/// What goes together.
fn together(c: &Config) -> Vec<String> {
    let redis = !c.is_embedded();
    let pulsar = c.log.backend == LogBackend::Pulsar;
    let waits = c.reserve.wait_replicas > 0;
    told(&[
        (redis && c.cells.nodes.is_empty(), "cells.nodes: needed with cells.backend = \"redis\""),
        (redis && c.store.databases.is_empty(), "store.databases: needed with Redis"),
        (redis && c.identity.secret.is_empty(), "identity.secret: needed with Redis"),
        (redis && c.auth.hs256_secret.is_empty(), "auth.hs256_secret: needed with Redis"),
        (
            waits && !redis,
            "reserve.wait_replicas: embedded cells have no replicas to wait for; leave it 0",
        ),
        (
            waits && c.reserve.wait_timeout_ms >= c.publish.max_age_ms,
            "reserve.wait_timeout_ms: must be less than publish.max_age_ms",
        ),
        (redis && !pulsar, "log.backend: \"pulsar\" goes with cells.backend = \"redis\""),
    ])
}

impl Config {
    /// True when nothing outside this process is needed.
    pub(crate) fn is_embedded(&self) -> bool {
        self.cells.backend == CellsBackend::Embedded
    }

    /// What a gate is made of.
    pub(crate) fn of_gate(&self) -> gate::GateSettings {
        gate::GateSettings {
            gate: self.gate.clone(),
            auth: self.auth.clone(),
            admin_token: self.admin.token.clone(),
            limits: self.limits.clone(),
            reserve: self.reserve.clone(),
            publish: self.publish.clone(),
        }
    }

    /// What a load test has to know of this deployment.
    pub(crate) fn of_deployment(&self) -> loadtest::Deployment {
        loadtest::Deployment {
            identity_secret: self.identity.secret.clone(),
            auth: self.auth.clone(),
            admin_token: self.admin.token.clone(),
            gate_listen: self.gate.listen.clone(),
            admin_listen: self.admin.listen.clone(),
            max_quantity: self.gate.max_quantity,
            store: self.store.clone(),
            data_dir: self.data_dir.clone(),
            cells: (!self.is_embedded()).then(|| self.cells.clone()),
            shown: runtime::config::print_redacted(self),
        }
    }

    /// What a clerk is made of, besides what its process knows.
    pub(crate) fn of_clerk(
        &self,
        catalog: std::sync::Arc<view::CatalogCache>,
        clock: std::sync::Arc<dyn runtime::Clock>,
    ) -> clerk::ClerkWith {
        let timeout = std::time::Duration::from_millis(self.reserve.wait_timeout_ms);
        let replicas = self.reserve.wait_replicas;
        clerk::ClerkWith {
            catalog,
            calls: life::http::HttpProviders::new(clock),
            publish: self.publish.times(),
            wait: (replicas > 0).then_some(cells::port::Wait { replicas, timeout }),
            settings: (&self.clerk).into(),
        }
    }

    /// What a reconciler is made of.
    pub(crate) fn of_reconciler(&self) -> reconciler::ReconcilerSettings {
        reconciler::ReconcilerSettings::new(&self.reconciler, self.publish.times())
    }
}

#[cfg(test)]
mod tests;
