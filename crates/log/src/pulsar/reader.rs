//! Reads one partition from some time on, beside its consumers.
//!
//! A cursor of its own that is not durable: the subscription of the writers keeps its place, and
//! nothing is left behind when the reader is dropped. The broker is asked for the position of the
//! time; a cursor that is moved afterwards would lose its place at the first reconnect.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use pulsar::message::proto::MessageIdData;
use pulsar::{ConsumerOptions, SubType, TokioExecutor};
use tokio::sync::mpsc;

use super::admin::BrokerPosition;
use super::client::{Clients, text};
use super::consumer::delivery;
use crate::port::{Delivery, LogError, Partition, Reader};

/// Frames that the broker may send ahead.
const PREFETCH: u32 = 64;

type InnerReader = pulsar::Consumer<Vec<u8>, TokioExecutor>;

/// See the module.
pub(super) struct PulsarReader {
    partition: Partition,
    deliveries: mpsc::Receiver<Result<Delivery, String>>,
}

impl PulsarReader {
    /// From the frame at this position on.
    pub(super) async fn open(
        partition: Partition,
        topic: String,
        name: String,
        at: BrokerPosition,
        clients: Arc<Clients>,
    ) -> Result<Self, LogError> {
        let connect = clients.connect();
        // A cursor begins behind the message that it is given.
        let behind = MessageIdData {
            ledger_id: at.ledger,
            entry_id: at.entry.wrapping_sub(1),
            ..MessageIdData::default()
        };
        let options = ConsumerOptions::default()
            .durable(false)
            .starting_on_message(behind)
            .with_receiver_queue_size(PREFETCH);
        let of = topic.clone();
        let subscribe = async move {
            let builder = connect.await?.consumer().with_topic(of);
            let builder =
                builder.with_subscription(name).with_subscription_type(SubType::Exclusive);
            let builder = builder.with_batch_size(PREFETCH).with_options(options);
            builder.build().await.map_err(text)
        };
        let made = clients.finish(subscribe).await;
        let inner: InnerReader =
            made.map_err(|e| LogError::Unavailable(format!("{topic}: {e}")))?;
        let (out, deliveries) = mpsc::channel(1);
        clients.spawn(pump(inner, out));
        Ok(Self { partition, deliveries })
    }
}

async fn pump(mut inner: InnerReader, out: mpsc::Sender<Result<Delivery, String>>) {
    // The place first: what is taken from the stream can then be passed on at once.
    while let Ok(place) = out.reserve().await {
        let next = tokio::select! {
            biased;
            () = out.closed() => return,
            next = inner.next() => next,
        };
        match next {
            Some(Ok(message)) => place.send(Ok(delivery(&message))),
            Some(Err(e)) => return place.send(Err(text(e))),
            None => return place.send(Err("the stream ended".to_owned())),
        }
    }
}

#[async_trait]
impl Reader for PulsarReader {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        let ended = |why: String| LogError::Ended(self.partition, why);
        match self.deliveries.recv().await {
            Some(next) => next.map_err(ended),
            None => Err(ended("the reader's task ended".to_owned())),
        }
    }
}
