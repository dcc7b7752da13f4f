//! `sluicegate reconciler rewind`, before and after the rows: lives that a database lost with its
//! last commits (PROTOCOL 6.10).
//!
//! The log still has what was told of payments and parcels. What was sent back has the provider: it
//! is joined first, so that nothing goes a second time. Units that refunds brought back are given
//! to their ledgers again. All of it may be repeated. Deliberately absent: what buyers and
//! operators asked at our routes (cancellations, refunds that were not sent), which was nowhere
//! else.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::life::{Actor, LifeWish, PaymentNews, Provider, ProviderEvent};
use domain::{CellId, Giveback, OrderId};
use life::calls::{CallError, ProviderCalls, RefundPage, RefundTold, StatedRefund};
use mutants::Mutant;
use orderlog::port::Partition;
use store::port::{KeptRow, MAX_ORDERS};
use tokio::time::{Instant, sleep};
use view::past::{AGAIN, EARLIER, PATIENCE, patiently};
use view::{
    CatalogCache, ClerkPorts, DatabasePatience, FrameWork, LogPast, Lost, Processed, RewindError,
};

use crate::goods::applied;
use crate::news::JoinNews;

/// What is named in the summary.
const NAMED: usize = 20;

/// What a rewind of lives did, for the operator who began it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewoundLives {
    /// Frames of news that were joined again.
    pub frames: u64,
    /// Refunds that providers say moved, of orders of the database.
    pub refunds: u64,
    /// Returns that were appended to ledgers again.
    pub returns: u64,
    /// What could not be made good.
    pub left: u64,
    /// The first of it, with why.
    pub named: Vec<String>,
}

impl RewoundLives {
    fn leave(&mut self, what: String) {
        self.left += 1;
        if self.named.len() < NAMED {
            self.named.push(what);
        }
    }
}

/// One rewind of lives.
pub struct RewindLives {
    ports: ClerkPorts,
    catalog: Arc<CatalogCache>,
    calls: Arc<dyn ProviderCalls>,
    lost: Lost,
}

impl RewindLives {
    /// Over its ports; the catalog has been read.
    pub fn new(
        ports: ClerkPorts,
        catalog: Arc<CatalogCache>,
        calls: Arc<dyn ProviderCalls>,
        lost: Lost,
    ) -> Self {
        Self { ports, catalog, calls, lost }
    }

    /// Before the rows are made good: what providers have sent back, so that nobody is owed it once
    /// more. `tell` hears how far it is: the place and the sums so far.
    pub async fn refunds(
        &self,
        mut tell: impl FnMut(&str, &RewoundLives),
    ) -> Result<RewoundLives, RewindError> {
        let mut sums = RewoundLives::default();
        for provider in self.catalog.providers() {
            tell(&format!("refunds of {}", provider.id), &sums);
            self.provider(&provider, &mut sums).await?;
        }
        Ok(sums)
    }

    /// After the rows were made good, to the end; `sums` are those of [`RewindLives::refunds`].
    pub async fn run(
        &self,
        mut sums: RewoundLives,
        mut tell: impl FnMut(&str, &RewoundLives),
    ) -> Result<RewoundLives, RewindError> {
        let here = Partition::Life(self.lost.db);
        let ports = &self.ports;
        let mark = format!("rewind-{:016x}", ports.unique.next());
        let since = self.lost.since_ms;
        let past =
            LogPast::marked(ports.log.clone(), ports.clock.clone(), since, mark, &[here]).await?;
        let join = JoinNews {
            lives: ports.store.clone(),
            parked: ports.store.clone(),
            catalog: self.catalog.clone(),
            patience: DatabasePatience::new(PATIENCE),
        };
        let give = async |frames: &[Bytes], place: &str| {
            sums.frames += frames.len() as u64;
            joined(&join, here, frames).await?;
            tell(place, &sums);
            Ok(())
        };
        past.read(here, give).await?;
        for db in 0..ports.store.databases() {
            tell(&format!("returns of orders of database {db}"), &sums);
            self.returns(db, &mut sums).await?;
        }
        Ok(sums)
    }

