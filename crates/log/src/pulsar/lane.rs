//! One partition's producer, owned by one task, so that frames are sent in the order in which
//! they came.
//!
//! The task is `Down` until a frame comes, then makes a producer, then sends and collects
//! receipts. Any failed send or receipt makes the outcome unknown to its publisher and gives the
//! producer up. While the broker cannot be reached frames are refused at once instead of waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use pulsar::producer::{Message, SendFuture};
use pulsar::{Producer, ProducerOptions, TokioExecutor};
use runtime::{Phase, Tasks};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::client::{Clients, text};
use crate::port::{LogError, Partition};

/// Frames of one partition between call and receipt; more are refused.
const IN_FLIGHT: usize = 256;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

type Receipt = oneshot::Sender<Result<(), LogError>>;
type MyProducer = Box<Producer<TokioExecutor>>;

struct SendJob {
    frame: Bytes,
    done: Receipt,
    permit: OwnedSemaphorePermit,
}

/// The way to a partition's task. Cheap to clone.
#[derive(Clone)]
pub(super) struct SendLane {
    partition: Partition,
    queue: mpsc::Sender<SendJob>,
    permits: Arc<Semaphore>,
}

impl SendLane {
    pub(super) fn start(p: Partition, topic: String, clients: Arc<Clients>, tasks: &Tasks) -> Self {
        let (queue, jobs) = mpsc::channel(IN_FLIGHT);
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        let work = SendWork {
            partition: p,
            topic,
            clients,
            link: Link::Down { retry_at: Instant::now() },
            made: 0,
            backoff: BACKOFF_MIN,
            receipts: FuturesUnordered::new(),
        };
        tasks.spawn("log producer", work.run(jobs, tasks.clone()));
        Self { partition: p, queue, permits }
    }

    /// Sends a frame and waits for its receipt.
    pub(super) async fn publish(&self, frame: Bytes, timeout: Duration) -> Result<(), LogError> {
        let refused = |why: &str| Err(LogError::NotStored(self.partition, why.to_owned()));
        let unknown = |why: &str| Err(LogError::Unknown(self.partition, why.to_owned()));
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return refused("too many frames on their way");
        };
        let (done, receipt) = oneshot::channel();
        if self.queue.try_send(SendJob { frame, done, permit }).is_err() {
            return refused("the log is closed");
        }
        match tokio::time::timeout(timeout, receipt).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => unknown("the log closed before the receipt"),
            Err(_) => unknown("no receipt in time"),
        }
    }
}

enum Link {
    /// The producer and its number; a receipt that fails gives up only its own producer.
    Up(MyProducer, u64),
    /// Being made for the frame that asked for it.
    Making(BoxFuture<'static, Result<MyProducer, String>>, SendJob),
    Down {
        retry_at: Instant,
    },
}

/// A frame that was sent, and what became of it.
struct OnTheWay {
    /// The number of its producer.
    link: u64,
    done: Receipt,
    outcome: Result<(), String>,
}

struct SendWork {
    partition: Partition,
    topic: String,
    clients: Arc<Clients>,
    link: Link,
    made: u64,
    backoff: Duration,
    receipts: FuturesUnordered<BoxFuture<'static, OnTheWay>>,
}

enum LaneEvent {
    SendJob(Option<SendJob>),
    Made(Result<MyProducer, String>),
    Receipt(OnTheWay),
}

impl SendWork {
    async fn run(mut self, mut jobs: mpsc::Receiver<SendJob>, tasks: Tasks) {
        while let Some(event) = tasks.unless(Phase::ClosePools, self.event(&mut jobs)).await {
            match event {
                LaneEvent::SendJob(Some(job)) => self.job(job).await,
                LaneEvent::SendJob(None) => break,
                LaneEvent::Made(made) => self.made(made, &mut jobs).await,
                LaneEvent::Receipt(sent) => self.receipt(sent),
            }
        }
        jobs.close();
        let last = async {
            while let Some(sent) = self.receipts.next().await {
                self.receipt(sent);
            }
        };
        // The client gives every send up by itself after its operation timeout.
        let _ = tokio::time::timeout(Duration::from_secs(3), last).await;
    }

