//! News on their way to the log: one queue per database, and many news in a frame. What arrives
//! while frames are on their way becomes the next one; there is no timer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::frame::{self, Item};
use domain::life::LifeNews;
use mutants::Mutant;
use orderlog::port::{LogError, OrderLog, Partition};
use parking_lot::Mutex;
use runtime::{Tasks, caught};
use tokio::sync::oneshot;

use crate::metrics::METRICS;

/// News that may wait for one database; more are refused.
const QUEUE: usize = 8192;
/// Frames on their way at once per database.
const IN_FLIGHT: usize = 2;
/// The most news of one frame: their sizes are bounded by what a callback may say.
const FRAME: usize = 128;

struct NewsWaiting {
    news: LifeNews,
    tell: oneshot::Sender<bool>,
}

#[derive(Default)]
struct NewsQueue {
    waiting: VecDeque<NewsWaiting>,
    in_flight: usize,
}

/// All databases' queues.
pub(crate) struct TellLives {
    log: Arc<dyn OrderLog>,
    timeout: Duration,
    tasks: Tasks,
    queues: Vec<Mutex<NewsQueue>>,
}

/// Why news are not in the log, as far as anybody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Untold {
    /// Too many wait.
    Full,
    /// No receipt.
    NoReceipt,
}

/// A callback is answered when it is durable.
async fn has_receipt(told: oneshot::Receiver<bool>) -> bool {
    if mutants::on(Mutant::AckedEarly) {
        return true;
    }
    told.await.unwrap_or(false)
}

impl TellLives {
    pub(crate) fn new(
        log: Arc<dyn OrderLog>,
        databases: u16,
        timeout: Duration,
        tasks: Tasks,
    ) -> Arc<Self> {
        let queues = (0..databases).map(|_| Mutex::default()).collect();
        Arc::new(Self { log, timeout, tasks, queues })
    }

    /// Stores news for the lives of a database; it is durable once this is `Ok`.
    pub(crate) async fn tell(self: &Arc<Self>, db: u16, news: LifeNews) -> Result<(), Untold> {
        let queue = self.queues.get(usize::from(db)).ok_or(Untold::Full)?;
        let (tell, told) = oneshot::channel();
        let start = {
            let mut q = queue.lock();
            if q.waiting.len() >= QUEUE {
                return Err(Untold::Full);
            }
            q.waiting.push_back(NewsWaiting { news, tell });
            let free = q.in_flight < IN_FLIGHT;
            q.in_flight += usize::from(free);
            free
        };
        if start {
            let me = self.clone();
            self.tasks.spawn_replaceable("news lane", async move { me.drive(db).await });
        }
        if has_receipt(told).await { Ok(()) } else { Err(Untold::NoReceipt) }
    }

    async fn drive(self: Arc<Self>, db: u16) {
        while let Some(batch) = self.next(db) {
            caught("news lane", self.send(db, batch)).await;
        }
    }

    fn next(&self, db: u16) -> Option<Vec<NewsWaiting>> {
        let mut q = self.queues[usize::from(db)].lock();
        let n = q.waiting.len().min(FRAME);
        if n == 0 {
            q.in_flight -= 1;
            return None;
        }
        Some(q.waiting.drain(..n).collect())
    }

    async fn send(&self, db: u16, batch: Vec<NewsWaiting>) {
        let (news, tells): (Vec<Item>, Vec<_>) =
            batch.into_iter().map(|w| (Item::News(w.news), w.tell)).unzip();
        let receipt = self.published(db, &news).await;
        for tell in tells {
            let _ = tell.send(receipt);
        }
    }

    async fn published(&self, db: u16, news: &[Item]) -> bool {
        let to = Partition::Life(db);
        for frame in frame::pack(news) {
            let publish = self.log.publish(to, frame);
            let failed = match tokio::time::timeout(self.timeout, publish).await {
                Ok(Ok(())) => continue,
                Ok(Err(e)) => e,
                Err(_) => LogError::Unknown(to, "no answer in time".into()),
            };
            METRICS.news_failures.increment(1);
            view::failed::log(failed);
            return false;
        }
        true
    }

    /// True when nothing waits and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.queues.iter().all(|q| {
            let q = q.lock();
            q.waiting.is_empty() && q.in_flight == 0
        })
    }
}
