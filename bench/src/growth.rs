//! What things cost in a cell that already has 10^4, 10^5 or 10^6 orders (10^7 too with `--full`).
//!
//! Each size is a database of its own, filled by LOAD DATA, ten orders for each buyer. All of them
//! are there at once and measured in turns, so that a noisy neighbour meets every size. A row is
//! what a call, or each order of the cell, costs at the largest size over that at the one before.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use domain::{CellId, EntryId, Flag, OfferId, OrderId, Payload};
use reconciler::Reconciler;
use runtime::{Phase, Tasks};
use testkit::own::Own;
use tokio::time::Instant;
use view::{Ports, Reconcile};

use crate::config::Config;
use crate::orders;
use crate::report::{Report, Row};
use crate::stand::{self, LogKind};

/// Orders drained, and drained again, in a turn.
const DRAINED: usize = 20_000;
/// Turns; their median counts.
const TURNS: usize = 5;
/// Calls of a turn where one is too short to be measured alone.
const CALLS: usize = 40;

/// The rows, in the order in which a turn measures them.
const ROWS: [(&str, &str); 7] = [
    ("growth_lookup", "us/512 orders"),
    ("growth_pause", "us/pause and resume"),
    ("growth_pass", "us/pass"),
    ("growth_quiet", "ns/order"),
    ("growth_rebuild", "ns/order"),
    ("growth_redelivery", "ns/order"),
    ("growth_drain", "ns/order"),
];
/// The most that ten times as many orders may cost more.
const TARGET: f64 = 1.25;

/// True for a row of this file.
pub(crate) fn has(name: &str) -> bool {
    ROWS.iter().any(|(row, _)| *row == name)
}

/// A cell with orders.
pub(crate) struct Grown {
    size: usize,
    pub own: Own,
    pub config: Config,
    offer: OfferId,
    pub ports: Ports,
    reconciler: Arc<Reconciler>,
    pub tasks: Tasks,
    /// Orders drained so far on top of `size`.
    drained: usize,
}

