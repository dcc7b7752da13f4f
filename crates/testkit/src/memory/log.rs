//! The order log in memory: positions, receipts, one active consumer per partition.
//!
//! A frame stays until its ack; the active consumer gets every frame once, in order, and its
//! successor everything unacked again. Consumers take over in the order in which they were made.
//! Publish times never go back. A publish waits one step in a bounded queue before it is stored:
//! dropped in between, it is not in the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use orderlog::{Consumer, Delivery, DeliveryId, LogError, MAX_FRAME, OrderLog, Partition, Reader};
use parking_lot::Mutex;
use runtime::Clock;
use tokio::sync::Notify;

/// Chooses which of `n` waiting frames of a partition comes next; the answer is taken modulo `n`.
/// Barriers and progress rest on a partition's order (only redeliveries come out of it), so a
/// writer may rightly go wrong when first deliveries are shuffled.
pub type Pick = Box<dyn FnMut(Partition, usize) -> usize + Send>;

/// Publishes that may wait at once, unless told otherwise; more are refused.
const QUEUE: usize = 2048;
/// Acked frames that a partition remembers for a redelivery.
const RETAIN: usize = 64;

/// The log in memory; clones share everything.
#[derive(Clone)]
pub struct MemoryLog {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    main: u16,
    queue: usize,
    clock: Arc<dyn Clock>,
    pub state: Mutex<State>,
}

pub(super) struct State {
    pub parts: BTreeMap<Partition, Part>,
    pub pick: Option<Pick>,
    /// Publishes between their call and their receipt.
    queued: usize,
    last_ms: u64,
    next_seq: u64,
    next_consumer: u64,
    ready: bool,
}

/// One partition.
#[derive(Default)]
pub(super) struct Part {
    /// Not acked.
    pub frames: BTreeMap<u64, Frame>,
    /// Acked, the oldest first, at most [`RETAIN`].
    pub acked: VecDeque<(u64, Frame)>,
    /// All that was ever published, for readers.
    kept: BTreeMap<u64, Frame>,
    /// The first is active, the others stand by.
    consumers: VecDeque<u64>,
    /// Rung by every change that a waiting consumer may wait for.
    pub bell: Arc<Notify>,
}

/// A frame in the log.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub body: Bytes,
    pub published_ms: u64,
    /// The active consumer has it.
    pub out: bool,
}

impl MemoryLog {
    /// Empty, with so many main partitions; [`OrderLog::init`] adds those of databases.
    pub fn new(partitions: u16, clock: Arc<dyn Clock>) -> Self {
        Self::with_queue(partitions, clock, QUEUE)
    }

    /// As [`MemoryLog::new`], with another bound on publishes that wait at once.
    pub fn with_queue(partitions: u16, clock: Arc<dyn Clock>, queue: usize) -> Self {
        let parts = (0..partitions).map(|n| (Partition::Main(n), Part::default())).collect();
        let state = State {
            parts,
            pick: None,
            queued: 0,
            last_ms: 0,
            next_seq: 1,
            next_consumer: 0,
            ready: false,
        };
        Self {
            shared: Arc::new(Shared { main: partitions, queue, clock, state: Mutex::new(state) }),
        }
    }

    fn queue_up(&self, p: Partition, len: usize) -> Result<Queued<'_>, LogError> {
        let not_stored = |why: &str| Err(LogError::NotStored(p, why.to_owned()));
        if len > MAX_FRAME {
            return not_stored("the frame is too large");
        }
        let mut state = self.shared.state.lock();
        if !state.parts.contains_key(&p) {
            return not_stored("no such partition");
        }
        if state.queued >= self.shared.queue {
            return not_stored("the queue is full");
        }
        state.queued += 1;
        Ok(Queued(&self.shared))
    }
}

/// A place in the queue; given back when dropped.
struct Queued<'a>(&'a Shared);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.state.lock().queued -= 1;
    }
}

#[async_trait]
impl OrderLog for MemoryLog {
    fn partitions(&self) -> u16 {
        self.shared.main
    }

    async fn init(&self, databases: u16) -> Result<(), LogError> {
        tokio::task::yield_now().await;
        let mut state = self.shared.state.lock();
        for p in Partition::all(self.shared.main, databases) {
            state.parts.entry(p).or_default();
        }
        state.ready = true;
        Ok(())
    }

    async fn ready(&self) -> Result<(), LogError> {
        tokio::task::yield_now().await;
        if self.shared.state.lock().ready {
            Ok(())
        } else {
            Err(LogError::Unavailable("init never ran on this log".into()))
        }
    }

