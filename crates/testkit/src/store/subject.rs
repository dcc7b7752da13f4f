//! A store under test, and what the checks say of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use domain::{CellId, Entry, Identity, Totals, invariant};
use store::{Store, StoreError};

/// A store under test.
#[derive(Clone)]
pub struct Subject {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Another process's view of the same databases.
    pub other: Arc<dyn Store>,
    /// The secret both were made with.
    pub identity: Identity,
    /// Names that no other run uses start with this: `[a-z0-9-]{1,40}`.
    pub tag: String,
}

impl Subject {
    /// The whole ledger of a cell, after checking INV-1, INV-2 and the cell row against it.
    pub async fn audit(&self, cell: &CellId) -> Result<(Vec<Entry>, Totals)> {
        let page = self.store.after(cell, 0, 100_000).await?.context("no such cell")?;
        same(page.base, Some(Totals::default()))?;
        let broken = invariant::ledger(&page.entries, page.head);
        ensure!(broken.is_empty(), "{cell}: {broken:?}");
        Ok((page.entries, page.head))
    }
}

pub(super) fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Result<()> {
    ensure!(got == want, "got {}, want {}", short(&got), short(&want));
    Ok(())
}

pub(super) fn permanent<T: std::fmt::Debug>(got: Result<T, StoreError>) -> Result<()> {
    let permanent = got.as_ref().is_err_and(|e| !e.is_transient());
    ensure!(permanent, "want a permanent error, got {}", short(&got));
    Ok(())
}

pub(super) fn transient<T: std::fmt::Debug>(got: Result<T, StoreError>) -> Result<()> {
    let transient = got.as_ref().is_err_and(StoreError::is_transient);
    ensure!(transient, "want a transient error, got {}", short(&got));
    Ok(())
}

fn short(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(1500).collect()
}
