//! What every store must do, whatever database is below it: the transactions of the protocol,
//! each alone, repeated, several in a batch, and raced by two processes.
//!
//! The checks use the port only and make offers and buyers of their own, so they can run in any
//! order, at once, and on a database that has been used before. INV-1 and INV-2 are checked by
//! `domain::invariant` over the ledgers as they stand afterwards.

mod catalog;
mod kept;
pub mod make;
mod marks;
mod race;
mod reads;
mod rows;
mod units;
mod verdicts;

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

/// Runs every check; the error names the one that failed. The databases may be empty.
pub async fn conformance(s: &Subject) -> Result<()> {
    catalog::init(s).await.context("init")?;
    catalog::campaigns_and_offers(s).await.context("campaigns and offers")?;
    catalog::offers_made_at_once(s).await.context("offers made at once")?;
    catalog::names_of_tenants(s).await.context("names of tenants")?;
    catalog::create_cells(s).await.context("create cells")?;
    verdicts::until_full(s).await.context("verdicts until full")?;
    verdicts::repeated(s).await.context("verdicts repeated")?;
    verdicts::known_and_new(s).await.context("known and new orders")?;
    verdicts::aborts(s).await.context("aborts")?;
    verdicts::one_order_twice_in_a_batch(s).await.context("one order twice")?;
    verdicts::several_cells(s).await.context("several cells")?;
    verdicts::missing_cell(s).await.context("missing cell")?;
    verdicts::large_batch(s).await.context("large batch")?;
    verdicts::unrowed(s).await.context("unrowed")?;
    rows::inserted_once(s).await.context("rows inserted once")?;
    rows::key_conflict(s).await.context("key conflict")?;
    rows::exact_bytes(s).await.context("exact bytes")?;
    rows::scanned(s).await.context("rows scanned")?;
    kept::rows_give_the_payload_back(s).await.context("payloads made from rows")?;
    kept::traces(s).await.context("traces")?;
    kept::rejected(s).await.context("rows rejected later")?;
    kept::a_loser_takes_no_key(s).await.context("a loser takes no key")?;
    units::supply(s).await.context("supply")?;
    units::flag(s).await.context("flag")?;
    units::transfer(s).await.context("transfer")?;
    units::release(s).await.context("release")?;
    reads::pages(s).await.context("ledger pages")?;
    reads::folded(s).await.context("units of buyers")?;
    reads::cells(s).await.context("cells")?;
    marks::progress(s).await.context("progress")?;
    marks::barrier(s).await.context("barrier")?;
    marks::lease(s).await.context("lease")?;
    marks::parked(s).await.context("parked")?;
    race::verdicts(s).await.context("two writers on one batch")?;
    race::one_batch(s).await.context("two writers on the same orders")?;
    race::rows(s).await.context("two writers on one key")?;
    race::cells_and_units(s).await.context("two operators on one request")?;
    Ok(())
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

fn same<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Result<()> {
    ensure!(got == want, "got {}, want {}", short(&got), short(&want));
    Ok(())
}

fn permanent<T: std::fmt::Debug>(got: Result<T, StoreError>) -> Result<()> {
    let permanent = got.as_ref().is_err_and(|e| !e.is_transient());
    ensure!(permanent, "want a permanent error, got {}", short(&got));
    Ok(())
}

fn transient<T: std::fmt::Debug>(got: Result<T, StoreError>) -> Result<()> {
    let transient = got.as_ref().is_err_and(StoreError::is_transient);
    ensure!(transient, "want a transient error, got {}", short(&got));
    Ok(())
}

fn short(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(1500).collect()
}
