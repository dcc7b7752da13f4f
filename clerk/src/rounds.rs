//! What a clerk does for one database, again and again: three loops, so that a slow provider holds
//! up neither what expires nor what goes back to a ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orderlog::port::Partition;
use runtime::{Phase, Tasks};
use store::{LifeWrite, StoreResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use view::Horizons;

use crate::due::{DoDue, DueGroup, TAKEN, groups};
use crate::expire::ExpireOrders;
use crate::goods::GiveUnits;
use crate::metrics::METRICS;
use crate::settings::ClerkSettings;

/// Groups of one sort, and of one provider, that are worked on at once.
const GROUPS: usize = 4;

/// The loops.
#[derive(Clone)]
pub(crate) struct DatabaseRounds {
    pub db: u16,
    pub due: Arc<DoDue>,
    pub goods: Arc<GiveUnits>,
    pub expire: Arc<ExpireOrders>,
    pub lives: Arc<dyn LifeWrite>,
    pub horizons: Arc<Horizons>,
    pub settings: ClerkSettings,
}

/// How many groups of each sort may be begun.
type GroupRooms = BTreeMap<DueGroup, Arc<Semaphore>>;

impl DatabaseRounds {
    /// Starts them.
    pub(crate) fn spawn(self, tasks: &Tasks) {
        let of = || (self.clone(), tasks.clone());
        let (me, t) = of();
        tasks.spawn_loop("clerk due", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.due_loop(&t).await }
        });
        let (me, t) = of();
        tasks.spawn_loop("clerk goods", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.every(&t, || me.goods_round()).await }
        });
        let (me, t) = of();
        tasks.spawn_loop("clerk expiry", move || {
            let (me, t) = (me.clone(), t.clone());
            async move { me.every(&t, || me.expiry_round()).await }
        });
    }

    /// Rounds until `FlushLog`, with a pause after one that found nothing, or failed.
    async fn every<F>(&self, tasks: &Tasks, round: impl Fn() -> F)
    where
        F: Future<Output = StoreResult<bool>>,
    {
        while tasks.phase() < Phase::FlushLog {
            let more = self.told(round().await).unwrap_or(false);
            if !more {
                tasks.unless(Phase::FlushLog, tokio::time::sleep(self.settings.pass)).await;
            }
        }
    }

    fn told<T>(&self, done: StoreResult<T>) -> Option<T> {
        done.map_err(|e| {
            METRICS.failed_rounds.increment(1);
            view::failed::database(e);
        })
        .ok()
    }

    async fn goods_round(&self) -> StoreResult<bool> {
        // One database that is away holds up none of the others.
        let pages = (0..self.lives.databases()).map(|to| self.goods.page(self.db, to));
        let done = join_all(pages).await;
        let more = done.into_iter().filter_map(|page| self.told(page)).any(|more| more);
        Ok(more)
    }

    /// The horizon of lives moves by the ticks that are put into this database's partition.
    async fn expiry_round(&self) -> StoreResult<bool> {
        self.horizons.tick_idle(std::iter::once(Partition::Life(self.db))).await;
        if !self.expire.is_time() {
            return Ok(false);
        }
        match self.horizons.read().await {
            Some(horizon) => self.expire.page(&horizon).await,
            None => Ok(false),
        }
    }

    async fn due_loop(&self, tasks: &Tasks) {
        let mut rooms = GroupRooms::new();
        while tasks.phase() < Phase::FlushLog {
            let taken = self.lives.take_due(self.db, TAKEN, self.settings.lease_ms).await;
            let rows = self.told(taken).unwrap_or_default();
            let pause = if rows.len() as u64 == TAKEN {
                Duration::from_millis(1)
            } else {
                self.settings.pass
            };
            for (group, rows) in groups(rows) {
                let room = rooms.entry(group.clone());
                let room = room.or_insert_with(|| Arc::new(Semaphore::new(GROUPS))).clone();
                let Ok(permit) = room.try_acquire_owned() else {
                    self.told(self.due.put_back(rows).await);
                    continue;
                };
                let work = self.clone().group(permit, group, rows);
                tasks.spawn_replaceable("clerk work", work);
            }
            tasks.unless(Phase::FlushLog, tokio::time::sleep(pause)).await;
        }
    }

    async fn group(
        self,
        permit: OwnedSemaphorePermit,
        group: DueGroup,
        rows: Vec<store::port::DueRow>,
    ) {
        self.told(self.due.group(group, rows).await);
        drop(permit);
    }
}
