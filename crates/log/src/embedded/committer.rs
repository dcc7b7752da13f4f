//! The one writer of the file: gathers, commits once, answers.
//!
//! What arrives during a commit forms the next batch, so the batch grows with the load and a lone
//! frame waits for nothing. Acks ride along, or go alone after a short while. After any error the
//! whole batch is unknown to its publishers and the connection is made anew.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use runtime::{Clock, Phase, Tasks};
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::file::{self, FileState};
use super::keep::{self, Keep};
use super::shared::{PartitionState, Shared, Weight};
use crate::port::{LogError, Partition};

/// The most frames of one transaction.
const BATCH_FRAMES: usize = 256;
/// No frame is added to a transaction that has this many bytes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How long acks wait for a frame to ride with.
const ACK_DELAY: Duration = Duration::from_millis(20);

/// A frame that waits for its receipt.
pub(super) struct Publish {
    pub partition: Partition,
    pub part: Arc<PartitionState>,
    pub frame: Bytes,
    pub weight: Weight,
    pub done: oneshot::Sender<Result<(), LogError>>,
}

/// An acked frame stays for readers: see [`file::acked`].
const ACK: &str = "UPDATE frame SET part = -1 - part \
                   WHERE seq IN (SELECT value FROM json_each(?)) AND part >= 0";

/// What the committer is asked to do.
pub(super) enum CommitTask {
    /// Store a frame.
    Publish(Publish),
    /// Put every ack so far into the file.
    Flush(oneshot::Sender<Result<(), LogError>>),
    /// Set up the partitions of `databases`.
    Init { databases: u16, done: oneshot::Sender<Result<(), LogError>> },
    /// Was init run, and does the file answer?
    Ready(oneshot::Sender<Result<(), LogError>>),
}

/// The log's file, opened by its one writer.
pub(super) struct OpenedFile {
    pub path: PathBuf,
    pub conn: SqliteConnection,
    pub found: FileState,
    pub keep: Keep,
}

/// See the module.
pub(super) struct Committer {
    path: PathBuf,
    conn: Option<SqliteConnection>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    main: u16,
    found: FileState,
    ack_at: Option<Instant>,
    keep: Keep,
    prune_at: Instant,
}

impl Committer {
    /// Over the file as it was opened.
    pub(super) fn new(opened: OpenedFile, shared: Arc<Shared>, clock: Arc<dyn Clock>) -> Self {
        let OpenedFile { path, conn, found, keep } = opened;
        let main = shared.parts.lock().keys().filter(|p| matches!(p, Partition::Main(_))).count();
        let main = main as u16;
        let prune_at = Instant::now();
        let conn = Some(conn);
        Self { path, conn, shared, clock, main, found, ack_at: None, keep, prune_at }
    }

