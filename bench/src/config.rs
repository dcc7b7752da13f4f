//! What the benchmark reads of the running stack's configuration.

use std::path::Path;

use anyhow::{Context, Result};
use cells::CellsConfig;
use clerk::ClerkConfig;
use orderlog::LogConfig;
use reconciler::ReconcilerConfig;
use runtime::config::{ConfigError, Sources, read};
use store::StoreSection;
use writer::WriterConfig;

/// The services of a stand, and the servers.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub identity_secret: String,
    pub gate: gate::GateSettings,
    pub cells: CellsConfig,
    pub store: StoreSection,
    #[cfg_attr(not(feature = "pulsar"), expect(dead_code, reason = "there is no Pulsar"))]
    pub log: LogConfig,
    pub writer: WriterConfig,
    pub reconciler: ReconcilerConfig,
    pub clerk: ClerkConfig,
}

impl Config {
    /// From the stack's file.
    pub(crate) fn of(file: &Path) -> Result<Self> {
        let sources = Sources { file: Some(file.to_owned()), ..Default::default() };
        Self::read(&sources).context("the stack is needed: run `cargo xtask stack up`")
    }

    fn read(from: &Sources) -> Result<Self, ConfigError> {
        let gate = gate::GateSettings {
            gate: read(from, "gate")?,
            auth: read(from, "auth")?,
            admin_token: read(from, "admin.token")?,
            limits: read(from, "limits")?,
            reserve: read(from, "reserve")?,
            publish: read(from, "publish")?,
        };
        Ok(Self {
            identity_secret: read(from, "identity.secret")?,
            gate,
            cells: read(from, "cells")?,
            store: read(from, "store")?,
            log: read(from, "log")?,
            writer: read(from, "writer")?,
            reconciler: read(from, "reconciler")?,
            clerk: read(from, "clerk")?,
        })
    }

    /// What a reconciler is made of.
    pub(crate) fn of_reconciler(&self) -> reconciler::ReconcilerSettings {
        reconciler::ReconcilerSettings::new(&self.reconciler, self.gate.publish.times())
    }
}
