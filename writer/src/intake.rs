//! One partition: consumer, batches, acks, progress.
//!
//! A reader task keeps a bounded number of deliveries and bytes ready (back-pressure: nothing is
//! pulled while there are as many), the main loop turns what is ready into one batch. A consumer
//! that ends is made again, with a growing pause; one that brings nothing is given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::frame;
use orderlog::port::{Consumer, Delivery, DeliveryId, LogError, Partition};
use runtime::mutant::{self, Mutant};
use runtime::{Phase, Tasks};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use view::WriterPorts;

use crate::Settings;
use crate::health::Health;
use crate::metrics::METRICS;
use crate::process::{Outcome, Processor};

/// How often progress is stored, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Bytes of frames that wait for a batch, plus at most one frame.
const AHEAD: usize = 4 * 1024 * 1024;
/// Between two tries to store what database 0 did not take.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest pause between tries.
const LONGEST: Duration = Duration::from_secs(2);

/// Before a partition is taken again that waits for a newer writer: one of those takes it.
const UPGRADE: Duration = Duration::from_secs(5);
/// The most time a partition is left to others after it was given up.
const AWAY: Duration = Duration::from_secs(3);

pub(crate) struct Intake {
    partition: Partition,
    ports: WriterPorts,
    settings: Settings,
    processor: Processor,
    health: Arc<Health>,
}

/// How a batch ended.
enum Done {
    /// So many of its frames are finished; a newer program's is next when it is not all of them.
    Frames(usize),
    /// The process stops, or the consumer is given up.
    Left,
}

/// Deliveries in, acks out.
struct Pipe<'a> {
    deliveries: mpsc::Receiver<Delivery>,
    waiting: &'a Waiting,
    acks: mpsc::Sender<Vec<DeliveryId>>,
}

impl Pipe<'_> {
    /// What is ready now.
    fn ready(&mut self) -> Option<Delivery> {
        let next = self.deliveries.try_recv().ok()?;
        self.waiting.less(next.frame.len());
        Some(next)
    }
}

/// Bytes of the deliveries that wait for a batch.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    fewer: Notify,
}

impl Waiting {
    fn more(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
    fn less(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.fewer.notify_one();
    }
    /// Until there is room for one more.
    async fn room(&self) {
        while self.bytes.load(Ordering::Relaxed) >= AHEAD {
            self.fewer.notified().await;
        }
    }
}

struct Progress {
    /// The latest tick that is finished, in the clock of database 0.
    until: u64,
    stored: u64,
    at: Instant,
    /// When database 0 did not take it.
    failed: Option<Instant>,
}

impl Intake {
    pub fn new(partition: Partition, processor: Processor, health: Arc<Health>) -> Self {
        let (ports, settings) = (processor.ports.clone(), processor.settings.clone());
        Self { partition, ports, settings, processor, health }
    }

