//! One reader of one partition, over a Failover subscription.
//!
//! A task owns the client's consumer, passes deliveries on and acks back, and watches it: when
//! nothing came for a while the broker is asked whether it still knows the consumer. Any doubt
//! ends the task; the owner then makes a new consumer and gets everything unacked again. The
//! client may reconnect by itself before that, with the same effect.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use pulsar::consumer::{InitialPosition, Message};
use pulsar::message::proto::MessageIdData;
use pulsar::{ConsumerOptions, SubType, TokioExecutor};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::client::{Clients, subscription, text};
use crate::port::{Consumer, Delivery, DeliveryId, LogError, Partition};

/// Frames that the broker may send ahead.
const PREFETCH: u32 = 64;
/// Acks that may wait for the task.
const ACKS: usize = 1024;
/// Without a delivery for this long the broker is asked.
const QUIET: Duration = Duration::from_secs(4);
/// How long its answer may take.
const ANSWER: Duration = Duration::from_secs(3);

type InnerConsumer = pulsar::Consumer<Vec<u8>, TokioExecutor>;

/// See the module.
pub(super) struct PulsarConsumer {
    partition: Partition,
    deliveries: mpsc::Receiver<Result<Delivery, String>>,
    acks: mpsc::Sender<DeliveryId>,
}

impl PulsarConsumer {
    pub(super) async fn subscribe(
        partition: Partition,
        topic: String,
        name: String,
        clients: Arc<Clients>,
    ) -> Result<Self, LogError> {
        let connect = clients.connect();
        let options = ConsumerOptions::default()
            .durable(true)
            .with_initial_position(InitialPosition::Earliest)
            .with_receiver_queue_size(PREFETCH);
        let of = topic.clone();
        // The connection goes with the subscription, also when nobody waits for it any more.
        let subscribe = async move {
            let builder = connect.await?.consumer().with_topic(of);
            let builder = builder.with_subscription(subscription(partition));
            let builder = builder.with_subscription_type(SubType::Failover);
            let builder = builder.with_consumer_name(name).with_batch_size(PREFETCH);
            builder.with_options(options).build().await.map_err(text)
        };
        let made = clients.finish(subscribe).await;
        let inner: InnerConsumer =
            made.map_err(|e| LogError::Unavailable(format!("{topic}: {e}")))?;
        let (out, deliveries) = mpsc::channel(1);
        let (acks, acked) = mpsc::channel(ACKS);
        let pump = TopicPump { inner, topic, acked };
        clients.spawn(pump.run(out));
        Ok(Self { partition, deliveries, acks })
    }

    fn ended(&self, why: impl Into<String>) -> LogError {
        LogError::Ended(self.partition, why.into())
    }
}

#[async_trait]
impl Consumer for PulsarConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        match self.deliveries.recv().await {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(e)) => Err(self.ended(e)),
            None => Err(self.ended("the consumer's task ended")),
        }
    }

    async fn ack(&mut self, id: &DeliveryId) -> Result<(), LogError> {
        self.acks.send(id.clone()).await.map_err(|_| self.ended("the consumer's task ended"))
    }
}

struct TopicPump {
    inner: InnerConsumer,
    topic: String,
    acked: mpsc::Receiver<DeliveryId>,
}

impl TopicPump {
    async fn run(mut self, out: mpsc::Sender<Result<Delivery, String>>) {
        if let Err(e) = self.work(&out).await {
            let _ = out.send(Err(e)).await;
        }
    }

    /// Ends well when the owner is gone.
    async fn work(&mut self, out: &mpsc::Sender<Result<Delivery, String>>) -> Result<(), String> {
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                ack = self.acked.recv() => match ack {
                    Some(id) => self.ack(&id).await?,
                    None => return Ok(()),
                },
                // The place first: what is taken from the stream can then be passed on at once.
                place = out.reserve() => {
                    let Ok(place) = place else { return Ok(()) };
                    let next = tokio::select! {
                        biased;
                        ack = self.acked.recv() => match ack {
                            Some(id) => {
                                self.ack(&id).await?;
                                continue;
                            }
                            None => return Ok(()),
                        },
                        next = self.inner.next() => Some(next),
                        () = tokio::time::sleep_until(heard + QUIET) => None,
                    };
                    match next {
                        Some(Some(Ok(message))) => place.send(Ok(delivery(&message))),
                        Some(Some(Err(e))) => return Err(text(e)),
                        Some(None) => return Err("the stream ended".into()),
                        None => self.known().await?,
                    }
                    heard = Instant::now();
                }
            }
        }
    }

    async fn ack(&mut self, id: &DeliveryId) -> Result<(), String> {
        let [ledger_id, entry_id, partition] = id.0;
        let partition = (partition != u64::MAX).then_some(partition as i32);
        let id = MessageIdData { ledger_id, entry_id, partition, ..MessageIdData::default() };
        self.inner.ack_with_id(&self.topic, id).await.map_err(text)
    }

    /// Asks the broker whether it still knows this consumer.
    async fn known(&mut self) -> Result<(), String> {
        match timeout(ANSWER, self.inner.get_stats()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(e)) => Err(format!("the broker does not know the consumer: {e}")),
            Err(_) => Err("the broker does not answer".into()),
        }
    }
}

pub(super) fn delivery(m: &Message<Vec<u8>>) -> Delivery {
    let id = m.message_id();
    let partition = id.partition.map_or(u64::MAX, |p| p as u64);
    Delivery {
        id: DeliveryId([id.ledger_id, id.entry_id, partition]),
        frame: Bytes::copy_from_slice(&m.payload.data),
        published_ms: m.metadata().publish_time,
    }
}