    /// What happens next. Frames are not taken while a producer is being made. Nothing is lost
    /// when this is dropped.
    async fn event(&mut self, jobs: &mut mpsc::Receiver<SendJob>) -> LaneEvent {
        let receipts = &mut self.receipts;
        match &mut self.link {
            Link::Making(making, _) => tokio::select! {
                made = making => LaneEvent::Made(made),
                Some(sent) = receipts.next() => LaneEvent::Receipt(sent),
            },
            Link::Up(..) | Link::Down { .. } => tokio::select! {
                Some(sent) = receipts.next() => LaneEvent::Receipt(sent),
                job = jobs.recv() => LaneEvent::SendJob(job),
            },
        }
    }

    async fn job(&mut self, job: SendJob) {
        if job.done.is_closed() {
            // Its publisher has given up; what is not sent by now is the relay's.
            return;
        }
        match &mut self.link {
            Link::Up(producer, number) => {
                let message = Message { payload: job.frame.to_vec(), ..Message::default() };
                let number = *number;
                match producer.send_non_blocking(message).await {
                    Ok(receipt) => self.receipts.push(Box::pin(arrived(number, receipt, job))),
                    Err(e) => {
                        let outcome = Err(text(e));
                        self.receipt(OnTheWay { link: number, done: job.done, outcome });
                    }
                }
            }
            Link::Down { retry_at } if Instant::now() < *retry_at => {
                self.refuse(job, "not connected");
            }
            Link::Down { .. } | Link::Making(..) => {
                let make = produce(Arc::clone(&self.clients), self.topic.clone());
                self.link = Link::Making(Box::pin(make), job);
            }
        }
    }

    async fn made(&mut self, made: Result<MyProducer, String>, jobs: &mut mpsc::Receiver<SendJob>) {
        let link = match &made {
            Ok(_) => Link::Down { retry_at: Instant::now() },
            Err(_) => self.next_try(),
        };
        let Link::Making(_, first) = std::mem::replace(&mut self.link, link) else {
            return;
        };
        match made {
            Ok(producer) => {
                self.made += 1;
                self.link = Link::Up(producer, self.made);
                self.job(first).await;
            }
            Err(e) => {
                tracing::warn!(partition = %self.partition, error = %e, "no producer");
                self.refuse(first, &e);
                while let Ok(job) = jobs.try_recv() {
                    self.refuse(job, &e);
                }
            }
        }
    }

    fn receipt(&mut self, sent: OnTheWay) {
        let OnTheWay { link, done, outcome } = sent;
        match &outcome {
            Ok(()) => self.backoff = BACKOFF_MIN,
            Err(e) => {
                tracing::warn!(partition = %self.partition, error = %e, "no receipt");
                if matches!(self.link, Link::Up(_, up) if up == link) {
                    self.link = self.next_try();
                }
            }
        }
        let _ = done.send(outcome.map_err(|e| LogError::Unknown(self.partition, e)));
    }

    fn next_try(&mut self) -> Link {
        let retry_at = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        Link::Down { retry_at }
    }

    fn refuse(&self, job: SendJob, why: &str) {
        let _ = job.done.send(Err(LogError::NotStored(self.partition, why.to_owned())));
    }
}

async fn produce(clients: Arc<Clients>, topic: String) -> Result<MyProducer, String> {
    let client = clients.get().await.map_err(text)?;
    // Without batching: one entry, one frame, one ack.
    let options = ProducerOptions { block_queue_if_full: true, ..ProducerOptions::default() };
    let builder = client.pulsar.producer().with_topic(topic).with_options(options);
    let made =
        clients.finish(async move { builder.build().await.map(Box::new).map_err(text) }).await;
    if made.is_err() {
        clients.discard(&client);
    }
    made
}

/// Waits for the receipt; the place in flight is free afterwards.
async fn arrived(number: u64, receipt: SendFuture, job: SendJob) -> OnTheWay {
    let outcome = match receipt.await {
        Ok(r) => match r.message_id {
            Some(id) if id.ledger_id != u64::MAX && id.entry_id != u64::MAX => Ok(()),
            // A broker that deduplicates answers so for what it did not store.
            other => Err(format!("a receipt without a position: {other:?}")),
        },
        Err(e) => Err(text(e)),
    };
    drop(job.permit);
    OnTheWay { link: number, done: job.done, outcome }
}