    async fn publish(&self, partition: Partition, frame: Bytes) -> Result<(), LogError> {
        let place = self.queue_up(partition, frame.len())?;
        tokio::task::yield_now().await;
        let now = self.shared.clock.now_ms();
        {
            let mut state = self.shared.state.lock();
            state.last_ms = state.last_ms.max(now);
            let (seq, published_ms) = (state.next_seq, state.last_ms);
            state.next_seq += 1;
            if let Some(part) = state.parts.get_mut(&partition) {
                let frame = Frame { body: frame, published_ms, out: false };
                part.kept.insert(seq, frame.clone());
                part.frames.insert(seq, frame);
                part.bell.notify_waiters();
            }
        }
        drop(place);
        Ok(())
    }

    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError> {
        tokio::task::yield_now().await;
        let mut state = self.shared.state.lock();
        state.next_consumer += 1;
        let id = state.next_consumer;
        let none = || LogError::Unavailable(format!("partition {partition} does not exist"));
        let part = state.parts.get_mut(&partition).ok_or_else(none)?;
        part.consumers.push_back(id);
        let bell = Arc::clone(&part.bell);
        Ok(Box::new(MemoryConsumer { partition, id, bell, shared: Arc::clone(&self.shared) }))
    }

    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError> {
        tokio::task::yield_now().await;
        let state = self.shared.state.lock();
        let none = || LogError::Unavailable(format!("partition {from} does not exist"));
        let bell = Arc::clone(&state.parts.get(&from).ok_or_else(none)?.bell);
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(MemoryReader { partition: from, after: 0, since_ms, bell, shared }))
    }

    async fn backlog(&self) -> Result<u64, LogError> {
        tokio::task::yield_now().await;
        Ok(self.shared.state.lock().parts.values().map(|p| p.frames.len() as u64).sum())
    }
}

/// Reads a partition beside its consumers.
struct MemoryReader {
    partition: Partition,
    after: u64,
    since_ms: u64,
    bell: Arc<Notify>,
    shared: Arc<Shared>,
}

impl MemoryReader {
    fn take(&mut self) -> Option<Delivery> {
        let state = self.shared.state.lock();
        let kept = &state.parts.get(&self.partition)?.kept;
        let mut rest = kept.range(self.after + 1..);
        let (seq, f) = rest.find(|(_, f)| f.published_ms >= self.since_ms)?;
        self.after = *seq;
        let (frame, published_ms) = (f.body.clone(), f.published_ms);
        Some(Delivery { id: DeliveryId([*seq, 0, 0]), frame, published_ms })
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        let bell = Arc::clone(&self.bell);
        loop {
            // Made before the look: a change after it rings this bell.
            let rung = bell.notified();
            if let Some(delivery) = self.take() {
                return Ok(delivery);
            }
            rung.await;
        }
    }
}

/// One reader of one partition.
struct MemoryConsumer {
    partition: Partition,
    id: u64,
    bell: Arc<Notify>,
    shared: Arc<Shared>,
}

impl MemoryConsumer {
    /// The next frame, if this consumer is active and there is one.
    fn take(&self) -> Result<Option<Delivery>, LogError> {
        let mut state = self.shared.state.lock();
        let State { parts, pick, .. } = &mut *state;
        let Some(part) = parts.get_mut(&self.partition) else { return Ok(None) };
        if !part.consumers.contains(&self.id) {
            return Err(LogError::Ended(self.partition, "the log ended it".into()));
        }
        if part.consumers.front() != Some(&self.id) {
            return Ok(None);
        }
        let waiting = || part.frames.iter().filter(|(_, f)| !f.out);
        let nth = match pick {
            Some(pick) => {
                let count = waiting().count();
                if count == 0 { 0 } else { pick(self.partition, count) % count }
            }
            None => 0,
        };
        let Some(seq) = waiting().nth(nth).map(|(seq, _)| *seq) else { return Ok(None) };
        Ok(part.frames.get_mut(&seq).map(|f| {
            f.out = true;
            let (frame, published_ms) = (f.body.clone(), f.published_ms);
            Delivery { id: DeliveryId([seq, 0, 0]), frame, published_ms }
        }))
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        loop {
            // Made before the look: a change after it rings this bell.
            let rung = self.bell.notified();
            if let Some(delivery) = self.take()? {
                return Ok(delivery);
            }
            rung.await;
        }
    }

    async fn ack(&mut self, id: &DeliveryId) -> Result<(), LogError> {
        let mut state = self.shared.state.lock();
        if let Some(part) = state.parts.get_mut(&self.partition)
            && let Some(frame) = part.frames.remove(&id.0[0])
        {
            part.acked.push_back((id.0[0], frame));
            if part.acked.len() > RETAIN {
                part.acked.pop_front();
            }
        }
        Ok(())
    }
}

impl Part {
    /// Ends a consumer; what the active one had is for its successor.
    pub(super) fn end(&mut self, id: u64) {
        if self.consumers.front() == Some(&id) {
            for frame in self.frames.values_mut() {
                frame.out = false;
            }
        }
        self.consumers.retain(|c| *c != id);
        self.bell.notify_waiters();
    }

    pub(super) fn active(&self) -> Option<u64> {
        self.consumers.front().copied()
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if let Some(part) = self.shared.state.lock().parts.get_mut(&self.partition) {
            part.end(self.id);
        }
    }
}
