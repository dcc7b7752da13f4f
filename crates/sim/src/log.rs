//! The log as one process sees it, and the log's own faults: a frame that got its receipt and is
//! lost, frames that are delivered again long after their ack.
//!
//! A stopped consumer loses its partition to another one, as a broker does when a session ends;
//! when it goes on, its deliveries are no longer its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame::{self, Item};
use futures::FutureExt;
use orderlog::port::{Consumer, Delivery, DeliveryId, LogError, OrderLog, Partition, Reader};
use testkit::memory::MemoryLog;
use tokio::time::{Instant, sleep};

use crate::cells::short;
use crate::net::{Failed, Trip, Work, spawn, trip};
use crate::node::Node;
use crate::plan::Target;

/// The producer gives up after so many ms.
const LIMIT: u64 = 200;
/// A consumer that is stopped for longer than this loses its partition, ms.
const SESSION: u64 = 150;

/// The log of one process.
pub struct NodeLog {
    /// Whose.
    pub node: Arc<Node>,
    /// The frames.
    pub inner: MemoryLog,
}

#[async_trait]
impl OrderLog for NodeLog {
    fn partitions(&self) -> u16 {
        self.inner.partitions()
    }

    async fn init(&self, databases: u16) -> Result<(), LogError> {
        self.inner.init(databases).await
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.inner.ready().await
    }

    async fn publish(&self, to: Partition, frame: Bytes) -> Result<(), LogError> {
        let node = self.node.clone();
        let items = Arc::new(frame::decode(&frame).unwrap_or_default());
        node.world.check(|oracle, world| oracle.sending(world, &node, &items));
        let inner = self.inner.clone();
        let lost = {
            let dice = node.dice();
            let share = node.world.plan.calls.frame_lost;
            let orders = items.iter().any(|i| matches!(i, Item::Order(..)));
            let kept = node.world.is_healed() || node.world.plan.tweaks.calls.contains(&dice);
            let lost = orders && !kept && dice % 1000 < share;
            if lost {
                node.world.met.lock().push(dice);
                node.world.met("log", "frame_lost");
            }
            lost
        };
        let work: Work<Result<(), LogError>> = Box::new(move || {
            let (inner, node, items, frame) =
                (inner.clone(), node.clone(), items.clone(), frame.clone());
            async move {
                let done = if lost { Ok(()) } else { inner.publish(to, frame).await };
                let word = if lost { "receipt, then LOST" } else { "receipt" };
                let shown = || format!("publish {to} {} -> {word}", show(&items));
                node.world.tell(&node.name, shown);
                node.world.check(|o, world| o.published(world, (&node, to), &items, lost));
                done
            }
            .boxed()
        });
        let at = Trip { target: Target::Log, name: "publish", limit: LIMIT };
        match trip(&self.node, at, work).await {
            Ok(done) => done,
            Err(Failed::NotSent) => Err(LogError::NotStored(to, "refused".to_owned())),
            Err(Failed::Unknown) => Err(LogError::Unknown(to, "no receipt".to_owned())),
        }
    }

    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError> {
        self.node.running().await;
        let inner = self.inner.consumer(partition).await?;
        let node = self.node.clone();
        let inner = Arc::new(tokio::sync::Mutex::new(Some(inner)));
        Ok(Box::new(NodeConsumer::new(node, self.inner.clone(), partition, inner)))
    }

    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError> {
        self.node.running().await;
        self.inner.reader(from, since_ms).await
    }
    async fn backlog(&self) -> Result<u64, LogError> {
        self.inner.backlog().await
    }
}

type Inner = Arc<tokio::sync::Mutex<Option<Box<dyn Consumer>>>>;

/// One process's reader of a partition.
struct NodeConsumer {
    node: Arc<Node>,
    log: MemoryLog,
    partition: Partition,
    inner: Inner,
}

impl NodeConsumer {
    fn new(node: Arc<Node>, log: MemoryLog, partition: Partition, inner: Inner) -> Self {
        // Weak: a consumer that its process gives up leaves the partition at once.
        let (watched, held) = (node.clone(), Arc::downgrade(&inner));
        // A session ends also while its process does not ask for anything.
        spawn(async move {
            let mut seen = watched.version();
            loop {
                watched.changed(&mut seen).await;
                let Some(held) = held.upgrade() else { return };
                if let (true, Ok(mut inner)) = (is_gone(&watched), held.try_lock()) {
                    inner.take();
                }
                if watched.is_dead() {
                    return;
                }
            }
        });
        Self { node, log, partition, inner }
    }

    fn ended(&self) -> LogError {
        LogError::Ended(self.partition, "the session ended".to_owned())
    }

    fn stir(&self) {
        let (node, world) = (&self.node, &self.node.world);
        let dice = node.dice();
        let off = world.is_healed() || world.plan.tweaks.calls.contains(&dice);
        if off || dice % 1000 >= world.plan.calls.redelivered {
            return;
        }
        let acked = self.log.acked(self.partition);
        if acked.is_empty() {
            return;
        }
        let at = (dice >> 16) as usize % acked.len();
        if self.log.redeliver(self.partition, &[acked[at].id.clone()]) > 0 {
            world.met.lock().push(dice);
            world.met("log", "redelivered");
            world.tell("LOG", || format!("delivers an acked frame of {} again", self.partition));
        }
    }
}

/// True when the broker takes the partition away: the process is dead or stopped for long.
fn is_gone(node: &Node) -> bool {
    let long = Instant::now() + Duration::from_millis(SESSION);
    node.is_dead() || node.stopped_until().is_some_and(|until| until > long)
}

#[async_trait]
impl Consumer for NodeConsumer {
    async fn next(&mut self) -> Result<Delivery, LogError> {
        let mut seen = self.node.version();
        loop {
            let mut inner = self.inner.lock().await;
            if is_gone(&self.node) && inner.take().is_some() {
                self.node.world.met("log", "session_ended");
            }
            if inner.is_none() {
                drop(inner);
                self.node.running().await;
                return Err(self.ended());
            }
            self.stir();
            let Some(consumer) = inner.as_mut() else { return Err(self.ended()) };
            // Cancel safe: what the inner consumer gives is handed on without another wait.
            tokio::select! {
                biased;
                () = self.node.changed(&mut seen) => {}
                delivery = consumer.next() => return delivery,
            }
        }
    }

    async fn ack(&mut self, id: &DeliveryId) -> Result<(), LogError> {
        self.node.running().await;
        let dice = self.node.dice();
        let c = &self.node.world.plan.calls;
        if !self.node.world.is_healed() && dice % 1000 < c.lost_reply {
            self.node.world.met("log", "ack_lost");
            return Ok(());
        }
        sleep(Duration::from_millis(dice % 2)).await;
        match self.inner.lock().await.as_mut() {
            Some(inner) => inner.ack(id).await,
            None => Err(self.ended()),
        }
    }
}

/// A frame in a line of the story.
fn show(items: &[Item]) -> String {
    let one = |i: &Item| match i {
        Item::Order(mode, sealed) => {
            let id = domain::Payload::decode(&sealed.payload).map(|p| short(&p.order.0));
            format!("{mode:?} {}", id.unwrap_or_default())
        }
        Item::Barrier(id) => format!("barrier {}", &id[..4.min(id.len())]),
        Item::Tick(_) => "tick".to_owned(),
        Item::News(_) => "news".to_owned(),
    };
    items.iter().map(one).collect::<Vec<_>>().join(", ")
}
