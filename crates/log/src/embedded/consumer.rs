//! One reader of one partition.
//!
//! The first call of `next` waits until the former consumer is dropped, then until its acks are
//! in the file, and starts at the oldest frame that is left. Every step keeps its result before
//! the next one starts, so `next` may be dropped at any point.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use super::committer::CommitTask;
use super::file;
use super::reader::Fetch;
use super::shared::{PartitionState, Shared};
use crate::port::{Consumer, Delivery, DeliveryId, LogError, Partition, Reader};

/// See the module.
pub(super) struct EmbeddedConsumer {
    partition: Partition,
    part: Arc<PartitionState>,
    shared: Arc<Shared>,
    queue: mpsc::Sender<CommitTask>,
    reads: mpsc::Sender<Fetch>,
    active: Option<OwnedMutexGuard<()>>,
    flushed: bool,
    after: i64,
    ahead: VecDeque<Delivery>,
}

impl EmbeddedConsumer {
    pub(super) fn new(
        partition: Partition,
        part: Arc<PartitionState>,
        shared: Arc<Shared>,
        queue: mpsc::Sender<CommitTask>,
        reads: mpsc::Sender<Fetch>,
    ) -> Self {
        Self {
            partition,
            part,
            shared,
            queue,
            reads,
            active: None,
            flushed: false,
            after: 0,
            ahead: VecDeque::new(),
        }
    }

    fn ended(&self, why: impl ToString) -> LogError {
        LogError::Ended(self.partition, why.to_string())
    }

    async fn activate(&mut self) -> Result<(), LogError> {
        if self.active.is_none() {
            self.active = Some(Arc::clone(&self.part.active).lock_owned().await);
        }
        if !self.flushed {
            let (done, flushed) = oneshot::channel();
            let sent = self.queue.send(CommitTask::Flush(done)).await;
            sent.map_err(|_| self.ended("the log is closed"))?;
            flushed
                .await
                .map_err(|_| self.ended("the log is closed"))?
                .map_err(|e| self.ended(e))?;
            self.flushed = true;
        }
        Ok(())
    }

    async fn fetch(&mut self) -> Result<(), LogError> {
        let (answer, frames) = oneshot::channel();
        let ask =
            Fetch { part: file::number(self.partition), after: self.after, since: None, answer };
        let closed = "the log is closed";
        self.reads.send(ask).await.map_err(|_| self.ended(closed))?;
        let frames = frames.await.map_err(|_| self.ended(closed))?;
        self.ahead.extend(frames.map_err(|e| self.ended(e))?);
        Ok(())
    }
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        self.activate().await?;
        loop {
            if let Some(delivery) = self.ahead.pop_front() {
                self.after = delivery.id.0[0] as i64;
                return Ok(delivery);
            }
            // Seen before the read: a commit after it rings again.
            let mut tail = self.part.tail.subscribe();
            let seen = *tail.borrow_and_update();
            self.fetch().await?;
            if self.ahead.is_empty() {
                let more = tail.wait_for(|t| *t > seen);
                tokio::select! {
                    got = more => got.map(|_| ()).map_err(|_| self.ended("the log is closed"))?,
                    () = self.queue.closed() => return Err(self.ended("the log is closed")),
                }
            }
        }
    }

    async fn ack(&mut self, id: &DeliveryId) -> Result<(), LogError> {
        let mut acks = self.shared.acks.lock();
        acks.push(id.0[0] as i64);
        if acks.len() == 1 {
            self.shared.acked.notify_one();
        }
        Ok(())
    }
}

/// Reads a partition beside its consumer.
pub(super) struct EmbeddedReader {
    partition: Partition,
    part: Arc<PartitionState>,
    since: u64,
    reads: mpsc::Sender<Fetch>,
    after: i64,
    ahead: VecDeque<Delivery>,
}

impl EmbeddedReader {
    pub(super) fn new(
        partition: Partition,
        part: Arc<PartitionState>,
        since: u64,
        reads: mpsc::Sender<Fetch>,
    ) -> Self {
        Self { partition, part, since, reads, after: 0, ahead: VecDeque::new() }
    }

    fn ended(&self, why: impl ToString) -> LogError {
        LogError::Ended(self.partition, why.to_string())
    }

    async fn fetch(&self) -> Result<Vec<Delivery>, LogError> {
        let (answer, frames) = oneshot::channel();
        let (part, since) = (file::number(self.partition), Some(self.since));
        let ask = Fetch { part, after: self.after, since, answer };
        self.reads.send(ask).await.map_err(|_| self.ended("the log is closed"))?;
        let frames = frames.await.map_err(|_| self.ended("the log is closed"))?;
        frames.map_err(|e| self.ended(e))
    }
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        loop {
            if let Some(delivery) = self.ahead.pop_front() {
                self.after = delivery.id.0[0] as i64;
                return Ok(delivery);
            }
            // Seen before the read: a commit after it rings again.
            let mut tail = self.part.tail.subscribe();
            let seen = *tail.borrow_and_update();
            let found = self.fetch().await?;
            self.ahead.extend(found);
            if self.ahead.is_empty() {
                tokio::select! {
                    got = tail.wait_for(|t| *t > seen) => {
                        got.map(|_| ()).map_err(|_| self.ended("the log is closed"))?;
                    }
                    () = self.reads.closed() => return Err(self.ended("the log is closed")),
                }
            }
        }
    }
}
