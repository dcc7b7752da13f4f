//! One partition: consumer, batches, acks, progress.
//!
//! What is ready becomes one batch. A consumer that ends is made again, with a growing pause; one
//! that brings nothing is given up.

mod health;
mod mark;
mod pipe;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame;
use mutants::Mutant;
use orderlog::port::{Consumer, Delivery, OrderLog, Partition};
use runtime::probe::Ready;
use runtime::{Clock, Phase, Tasks};
use tokio::time::Instant;

use health::Health;
pub use health::IntakeCount;
pub use mark::Marking;
use pipe::{Pipe, pipe};

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

/// What is done with frames.
#[async_trait]
pub trait FrameWork: Send + Sync {
    /// Does all that frames of one partition, in their order, ask for.
    async fn run(&self, here: Partition, frames: &[Bytes]) -> Processed;

    /// True when the frames are to be acked before they are finished; only a mutant says so.
    async fn is_acked_early(&self, _frames: &[Bytes]) -> bool {
        false
    }
}

/// What may be done with the frames of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processed {
    /// Everything in them is finished or stored elsewhere: ack.
    Finished,
    /// Something has to wait here: run the same batch again later.
    Again,
    /// This many frames are finished: ack them. The next one is of a newer version or has an entry
    /// of an unknown kind; it and what follows wait for a program that reads it.
    Newer(usize),
}

/// How much is taken at once, and how long without progress.
#[derive(Debug, Clone, Copy)]
pub struct IntakeSettings {
    /// The most frames of one batch.
    pub batch_frames: usize,
    /// The most entries of one batch, about.
    pub batch_entries: usize,
    /// Rounds without progress after which a partition is given up.
    pub give_up_after: u32,
}

/// What takes frames from the log, on behalf of a service.
#[derive(Clone)]
pub struct Intake {
    /// The log.
    pub log: Arc<dyn OrderLog>,
    /// Database 0, which is told how far everything is.
    pub marking: Marking,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Its bounds.
    pub settings: IntakeSettings,
    /// What is done with the frames.
    pub work: Arc<dyn FrameWork>,
    /// What is counted.
    pub count: fn(IntakeCount),
}

impl Intake {
    /// Starts one consumer per partition; they end at `FlushLog`, each after its batch. The answer
    /// says whether all of them make progress.
    pub fn spawn(
        &self,
        tasks: &Tasks,
        name: &'static str,
        partitions: impl Iterator<Item = Partition>,
    ) -> Ready {
        let all: Vec<Partition> = partitions.collect();
        let ready = Ready::default();
        let (most, of) = (self.settings.give_up_after, all.iter().copied());
        let health = Arc::new(Health::new(most, of, ready.clone(), self.count));
        for partition in all {
            let (all, health) = (self.clone(), health.clone());
            let (one, t) = (Arc::new(PartitionIntake { partition, all, health }), tasks.clone());
            tasks.spawn_loop(name, move || {
                let (one, t) = (one.clone(), t.clone());
                async move { one.run(&t).await }
            });
        }
        ready
    }
}

/// Works on one partition.
struct PartitionIntake {
    partition: Partition,
    all: Intake,
    health: Arc<Health>,
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

impl PartitionIntake {
    /// Works until `FlushLog`.
    async fn run(&self, tasks: &Tasks) {
        let mut pause = Duration::from_millis(50);
        while tasks.phase() < Phase::FlushLog {
            if self.health.has_trouble(self.partition) {
                tasks.unless(Phase::FlushLog, self.leave_to_others()).await;
            }
            let made = self.all.log.consumer(self.partition);
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
    /// For a partition of one database that lasts until that answers; orders of other databases are
    /// in the main ones, which cannot wait for database 0.
    async fn leave_to_others(&self) {
        let away = if self.health.is_newer(self.partition) { UPGRADE } else { LONGEST / 2 };
        tokio::time::sleep(away).await;
        let until = Instant::now() + AWAY;
        let (db, for_ever) = match self.partition {
            Partition::Main(_) => (0, false),
            Partition::Retry(db) | Partition::Life(db) => (db, true),
        };
        while !self.all.marking.store.ping(db).await && (for_ever || Instant::now() < until) {
            self.health.fruitless(self.partition);
            tokio::time::sleep(LONGEST).await;
        }
    }

    /// Until this consumer ends.
    async fn consume(&self, consumer: Box<dyn Consumer>, tasks: &Tasks) {
        let (pipe, pump) = pipe(self.all.settings.batch_frames * 2);
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
            let now = self.all.clock.now_ms();
            for d in &batch {
                let lag = now.saturating_sub(d.published_ms) as f64 / 1000.0;
                (self.all.count)(IntakeCount::Lag(lag));
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
        let frames: Vec<_> = batch.iter().map(|d| d.frame.clone()).collect();
        if self.all.work.is_acked_early(&frames).await {
            pipe.ack(batch.iter().map(|d| d.id.clone()).collect()).await;
        }
    }

    /// Counts a round without progress.
    fn gives_up(&self) -> bool {
        let over = self.health.fruitless(self.partition);
        if must_give_up(over) {
            tracing::warn!(
                partition = %self.partition,
                "rounds without progress: another process may have this partition"
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
        let most = self.all.settings;
        while batch.len() < most.batch_frames && count < most.batch_entries {
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
            match self.all.work.run(self.partition, &frames).await {
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
        match self.all.marking.progress(self.partition, p.until).await {
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

/// A consumer whose term is over brings nothing: somebody else may do better.
fn must_give_up(over: bool) -> bool {
    if mutants::on(Mutant::ConsumerKept) {
        return false;
    }
    over
}
