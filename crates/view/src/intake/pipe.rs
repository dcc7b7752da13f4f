//! Between a consumer and its batches: deliveries one way, acks the other.
//!
//! So many deliveries and bytes are ready, and no more: nothing is pulled while there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use orderlog::port::{Consumer, Delivery, DeliveryId, LogError};
use tokio::sync::{Notify, mpsc};

/// Bytes of frames that wait for a batch, plus at most one frame.
const AHEAD: usize = 4 * 1024 * 1024;

/// The end of the batches.
pub(super) struct Pipe {
    deliveries: mpsc::Receiver<Delivery>,
    waiting: Arc<WaitingBytes>,
    acks: mpsc::Sender<Vec<DeliveryId>>,
}

/// The end of the consumer.
pub(super) struct Pump {
    deliveries: mpsc::Sender<Delivery>,
    waiting: Arc<WaitingBytes>,
    acks: mpsc::Receiver<Vec<DeliveryId>>,
}

/// Both ends, with room for so many deliveries.
pub(super) fn pipe(room: usize) -> (Pipe, Pump) {
    let waiting = Arc::new(WaitingBytes::default());
    let (to_batch, deliveries) = mpsc::channel(room);
    let (acks, from_batch) = mpsc::channel(64);
    let pump = Pump { deliveries: to_batch, waiting: waiting.clone(), acks: from_batch };
    (Pipe { deliveries, waiting, acks }, pump)
}

impl Pipe {
    /// The next one; `None` when the consumer has ended.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        let next = self.deliveries.recv().await?;
        self.waiting.less(next.frame.len());
        Some(next)
    }

    /// What is ready now.
    pub(super) fn ready(&mut self) -> Option<Delivery> {
        let next = self.deliveries.try_recv().ok()?;
        self.waiting.less(next.frame.len());
        Some(next)
    }

    /// Acks these; false when the consumer has ended.
    pub(super) async fn ack(&self, ids: Vec<DeliveryId>) -> bool {
        self.acks.send(ids).await.is_ok()
    }
}

impl Pump {
    /// Moves deliveries to the batches and acks to the consumer, until either side ends; an error
    /// is the consumer's.
    pub(super) async fn run(mut self, mut consumer: Box<dyn Consumer>) -> Result<(), LogError> {
        loop {
            let next = async {
                // Nothing is pulled before there is room for it.
                self.waiting.room().await;
                let room = self.deliveries.reserve().await.ok()?;
                Some((room, consumer.next().await))
            };
            let ids = tokio::select! {
                biased;
                ids = self.acks.recv() => ids,
                next = next => {
                    let Some((room, delivery)) = next else { return Ok(()) };
                    let delivery = delivery?;
                    self.waiting.more(delivery.frame.len());
                    room.send(delivery);
                    continue;
                }
            };
            let Some(ids) = ids else { return Ok(()) };
            for id in ids {
                consumer.ack(&id).await?;
            }
        }
    }
}

/// Bytes of the deliveries that wait for a batch.
#[derive(Default)]
struct WaitingBytes {
    bytes: AtomicUsize,
    fewer: Notify,
}

impl WaitingBytes {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_pulled_while_too_many_bytes_wait() {
        let waiting = WaitingBytes::default();
        let has_room = async || timeout(Duration::from_secs(1), waiting.room()).await.is_ok();
        waiting.more(AHEAD - 1);
        assert!(has_room().await);
        waiting.more(1);
        assert!(!has_room().await);
        let (went_on, ()) = tokio::join!(has_room(), async { waiting.less(1) });
        assert!(went_on);
    }
}