    /// Works until the log and its consumers are gone or the pools close; what is queued by then
    /// is still committed.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<CommitTask>, tasks: Tasks) {
        let mut open = true;
        while open {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = tasks.reached(Phase::ClosePools) => {
                    queue.close();
                    open = false;
                }
                got = queue.recv() => match got {
                    Some(task) => batch.push(task),
                    None => open = false,
                },
                () = sleep_until(self.ack_at), if self.ack_at.is_some() => {}
                () = self.shared.acked.notified(), if self.ack_at.is_none() => {
                    self.ack_at = Some(Instant::now() + ACK_DELAY);
                    continue;
                }
            }
            self.gather(&mut batch, &mut queue, !open);
            self.work(batch).await;
            self.prune().await;
        }
        if let Some(conn) = self.conn.take() {
            file::close(conn).await;
        }
    }

    fn gather(
        &self,
        batch: &mut Vec<CommitTask>,
        queue: &mut mpsc::Receiver<CommitTask>,
        all: bool,
    ) {
        let weigh = |t: &CommitTask| {
            if let CommitTask::Publish(p) = t { p.frame.len() } else { 0 }
        };
        let mut bytes: usize = batch.iter().map(weigh).sum();
        while all || (batch.len() < BATCH_FRAMES && bytes < BATCH_BYTES) {
            let Ok(task) = queue.try_recv() else { break };
            bytes += weigh(&task);
            batch.push(task);
        }
    }

    async fn work(&mut self, batch: Vec<CommitTask>) {
        let (mut frames, mut flushes) = (Vec::new(), Vec::new());
        for task in batch {
            match task {
                CommitTask::Publish(p) => frames.push(p),
                CommitTask::Flush(done) => flushes.push(done),
                CommitTask::Ready(done) => {
                    let _ = done.send(self.ready().await);
                }
                CommitTask::Init { databases, done } => {
                    let _ = done.send(self.init(databases).await);
                }
            }
        }
        let acks = std::mem::take(&mut *self.shared.acks.lock());
        self.ack_at = None;
        let stored = self.commit(&frames, &acks).await;
        if stored.is_err() {
            self.shared.acks.lock().extend(acks);
            self.ack_at = Some(Instant::now() + Duration::from_millis(500));
        }
        for p in frames {
            let unknown = |e: &String| LogError::Unknown(p.partition, e.clone());
            drop(p.weight);
            let _ = p.done.send(stored.as_ref().map_err(unknown).copied());
        }
        for done in flushes {
            let failed = |e: &String| LogError::Unavailable(e.clone());
            let _ = done.send(stored.as_ref().map_err(failed).copied());
        }
    }

    /// One transaction; the counters and the sleepers hear of it after the commit.
    async fn commit(&mut self, frames: &[Publish], acks: &[i64]) -> Result<(), String> {
        if frames.is_empty() && acks.is_empty() {
            return Ok(());
        }
        // Publish times never go back, so "finished until" means a position as well.
        self.found.last_ms = self.clock.now_ms().max(self.found.last_ms);
        let at_ms = self.found.last_ms as i64;
        let mut conn = self.take_conn().await?;
        match transaction(&mut conn, frames, acks, at_ms).await {
            Ok((seqs, acked)) => {
                self.conn = Some(conn);
                let stored = &self.shared.stored;
                stored.fetch_add(seqs.len() as u64, Ordering::Relaxed);
                stored.fetch_sub(acked, Ordering::Relaxed);
                for (p, seq) in frames.iter().zip(seqs) {
                    p.part.tail.send_replace(seq);
                }
                Ok(())
            }
            Err(e) => {
                tracing::error!(error = %e, "log.sqlite: a commit failed");
                Err(e.to_string())
            }
        }
    }

    /// Lets go of acked frames that are older or more than what is kept. A little at a time:
    /// publishers wait meanwhile.
    async fn prune(&mut self) {
        if Instant::now() < self.prune_at {
            return;
        }
        let parts: Vec<i64> = self.shared.parts.lock().keys().map(|p| file::number(*p)).collect();
        let done = async {
            let mut conn = self.take_conn().await?;
            let oldest = self.clock.now_ms().saturating_sub(self.keep.ms);
            let pruned = keep::prune(&mut conn, &parts, oldest, self.keep.bytes).await;
            self.conn = pruned.is_ok().then_some(conn);
            pruned.map_err(|e| e.to_string())
        };
        let pause = match done.await {
            Ok(true) => keep::SOON,
            Ok(false) => keep::PAUSE,
            Err(e) => {
                tracing::warn!(error = %e, "log.sqlite: old frames stay for now");
                keep::PAUSE
            }
        };
        self.prune_at = Instant::now() + pause;
    }

    /// The connection; made anew after an error, when the file may hold more than was counted.
    async fn take_conn(&mut self) -> Result<SqliteConnection, String> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        let mut conn = file::connect(&self.path).await.map_err(|e| e.to_string())?;
        let found = file::read(&mut conn).await.map_err(|e| e.to_string())?;
        self.shared.stored.store(found.frames, Ordering::Relaxed);
        for part in self.shared.parts.lock().values() {
            part.tail.send_replace(found.tail);
        }
        Ok(conn)
    }

    async fn init(&mut self, databases: u16) -> Result<(), LogError> {
        let databases = databases.max(self.found.databases);
        let mut conn = self.take_conn().await.map_err(LogError::Unavailable)?;
        let put = file::put_fact(&mut conn, "databases", i64::from(databases)).await;
        put.map_err(|e| LogError::Unavailable(e.to_string()))?;
        self.conn = Some(conn);
        (self.found.databases, self.found.ready) = (databases, true);
        self.shared.grow(self.main, databases, 0);
        Ok(())
    }

    async fn ready(&mut self) -> Result<(), LogError> {
        let mut conn = self.take_conn().await.map_err(LogError::Unavailable)?;
        let asked = sqlx::query("SELECT 1").execute(&mut conn).await;
        asked.map_err(|e| LogError::Unavailable(e.to_string()))?;
        self.conn = Some(conn);
        if self.found.ready {
            Ok(())
        } else {
            Err(LogError::Unavailable("init never ran on this folder".into()))
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// The positions of the new frames, and how many were acked.
async fn transaction(
    conn: &mut SqliteConnection,
    frames: &[Publish],
    acks: &[i64],
    at_ms: i64,
) -> Result<(Vec<i64>, u64), sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *conn).await?;
    let mut seqs = Vec::with_capacity(frames.len());
    for p in frames {
        let done = sqlx::query("INSERT INTO frame (part, at_ms, body) VALUES (?, ?, ?)")
            .bind(file::number(p.partition))
            .bind(at_ms)
            .bind(&p.frame[..])
            .execute(&mut *conn)
            .await?;
        seqs.push(done.last_insert_rowid());
    }
    let mut acked = 0;
    if !acks.is_empty() {
        let list: Vec<String> = acks.iter().map(i64::to_string).collect();
        let done =
            sqlx::query(ACK).bind(format!("[{}]", list.join(","))).execute(&mut *conn).await?;
        acked = done.rows_affected();
    }
    sqlx::query("COMMIT").execute(&mut *conn).await?;
    Ok((seqs, acked))
}