/// All rows of growth.
pub(crate) async fn rows(config: &Config, full: bool, report: &mut Report) -> Result<()> {
    let mut sizes = vec![10_000, 100_000, 1_000_000];
    sizes.extend(full.then_some(10_000_000));
    let mut grown = Vec::new();
    for size in sizes {
        grown.push(Grown::fill(config, size, |_| 1).await?);
    }
    let mut costs = vec![vec![Vec::new(); grown.len()]; ROWS.len()];
    for turn in 0..TURNS {
        for (n, g) in grown.iter_mut().enumerate() {
            let of = g.turn().await.with_context(|| format!("a cell of {} orders", g.size))?;
            for (row, cost) in costs.iter_mut().zip(of) {
                row[n].push(cost);
            }
        }
        eprintln!("growth: turn {} of {TURNS}", turn + 1);
    }
    for ((name, unit), of) in ROWS.into_iter().zip(costs) {
        let medians: Vec<f64> = of.into_iter().map(median).collect();
        report.add(Row::grown(name, unit, &medians, TARGET));
    }
    for g in grown {
        g.end().await?;
    }
    Ok(())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

impl Grown {
    /// Makes the database and fills it; `expires_at` is when each order expires, UTC ms.
    pub(crate) async fn fill(
        config: &Config,
        size: usize,
        expires_at: impl Fn(usize) -> u64,
    ) -> Result<Self> {
        let began = Instant::now();
        let own = Own::create().await?;
        let mut config = config.clone();
        config.store.databases.clone_from(&own.urls);
        config.store.databases.truncate(1);
        let tasks = Tasks::new();
        let ports = stand::ports(&config, LogKind::Real, &tasks).await?;
        let settings = config.of_reconciler();
        let reconciler = Reconciler::new(&ports.reconciler(), &settings);
        let offer: OfferId = format!("grown-{:016x}", ports.unique.next()).parse()?;
        let units = 10 * size as i64 + 1_000_000;
        ports.store.put_offer(&stand::described(&offer, units, Some(1000))).await?;
        let ids = ports.identity.opening(&offer);
        ports.store.create_cells(&[(offer.cell(0), units)], ids).await?;
        let grown = Self { size, own, config, offer, ports, reconciler, tasks, drained: 0 };
        let url = &grown.own.urls[0];
        orders::fill(&grown.ports, (url, &grown.offer), (size, units), expires_at)?;
        grown.rebuild().await?;
        eprintln!("growth: {size} orders after {:.0} s", began.elapsed().as_secs_f64());
        Ok(grown)
    }

    fn cell(&self) -> CellId {
        self.offer.cell(0)
    }

    /// Order `n` of this cell.
    pub(crate) fn order(&self, n: usize) -> Result<Payload> {
        orders::nth(&self.ports, &self.offer, n)
    }

    /// One measurement of each of [`ROWS`].
    async fn turn(&mut self) -> Result<[f64; ROWS.len()]> {
        let all = (self.size + self.drained) as f64;
        let calls = CALLS as f64;
        let lookup = timed(self.look_up()).await? * 1e6 / calls;
        let pause = timed(self.pause()).await? * 1e6 / calls;
        let pass = timed(self.passes()).await? * 1e6 / calls;
        let quiet = timed(self.compare()).await? * 1e9 / all;
        self.forget().await?;
        let rebuild = timed(self.rebuild()).await? * 1e9 / all;
        let known = self.size / DRAINED.min(self.size);
        let again = (0..DRAINED).map(|n| self.order(n * known % self.size));
        let redelivery = self.drain(again.collect::<Result<_>>()?).await?;
        let new = self.size + self.drained..self.size + self.drained + DRAINED;
        let new = new.map(|n| self.order(n));
        let drain = self.drain(new.collect::<Result<_>>()?).await?;
        self.drained += DRAINED;
        Ok([lookup, pause, pass, quiet, rebuild, redelivery, drain])
    }

    /// Orders from all over the cell: their verdicts, their rows, one by id and one by key.
    async fn look_up(&self) -> Result<()> {
        let cell = self.cell();
        for call in 0..CALLS {
            let at = |n: usize| self.order((call * 7919 + n * 104_729) % self.size);
            let orders = (0..512).map(at).collect::<Result<Vec<Payload>>>()?;
            let ids: Vec<OrderId> = orders.iter().map(|p| p.order).collect();
            let asked: Vec<EntryId> = ids.iter().map(|o| EntryId::from(*o)).collect();
            let found = self.ports.store.find_verdicts(&cell, &asked).await?;
            ensure!(found.iter().all(Option::is_some), "an order has no verdict");
            let found = self.ports.store.statuses(0, &ids).await?;
            ensure!(found.iter().all(Option::is_some), "an order has no row");
            ensure!(self.ports.store.order(ids[0]).await?.is_some(), "no row by id");
            let key = orders[1].key.as_ref().context("a key")?;
            let found = self.ports.store.order_of_key(&orders[1].buyer, key).await?;
            ensure!(found.is_some(), "no row by key");
        }
        Ok(())
    }

    async fn pause(&self) -> Result<()> {
        let cells = [self.cell()];
        for _ in 0..CALLS {
            for (to, from) in [(Flag::Paused, Flag::Open), (Flag::Open, Flag::Paused)] {
                let name = format!("{:016x}", self.ports.unique.next());
                let id = self.ports.identity.request_id(&self.offer, "flag", &name);
                self.ports.store.flag(&cells, id, (to, &[from]), b"").await?;
            }
        }
        Ok(())
    }

    /// Scheduled rounds, none of which compares buyers.
    async fn passes(&self) -> Result<()> {
        for _ in 0..CALLS {
            self.reconciler.scheduled(0).await;
        }
        Ok(())
    }

    /// Everything that `reconciler --once` compares.
    async fn compare(&self) -> Result<()> {
        let report = self.reconciler.reconcile(None, true).await?;
        ensure!(report.drift.is_empty(), "drift: {:?}", report.drift);
        Ok(())
    }

    /// The cell is gone from Redis.
    async fn forget(&self) -> Result<()> {
        let cell = self.cell();
        let view = self.ports.cells.snapshot(&cell).await?.context("the cell is missing")?;
        let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
        self.ports.cells.drop_cell(&cell, seen, false).await?;
        Ok(())
    }

    /// A missing cell is read from its ledger and loaded; what waits for others is left out.
    async fn rebuild(&self) -> Result<()> {
        let cells = [self.cell()];
        let ticket = self.reconciler.first_ticket(&cells).await?.context("a ticket")?;
        self.reconciler.first_load(&cells, &ticket).await?;
        let view = self.ports.cells.snapshot(&cells[0]).await?.context("not loaded")?;
        ensure!(view.totals.net >= self.size as i64, "not all of it was loaded");
        Ok(())
    }

    /// Nanoseconds of one writer for each of these orders.
    async fn drain(&self, orders: Vec<Payload>) -> Result<f64> {
        let count = orders.len() as f64;
        orders::publish(&self.ports, orders.into_iter().map(Ok)).await?;
        Ok(orders::drain(&self.ports, &self.config).await? * 1e9 / count)
    }

    pub(crate) async fn end(self) -> Result<()> {
        self.tasks.enter(Phase::ClosePools);
        self.tasks.wait(Duration::from_secs(3)).await;
        self.forget().await?;
        self.own.drop_all().await
    }
}

async fn timed(work: impl Future<Output = Result<()>>) -> Result<f64> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed().as_secs_f64())
}