    /// What a provider has sent back since. One that nobody can ask was never told to send any.
    async fn provider(
        &self,
        provider: &Provider,
        out: &mut RewoundLives,
    ) -> Result<(), RewindError> {
        if mutants::on(Mutant::RewindUnasked) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = match self.page(provider, after.as_deref()).await {
                Ok(page) => page,
                Err(CallError::Nobody) => return Ok(()),
                Err(e) => {
                    out.leave(format!("what {} has sent back is not known: {e}", provider.id));
                    return Ok(());
                }
            };
            let events = page.refunds.into_iter().filter_map(|one| self.event(provider, one));
            let wishes: Vec<LifeWish> = events.map(LifeWish::Join).collect();
            out.refunds += wishes.len() as u64;
            let (lives, policies) = (&*self.ports.store, self.catalog.policies());
            let db = self.lost.db;
            patiently(async || life::ask::many(lives, db, &Actor::Clerk, &policies, &wishes).await)
                .await?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn page(&self, p: &Provider, after: Option<&str>) -> Result<RefundPage, CallError> {
        let (since, until) =
            (self.lost.since_ms.saturating_sub(EARLIER), Instant::now() + PATIENCE);
        loop {
            match self.calls.refunds(p, since, after).await {
                Err(CallError::Unknown(_) | CallError::NotCalled(_)) if Instant::now() < until => {
                    sleep(AGAIN).await;
                }
                done => return done,
            }
        }
    }

    /// What it tells of an order of the database.
    fn event(&self, p: &Provider, refund: StatedRefund) -> Option<ProviderEvent> {
        let StatedRefund { key, payment, order, amount, currency, told } = refund;
        let here = |order: &OrderId| self.ports.store.order_db(*order) == self.lost.db;
        let order = order.filter(here)?;
        (told == RefundTold::Succeeded).then(|| ProviderEvent {
            event: None,
            provider: p.id.clone(),
            payment,
            order,
            currency,
            news: PaymentNews::RefundSucceeded { key, amount },
            is_final: false,
        })
    }

    /// Orders of one database whose refunds brought units back to cells of the lost one.
    async fn returns(&self, db: u16, out: &mut RewoundLives) -> Result<(), RewindError> {
        if mutants::on(Mutant::RewindReturns) {
            return Ok(());
        }
        let store = &self.ports.store;
        let on_it = |c: &CellId| store.cell_db(&c.offer) == self.lost.db;
        let concerns = |r: &KeptRow| r.refunded > 0 && r.cells.iter().any(on_it);
        let mut after = None;
        loop {
            let page =
                patiently(async || store.kept_rows(db, after, MAX_ORDERS as u64).await).await?;
            let orders: Vec<OrderId> =
                page.rows.iter().filter(|r| concerns(r)).map(|r| r.order).collect();
            let lives = patiently(async || store.lives(db, &orders).await).await?;
            let mut cells = BTreeMap::<CellId, Vec<Giveback>>::new();
            let policies = self.catalog.policies();
            for (cell, give) in lives.iter().flat_map(|life| life.returns(&policies)) {
                if on_it(&cell) {
                    cells.entry(cell).or_default().push(give);
                }
            }
            for (cell, gives) in cells {
                self.give(&cell, &gives, out).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn give(
        &self,
        cell: &CellId,
        gives: &[Giveback],
        out: &mut RewoundLives,
    ) -> Result<(), RewindError> {
        let store = &self.ports.store;
        let db = self.lost.db;
        let given = patiently(async || store.give_back(cell, gives).await).await?;
        out.returns += given.appended.entries.len() as u64;
        let orders: Vec<OrderId> = given.refused.iter().map(|give| give.order).collect();
        if !orders.is_empty() {
            let traces = patiently(async || store.traces(db, &orders).await).await?;
            // Units that were sold again are nobody's to give back.
            let claimed = |o: &&OrderId| {
                traces.get(&(**o, cell.clone())).is_some_and(|t| t.claimed == Some(true))
            };
            for order in orders.iter().filter(claimed) {
                out.leave(format!("{order}: {cell} refused units that came back"));
            }
        }
        applied(&self.ports.follow(), &given.appended).await;
        Ok(())
    }
}

/// News of one batch, again until their databases answer.
async fn joined(join: &JoinNews, here: Partition, frames: &[Bytes]) -> Result<(), RewindError> {
    if mutants::on(Mutant::RewindNewsless) {
        return Ok(());
    }
    let until = Instant::now() + PATIENCE;
    loop {
        match join.run(here, frames).await {
            Processed::Finished => return Ok(()),
            Processed::Again if Instant::now() < until => sleep(AGAIN).await,
            Processed::Again => {
                return Err(RewindError::Down(format!("news of {here} cannot be joined")));
            }
            Processed::Newer(_) => {
                return Err(RewindError::Newer(here, "use that version's program".to_owned()));
            }
        }
    }
}
