//! Orders whose time is over, by the index: O(due), whatever is pending. Nothing expires before the
//! log is finished past its time and the grace after it (INV-21).

use std::sync::Arc;

use domain::life::{Actor, LifeAnswer, LifeWish};
use parking_lot::Mutex;
use store::port::ExpiringOrder;
use store::{LifeRead, LifeWrite, StoreResult};
use tokio::time::Instant;
use view::{CatalogCache, Horizon};

use crate::metrics::METRICS;

/// Orders of one page.
const PAGE: u64 = 512;
/// Those that wait for their providers are looked at again after this.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Lets orders of one database expire.
pub(crate) struct ExpireOrders {
    pub db: u16,
    pub reads: Arc<dyn LifeRead>,
    pub lives: Arc<dyn LifeWrite>,
    pub catalog: Arc<CatalogCache>,
    pub grace_ms: u64,
    pub place: Mutex<ExpirePlace>,
}

/// Behind whom the next page begins: those that wait for an answer starve nobody behind them.
#[derive(Default)]
pub(crate) struct ExpirePlace {
    after: Option<ExpiringOrder>,
    began: Option<Instant>,
}

impl ExpireOrders {
    /// A page; true when there may be more.
    pub(crate) async fn page(&self, horizon: &Horizon) -> StoreResult<bool> {
        let until = horizon.of_lives(self.db).min(horizon.now()).saturating_sub(self.grace_ms);
        let after = self.next_place();
        let page = self.reads.expiring(self.db, until, after.as_ref(), PAGE).await?;
        let more = page.len() as u64 == PAGE;
        let wishes: Vec<LifeWish> = page.iter().map(|e| LifeWish::Expire(e.order)).collect();
        let policies = self.catalog.policies();
        let lives = &*self.lives;
        let answers = life::ask::many(lives, self.db, &Actor::Clerk, &policies, &wishes).await?;
        let decided = answers.iter().filter(|a| **a == LifeAnswer::Done).count();
        METRICS.expired.increment(decided as u64);
        let mut place = self.place.lock();
        place.after = page.last().copied().filter(|_| more);
        Ok(more)
    }

    fn next_place(&self) -> Option<ExpiringOrder> {
        let mut place = self.place.lock();
        if place.after.is_none() {
            place.began = Some(Instant::now());
        }
        place.after
    }

    /// False when those that wait were looked at a moment ago.
    pub(crate) fn is_time(&self) -> bool {
        let place = self.place.lock();
        place.after.is_some() || place.began.is_none_or(|began| began.elapsed() >= AGAIN)
    }
}
