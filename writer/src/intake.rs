//! One partition: consumer, batches, acks, progress.
//!
//! What is ready becomes one batch. A consumer that ends is made again, with a growing pause; one
//! that brings nothing is given up.

use std::sync::Arc;
use std::time::Duration;

use domain::frame;
use mutants::Mutant;
use orderlog::port::{Consumer, Delivery, Partition};
use runtime::{Phase, Tasks};
use tokio::time::Instant;
use view::WriterPorts;

use crate::batch::Batch;
use crate::health::Health;
use crate::metrics::METRICS;
use crate::pipe::{Pipe, pipe};
use crate::process::{Processed, Processor};
use crate::settings::WriterSettings;

/// How often progress is stored, at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// Between two tries to store what database 0 did not take.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest pause between tries.
const LONGEST: Duration = Duration::from_secs(2);

/// Before a partition is taken again that waits for a newer writer: one of those takes it.
const UPGRADE: Duration = Duration::from_secs(5);
/// The most time a partition is left to others after it was given up.
const AWAY: Duration = Duration::from_secs(3);

/// Works on one partition.
pub(crate) struct Intake {
    pub partition: Partition,
    pub ports: WriterPorts,
    pub settings: WriterSettings,
    pub processor: Processor,
    pub health: Arc<Health>,
}

/// How a batch ended.
enum Done {
    /// So many of its frames are finished; a newer program's is next when it is not all of them.
    Frames(usize),
    /// The process stops, or the consumer is given up.
    Left,
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
    /// Works until `FlushLog`.
    pub(crate) async fn run(&self, tasks: &Tasks) {
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
        let (pipe, pump) = pipe(self.settings.batch_frames * 2);
        let pump = async {
            if let Err(e) = pump.run(consumer).await {
                tracing::info!(partition = %self.partition, error = %e, "consumer ended");
            }
        };
        tokio::join!(pump, self.batches(pipe, tasks));
    }

    async fn batches(&self, mut pipe: Pipe, tasks: &Tasks) {
        let mut progress = Progress { until: 0, stored: 0, at: Instant::now(), failed: None };
        while let Some(Some(first)) = tasks.unless(Phase::FlushLog, pipe.next()).await {
            let mut batch = self.gather(first, &mut pipe);
            self.ack_early(&batch, &pipe).await;
            let Done::Frames(finished) = self.finish(&batch, tasks).await else { return };
            let newer = finished < batch.len();
            batch.truncate(finished);
            let now = self.ports.clock.now_ms();
            for d in &batch {
                METRICS.lag.record(now.saturating_sub(d.published_ms) as f64 / 1000.0);
                progress.until = progress.until.max(frame::tick(&d.frame).unwrap_or(0));
            }
            let ids = batch.into_iter().map(|d| d.id).collect();
            if !pipe.ack(ids).await {
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

    /// Where the ack does not come last.
    async fn ack_early(&self, batch: &[Delivery], pipe: &Pipe) {
        match ack_comes_after() {
            AckAfter::Everything => return,
            AckAfter::Verdicts => {
                let frames: Vec<_> = batch.iter().map(|d| d.frame.clone()).collect();
                self.processor.decide.run(&mut Batch::of(&frames).flows).await;
            }
            AckAfter::Nothing => {}
        }
        pipe.ack(batch.iter().map(|d| d.id.clone()).collect()).await;
    }

    /// Counts a round without progress.
    fn gives_up(&self) -> bool {
        let over = self.health.fruitless(self.partition);
        if must_give_up(over) {
            tracing::warn!(
                partition = %self.partition,
                "rounds without progress: another writer may have this partition"
            );
            return true;
        }
        false
    }

    /// What is ready now, within the bounds of a batch.
    fn gather(&self, first: Delivery, pipe: &mut Pipe) -> Vec<Delivery> {
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
                Processed::Finished => return Done::Frames(frames.len()),
                Processed::Newer(finished) => return Done::Frames(finished),
                Processed::Again => {}
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
        match self.processor.mark.progress(self.partition, p.until).await {
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

/// What is finished before the frames of a batch are acked.
enum AckAfter {
    Nothing,
    Verdicts,
    Everything,
}

/// INV-2: an acked frame is never seen again, so whatever it asks for is done or stored elsewhere.
fn ack_comes_after() -> AckAfter {
    if mutants::on(Mutant::AckBeforeCommit) {
        return AckAfter::Nothing;
    }
    if mutants::on(Mutant::AckBeforeRow) {
        return AckAfter::Verdicts;
    }
    AckAfter::Everything
}

/// A consumer whose term is over brings nothing: somebody else may do better.
fn must_give_up(over: bool) -> bool {
    if mutants::on(Mutant::ConsumerKept) {
        return false;
    }
    over
}
