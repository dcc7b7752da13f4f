//! The frame combiner: one queue per log partition, a few frames on their way at once.
//!
//! A place in the queue is taken *before* the reserve: a broken log must not fill the stock with
//! holds that were answered 503. What is ready while frames are in flight becomes the next frame.
//! An order is never published for the first time later than `publish.max_age` after its first
//! hold; it is then left to the relay. Any error of a publish means unknown.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::frame::{self, Item, Mode, Sealed, order_size};
use mutants::Mutant;
use orderlog::port::{LogError, OrderLog, Partition};
use parking_lot::Mutex;
use runtime::{Tasks, caught};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::PublishConfig;
use crate::metrics::METRICS;
use crate::sale::place::{Place, Told, What};

/// One held order on its way to the log.
pub(crate) struct Held {
    pub place: Place,
    pub sealed: Sealed,
    /// How old the first hold was when the script answered, at `seen`.
    pub age: Duration,
    pub seen: Instant,
    /// True when an attempt of the call that took it may have run without an answer.
    pub unknown: bool,
    /// Whoever waits; nobody may be listening any more.
    pub tell: oneshot::Sender<Told>,
}

impl Held {
    /// `true` = receipt, anything else is unknown.
    fn receipt(self, receipt: bool) {
        let what = What::Published { t_ms: self.sealed.t_ms, receipt };
        let _ = self.tell.send(Told { unknown: self.unknown, what });
    }

    /// The first publish must start before this.
    fn until(&self, max_age_ms: u64) -> Instant {
        self.seen + Duration::from_millis(max_age_ms).saturating_sub(self.age)
    }
}

#[derive(Default)]
struct FrameQueue {
    waiting: VecDeque<Held>,
    in_flight: usize,
}

struct FrameLane {
    places: Arc<Semaphore>,
    queue: Mutex<FrameQueue>,
}

/// All partitions of a gate.
pub(crate) struct Emit {
    log: Arc<dyn OrderLog>,
    cfg: PublishConfig,
    tasks: Tasks,
    lanes: Vec<FrameLane>,
}

impl Emit {
    pub(crate) fn new(log: Arc<dyn OrderLog>, cfg: PublishConfig, tasks: Tasks) -> Self {
        let lane =
            || FrameLane { places: Arc::new(Semaphore::new(cfg.queue)), queue: Mutex::default() };
        let lanes = (0..log.partitions()).map(|_| lane()).collect();
        Self { log, cfg, tasks, lanes }
    }

    /// How many there are.
    pub(crate) fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    /// Takes a place; `None` = shed with 503, nothing was held.
    pub(crate) fn place(&self, partition: u16) -> Option<Place> {
        let lane = self.lanes.get(usize::from(partition))?;
        let permit = lane.places.clone().try_acquire_owned().ok()?;
        Some(Place { partition, _permit: permit })
    }

    /// Publishes held orders of one partition.
    pub(crate) fn publish(self: &Arc<Self>, held: Vec<Held>) {
        let Some(partition) = held.first().map(|h| h.place.partition) else { return };
        let start = {
            let mut q = self.lanes[usize::from(partition)].queue.lock();
            q.waiting.extend(held);
            let free = q.in_flight < self.cfg.in_flight;
            q.in_flight += usize::from(free);
            free
        };
        if start {
            let me = self.clone();
            self.tasks.spawn_replaceable("publish lane", async move { me.drive(partition).await });
        }
    }

    /// Sends frames until nothing waits. Several of these run per partition. A panic takes the
    /// receipts of its own frame, whose orders are then unconfirmed, and nothing of the lane.
    async fn drive(self: Arc<Self>, partition: u16) {
        while let Some(batch) = self.next(partition) {
            caught("publish lane", self.send(partition, batch)).await;
        }
    }

    /// The next frame's orders; with none, its driver is no longer counted.
    fn next(&self, partition: u16) -> Option<Vec<Held>> {
        let mut q = self.lanes[usize::from(partition)].queue.lock();
        let batch = self.take(&mut q.waiting);
        if batch.is_empty() {
            q.in_flight -= 1;
            return None;
        }
        Some(batch)
    }

    /// The next frame's orders, within its bounds; too old ones are answered `unknown`.
    fn take(&self, waiting: &mut VecDeque<Held>) -> Vec<Held> {
        let now = Instant::now();
        let mut bytes = 64;
        let mut batch = Vec::new();
        while let Some(next) = waiting.front() {
            let size = order_size(next.sealed.payload.len());
            let full = batch.len() >= self.cfg.frame_orders || bytes + size > self.cfg.frame_bytes;
            if full && !batch.is_empty() {
                break;
            }
            let Some(next) = waiting.pop_front() else { break };
            if is_too_old(&next, self.cfg.max_age_ms, now) {
                METRICS.too_old.increment(1);
                next.receipt(false);
                continue;
            }
            bytes += size;
            batch.push(next);
        }
        batch
    }

    async fn send(&self, partition: u16, batch: Vec<Held>) {
        let items: Vec<Item> =
            batch.iter().map(|w| Item::Order(Mode::Full, w.sealed.clone())).collect();
        let frame = frame::encode(&items);
        METRICS.frame_orders.record(items.len() as f64);
        let publish = self.log.publish(Partition::Main(partition), frame);
        let limit = Duration::from_millis(self.cfg.timeout_ms);
        let receipt = match tokio::time::timeout(limit, publish).await {
            Ok(Ok(())) => true,
            Ok(Err(e)) => {
                METRICS.publish_failures.increment(1);
                view::failed::log(e);
                false
            }
            Err(_) => {
                METRICS.publish_failures.increment(1);
                view::failed::log(LogError::Unknown(
                    Partition::Main(partition),
                    "no answer in time".into(),
                ));
                false
            }
        };
        for held in batch {
            held.receipt(receipt);
        }
    }

    /// True when nothing waits and nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.iter().all(|l| {
            let q = l.queue.lock();
            q.waiting.is_empty() && q.in_flight == 0
        })
    }
}

/// A hold that nobody has published for so long is the relay's: a rebuild waits no longer for it.
fn is_too_old(held: &Held, max_age_ms: u64, now: Instant) -> bool {
    if mutants::on(Mutant::MaxAgeIgnored) {
        return false;
    }
    held.until(max_age_ms) < now
}
