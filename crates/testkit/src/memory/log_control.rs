//! What only a simulator does to the log: looking inside, losing, repeating and reordering frames.

use bytes::Bytes;
use orderlog::{DeliveryId, Partition};

use super::log::{Frame, MemoryLog, Part, Pick};

/// A frame as it lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrame {
    /// Names it for ack, [`MemoryLog::redeliver`] and [`MemoryLog::lose`].
    pub id: DeliveryId,
    /// Its bytes.
    pub frame: Bytes,
    /// When the log took it, UTC ms.
    pub published_ms: u64,
    /// The active consumer has it and has not acked it.
    pub out: bool,
}

fn stored(seq: u64, f: &Frame) -> StoredFrame {
    let (frame, published_ms, out) = (f.body.clone(), f.published_ms, f.out);
    StoredFrame { id: DeliveryId([seq, 0, 0]), frame, published_ms, out }
}

impl MemoryLog {
    fn part<T>(&self, p: Partition, work: impl FnOnce(&mut Part) -> T) -> Option<T> {
        self.shared.state.lock().parts.get_mut(&p).map(work)
    }

    /// Every partition, main first.
    pub fn all_partitions(&self) -> Vec<Partition> {
        self.shared.state.lock().parts.keys().copied().collect()
    }

    /// The unacked frames of a partition, oldest first.
    pub fn unacked(&self, p: Partition) -> Vec<StoredFrame> {
        let list = |part: &mut Part| part.frames.iter().map(|(s, f)| stored(*s, f)).collect();
        self.part(p, list).unwrap_or_default()
    }

    /// The frames that were acked and are still remembered, in the order of their acks.
    pub fn acked(&self, p: Partition) -> Vec<StoredFrame> {
        let list = |part: &mut Part| part.acked.iter().map(|(s, f)| stored(*s, f)).collect();
        self.part(p, list).unwrap_or_default()
    }

    /// Unacked frames over all partitions.
    pub fn backlog_now(&self) -> usize {
        self.shared.state.lock().parts.values().map(|p| p.frames.len()).sum()
    }

    /// Delivers acked frames again, at their old places; how many were still remembered.
    pub fn redeliver(&self, p: Partition, ids: &[DeliveryId]) -> usize {
        let again = |part: &mut Part| {
            let mut count = 0;
            for id in ids {
                let Some(at) = part.acked.iter().position(|(s, _)| *s == id.0[0]) else { continue };
                if let Some((seq, frame)) = part.acked.remove(at) {
                    part.frames.insert(seq, Frame { out: false, ..frame });
                    count += 1;
                }
            }
            part.bell.notify_waiters();
            count
        };
        self.part(p, again).unwrap_or(0)
    }

    /// Delivers an unacked frame again to the consumer that has it; false when none has it.
    pub fn repeat(&self, p: Partition, id: &DeliveryId) -> bool {
        let again = |part: &mut Part| {
            let Some(frame) = part.frames.get_mut(&id.0[0]).filter(|f| f.out) else { return false };
            frame.out = false;
            part.bell.notify_waiters();
            true
        };
        self.part(p, again).unwrap_or(false)
    }

    /// Loses the `n`th unacked frame (0 = oldest) for good, receipt or not.
    pub fn lose(&self, p: Partition, n: usize) -> Option<StoredFrame> {
        self.part(p, |part| {
            let seq = *part.frames.keys().nth(n)?;
            part.frames.remove(&seq).map(|f| stored(seq, &f))
        })?
    }

    /// Ends the active consumer of a partition: its `next` fails, the one that stands by (or the
    /// one that is made next) gets everything unacked. False when there was none.
    pub fn end_consumer(&self, p: Partition) -> bool {
        let end = |part: &mut Part| {
            let active = part.active();
            active.map(|id| part.end(id)).is_some()
        };
        self.part(p, end).unwrap_or(false)
    }

    /// Sets who chooses the next frame; `None` is the order of the log.
    pub fn set_pick(&self, pick: Option<Pick>) {
        self.shared.state.lock().pick = pick;
    }
}
