//! What every store must do, whatever database is below it: the transactions of the protocol,
//! each alone, repeated, several in a batch, and raced by two processes.
//!
//! The checks use the port only and make offers and buyers of their own, so they can run in any
//! order, at once, and on a database that has been used before. INV-1 and INV-2 are checked by
//! `domain::invariant` over the ledgers as they stand afterwards.

mod catalog;
mod kept;
mod life;
mod life_money;
mod life_work;
pub mod make;
mod marks;
mod race;
mod reads;
mod rows;
mod subject;
mod units;
mod verdicts;

use anyhow::{Context, Result};

pub use subject::Subject;

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
    units::returns(s).await.context("returns")?;
    life::payments(s).await.context("payments")?;
    life::at_once(s).await.context("news at once")?;
    life::matches(s).await.context("payments without an order")?;
    life::deaths(s).await.context("deaths")?;
    life::refunds(s).await.context("refunds")?;
    life::late(s).await.context("late payments")?;
    life::batches(s).await.context("many lives at once")?;
    life_work::sessions(s).await.context("sessions at providers")?;
    life_work::moved_work(s).await.context("work with another time")?;
    life_work::expiring_pages(s).await.context("pages of what expires")?;
    life_work::providers(s).await.context("providers")?;
    life_work::details(s).await.context("details of persons")?;
    life_money::pages(s).await.context("pages of payments")?;
    life_money::moved(s).await.context("money that moved")?;
    life_money::totals(s).await.context("sums of money")?;
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
