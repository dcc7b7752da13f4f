//! What committer, reader, consumers and the log see together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::port::Partition;

/// Bytes that may wait for the committer; more are refused.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// One for each log.
pub(super) struct Shared {
    /// Last committed position per partition; a consumer sleeps on it.
    pub parts: Mutex<HashMap<Partition, Arc<PartitionState>>>,
    /// Acks that no transaction has taken yet.
    pub acks: Mutex<Vec<i64>>,
    /// Rung when the first ack arrives.
    pub acked: Notify,
    /// Frames in the file.
    pub stored: AtomicU64,
    /// Bytes that wait for the committer.
    pub queued: AtomicUsize,
    /// Held as long as anything of this log lives; the lock of the folder.
    pub _owner: std::fs::File,
}

/// One partition.
pub(super) struct PartitionState {
    /// Position of the last committed frame.
    pub tail: watch::Sender<i64>,
    /// Held by the active consumer.
    pub active: Arc<tokio::sync::Mutex<()>>,
}

impl Shared {
    pub(super) fn part(&self, p: Partition) -> Option<Arc<PartitionState>> {
        self.parts.lock().get(&p).cloned()
    }

    /// Adds what is missing of so many main partitions, and of those of so many databases.
    pub(super) fn grow(&self, main: u16, databases: u16, tail: i64) {
        let mut parts = self.parts.lock();
        for p in Partition::all(main, databases) {
            parts.entry(p).or_insert_with(|| {
                let active = Arc::default();
                Arc::new(PartitionState { tail: watch::Sender::new(tail), active })
            });
        }
    }
}

/// A place in the queue's byte budget; given back when dropped.
pub(super) struct Weight {
    pub bytes: usize,
    pub shared: Arc<Shared>,
}

impl Weight {
    pub(super) fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let before = shared.queued.fetch_add(bytes, Ordering::Relaxed);
        let weight = Self { bytes, shared: Arc::clone(shared) };
        (before + bytes <= QUEUE_BYTES).then_some(weight)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.shared.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