    /// Works until `FlushLog`.
    pub async fn run(&self, tasks: &Tasks) {
        let mut pause = Duration::from_millis(50);
        while tasks.phase() < Phase::FlushLog {
            if self.health.has_trouble(self.partition) {
                tasks.unless(Phase::FlushLog, self.leave_to_others()).await;
            }
            let made = self.ports.log.consumer(self.partition);
            match tasks.unless(Phase::FlushLog, made).await {
                None => return,
                Some(Err(e)) => {
                    tracing::warn!(partition = %self.partition, error = %e, "no consumer yet");
                    self.health.fruitless(self.partition);
                }
                Some(Ok(consumer)) => {
                    self.health.taken(self.partition);
                    let began = Instant::now();
                    self.consume(consumer, tasks).await;
                    if began.elapsed() > LONGEST {
                        pause = Duration::from_millis(50);
                    }
                }
            }
            tasks.unless(Phase::FlushLog, tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// A process that reaches what this one does not, or reads what it does not, has its chance.
    /// For a retry partition that lasts until its database answers; orders of other databases are
    /// in the main ones, which cannot wait for database 0.
    async fn leave_to_others(&self) {
        let away = if self.health.is_newer(self.partition) { UPGRADE } else { LONGEST / 2 };
        tokio::time::sleep(away).await;
        let until = Instant::now() + AWAY;
        let (db, for_ever) = match self.partition {
            Partition::Main(_) => (0, false),
            Partition::Retry(db) => (db, true),
        };
        while !self.ports.store.ping(db).await && (for_ever || Instant::now() < until) {
            self.health.fruitless(self.partition);
            tokio::time::sleep(LONGEST).await;
        }
    }

    /// Until this consumer ends.
    async fn consume(&self, consumer: Box<dyn Consumer>, tasks: &Tasks) {
        let waiting = &Waiting::default();
        let (to_batch, deliveries) = mpsc::channel(self.settings.batch_frames * 2);
        let (acks, from_batch) = mpsc::channel(64);
        let reader = read(self.partition, consumer, (to_batch, waiting), from_batch);
        let batches = self.batches(Pipe { deliveries, waiting, acks }, tasks);
        tokio::join!(reader, batches);
    }

    async fn batches(&self, mut pipe: Pipe<'_>, tasks: &Tasks) {
        let mut progress = Progress { until: 0, stored: 0, at: Instant::now(), failed: None };
        while let Some(Some(first)) = tasks.unless(Phase::FlushLog, pipe.deliveries.recv()).await {
            pipe.waiting.less(first.frame.len());
            let mut batch = self.gather(first, &mut pipe);
            if mutant::on(Mutant::AckBeforeCommit) {
                let _ = pipe.acks.send(batch.iter().map(|d| d.id.clone()).collect()).await;
            }
            if mutant::on(Mutant::AckBeforeRow) {
                let frames: Vec<_> = batch.iter().map(|d| d.frame.clone()).collect();
                self.processor.verdicts_only(&frames).await;
                let _ = pipe.acks.send(batch.iter().map(|d| d.id.clone()).collect()).await;
            }
            let Done::Frames(finished) = self.finish(&batch, tasks).await else { return };
            let newer = finished < batch.len();
            batch.truncate(finished);
            let now = self.ports.clock.now_ms();
            for d in &batch {
                METRICS.lag.record(now.saturating_sub(d.published_ms) as f64 / 1000.0);
                progress.until = progress.until.max(frame::tick(&d.frame).unwrap_or(0));
            }
            let ids = batch.into_iter().map(|d| d.id).collect();
            if pipe.acks.send(ids).await.is_err() {
                return;
            }
            let stored = self.store_progress(&mut progress).await;
            if newer {
                return self.health.newer(self.partition);
            }
            if !stored && self.gives_up() {
                return;
            }
        }
    }

    /// Counts a round without progress.
    fn gives_up(&self) -> bool {
        let over = self.health.fruitless(self.partition);
        if over && !mutant::on(Mutant::ConsumerKept) {
            tracing::warn!(
                partition = %self.partition,
                "rounds without progress: another writer may have this partition"
            );
            return true;
        }
        false
    }

    /// What is ready now, within the bounds of a batch.
    fn gather(&self, first: Delivery, pipe: &mut Pipe<'_>) -> Vec<Delivery> {
        // A frame's size tells its orders well enough: with its names an order is some 128 bytes.
        let orders = |d: &Delivery| d.frame.len() / 128;
        let mut count = orders(&first);
        let mut batch = vec![first];
        while batch.len() < self.settings.batch_frames && count < self.settings.batch_orders {
            let Some(next) = pipe.ready() else { break };
            count += orders(&next);
            batch.push(next);
        }
        batch
    }

    /// Runs the batch until it is finished, or as far as this program can read it.
    async fn finish(&self, batch: &[Delivery], tasks: &Tasks) -> Done {
        let frames: Vec<_> = batch.iter().map(|d| d.frame.clone()).collect();
        let mut pause = Duration::from_millis(100);
        loop {
            match self.processor.run(self.partition, &frames).await {
                Outcome::Finished => return Done::Frames(frames.len()),
                Outcome::Newer(finished) => return Done::Frames(finished),
                Outcome::Again => {}
            }
            let pausing = tasks.unless(Phase::FlushLog, tokio::time::sleep(pause)).await;
            if pausing.is_none() || self.gives_up() {
                return Done::Left;
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Stores it when it is time; false when database 0 did not take it.
    async fn store_progress(&self, p: &mut Progress) -> bool {
        if p.failed.is_some_and(|at| at.elapsed() < AGAIN) {
            return true;
        }
        if p.until <= p.stored || (p.stored > 0 && p.at.elapsed() < PROGRESS_EVERY) {
            self.health.progress(self.partition);
            return true;
        }
        let name = self.partition.to_string();
        let store = || self.ports.store.set_progress(&name, p.until);
        match self.processor.patiently(0, store).await {
            Ok(()) => {
                (p.stored, p.at, p.failed) = (p.until, Instant::now(), None);
                self.health.progress(self.partition);
                true
            }
            Err(e) => {
                tracing::debug!(error = %e, "progress not stored; the relay waits longer");
                p.failed = Some(Instant::now());
                false
            }
        }
    }
}

/// Moves deliveries to the batches and acks to the consumer, until either side ends.
async fn read(
    partition: Partition,
    mut consumer: Box<dyn Consumer>,
    (to_batch, waiting): (mpsc::Sender<Delivery>, &Waiting),
    mut acks: mpsc::Receiver<Vec<DeliveryId>>,
) {
    loop {
        let next = async {
            // Nothing is pulled before there is room for it.
            waiting.room().await;
            let room = to_batch.reserve().await.ok()?;
            Some((room, consumer.next().await))
        };
        let ids = tokio::select! {
            biased;
            ids = acks.recv() => ids,
            next = next => match next {
                Some((room, Ok(delivery))) => {
                    waiting.more(delivery.frame.len());
                    room.send(delivery);
                    continue;
                }
                Some((_, Err(e))) => return ended(partition, &e),
                None => return,
            },
        };
        let Some(ids) = ids else { return };
        for id in ids {
            if let Err(e) = consumer.ack(&id).await {
                return ended(partition, &e);
            }
        }
    }
}

fn ended(partition: Partition, e: &LogError) {
    tracing::info!(%partition, error = %e, "consumer ended, making a new one");
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_pulled_while_too_many_bytes_wait() {
        let waiting = Waiting::default();
        let has_room = async || timeout(Duration::from_secs(1), waiting.room()).await.is_ok();
        waiting.more(AHEAD - 1);
        assert!(has_room().await);
        waiting.more(1);
        assert!(!has_room().await);
        let (went_on, ()) = tokio::join!(has_room(), async { waiting.less(1) });
        assert!(went_on);
    }
}
