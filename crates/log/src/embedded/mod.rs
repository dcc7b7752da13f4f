//! The embedded log: a durable queue in `log.sqlite`, for one process.
//!
//! One committer task writes everything: it gathers what all partitions want published, and all
//! acks, into one transaction with one fsync, and answers afterwards (a receipt means durable).
//! A reader task with its own connection serves the consumers, who sleep until a commit wakes
//! them; nothing polls. An ack is a mark in a later transaction, so a crash may lose it and the
//! frame comes again. Marked frames stay for readers for a while. What is deliberately absent: a
//! frame's content, and any order between partitions.

mod committer;
mod consumer;
mod file;
mod keep;
mod reader;
mod shared;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use runtime::{Clock, Tasks};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::port::{Consumer, LogError, MAX_FRAME, OrderLog, Partition, Reader};
use committer::{CommitTask, Committer, OpenedFile, Publish};
use consumer::{EmbeddedConsumer, EmbeddedReader};
use reader::Fetch;
use shared::{PartitionState, Shared, Weight};

pub use keep::Keep;

/// Frames that may wait for the committer; more are refused.
const QUEUE_FRAMES: usize = 2048;
/// Reads that may wait for the reader; one per consumer is the most there can be.
const QUEUE_READS: usize = 1024;
/// How long an opening waits for a predecessor to let the folder go.
const OWNER_PATIENCE: Duration = Duration::from_secs(2);

/// The embedded log. Open it once per folder.
pub struct EmbeddedLog {
    partitions: u16,
    queue: mpsc::Sender<CommitTask>,
    reads: mpsc::Sender<Fetch>,
    shared: Arc<Shared>,
}

impl EmbeddedLog {
    /// Opens or makes `log.sqlite` in the folder `dir` and becomes its only owner. `partitions`
    /// must be what the file was made with. Ends with the tasks' `ClosePools` or when the log and
    /// its consumers are dropped.
    pub async fn open(
        dir: &Path,
        partitions: u16,
        tasks: &Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, LogError> {
        Self::open_keeping(dir, partitions, Keep::default(), tasks, clock).await
    }

    /// As [`EmbeddedLog::open`]; says how long acked frames stay readable.
    pub async fn open_keeping(
        dir: &Path,
        partitions: u16,
        keep: Keep,
        tasks: &Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, LogError> {
        let owner = file::own(dir, OWNER_PATIENCE).await?;
        let path = dir.join("log.sqlite");
        let mut conn = file::connect(&path).await.map_err(unavailable)?;
        let found = file::prepare(&mut conn, partitions).await?;
        let shared = Arc::new(Shared {
            parts: Mutex::default(),
            acks: Mutex::default(),
            acked: Notify::new(),
            stored: AtomicU64::new(found.frames),
            queued: AtomicUsize::new(0),
            _owner: owner,
        });
        shared.grow(partitions, found.databases, found.tail);
        let (queue, tasks_in) = mpsc::channel(QUEUE_FRAMES);
        let (reads, reads_in) = mpsc::channel(QUEUE_READS);
        let reader = file::connect(&path).await.map_err(unavailable)?;
        let opened = OpenedFile { path: path.clone(), conn, found, keep };
        let committer = Committer::new(opened, Arc::clone(&shared), clock);
        tasks.spawn("log committer", committer.run(tasks_in, tasks.clone()));
        tasks.spawn("log reader", reader::run(path, reader, reads_in, tasks.clone()));
        Ok(Arc::new(Self { partitions, queue, reads, shared }))
    }

    fn part(&self, p: Partition) -> Result<Arc<PartitionState>, LogError> {
        self.shared.part(p).ok_or_else(|| {
            LogError::Unavailable(format!("partition {p} does not exist; run init first"))
        })
    }

    async fn ask<T>(
        &self,
        task: impl FnOnce(oneshot::Sender<T>) -> CommitTask,
    ) -> Result<T, LogError> {
        let (tell, answer) = oneshot::channel();
        let gone = || LogError::Unavailable("the log is closed".into());
        self.queue.send(task(tell)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }
}

fn unavailable(e: sqlx::Error) -> LogError {
    LogError::Unavailable(e.to_string())
}

#[async_trait]
impl OrderLog for EmbeddedLog {
    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn init(&self, databases: u16) -> Result<(), LogError> {
        self.ask(|done| CommitTask::Init { databases, done }).await?
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.ask(CommitTask::Ready).await?
    }

    async fn publish(&self, partition: Partition, frame: Bytes) -> Result<(), LogError> {
        let not_stored = |why: &str| LogError::NotStored(partition, why.to_owned());
        if frame.len() > MAX_FRAME {
            return Err(not_stored("the frame is too large"));
        }
        let part = self.shared.part(partition).ok_or_else(|| not_stored("no such partition"))?;
        let full = || not_stored("the queue is full");
        let weight = Weight::take(&self.shared, frame.len()).ok_or_else(full)?;
        let (done, receipt) = oneshot::channel();
        let task = CommitTask::Publish(Publish { partition, part, frame, weight, done });
        match self.queue.try_send(task) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(full()),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(not_stored("the log is closed"));
            }
        }
        let lost = || LogError::Unknown(partition, "the log closed before the receipt".into());
        receipt.await.map_err(|_| lost())?
    }

    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError> {
        let part = self.part(partition)?;
        let (queue, reads) = (self.queue.clone(), self.reads.clone());
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(EmbeddedConsumer::new(partition, part, shared, queue, reads)))
    }

    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError> {
        let part = self.part(from)?;
        Ok(Box::new(EmbeddedReader::new(from, part, since_ms, self.reads.clone())))
    }

    async fn backlog(&self) -> Result<u64, LogError> {
        let pending = self.shared.acks.lock().len() as u64;
        Ok(self.shared.stored.load(Ordering::Relaxed).saturating_sub(pending))
    }
}
