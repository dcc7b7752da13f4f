//! The log on Apache Pulsar: one topic entry = one frame.
//!
//! The main partitions are the partitions of one topic, `<prefix>-main`, so that a Failover
//! subscription spreads them over the writers; each database's retry partition is a topic of its
//! own, `<prefix>-retry-<n>`, and so is that of its orders' lives, `<prefix>-life-<n>`. Topics and
//! their durable subscriptions (`writer`, `clerk`) are made by `init` before anything is published:
//! a topic without a subscription deletes its messages at once. `init` also tells the broker for
//! how long acked frames are kept, which is what a rewind reads. What is deliberately absent:
//! client batching (an ack of one message would ack its whole batch), broker deduplication, delayed
//! delivery, schemas, dead letters, nacks.

mod admin;
mod client;
mod consumer;
mod lane;
mod line;
mod reader;
mod why;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use runtime::{Clock, Tasks};

use crate::config::LogConfig;
use crate::port::{Consumer, LogError, MAX_FRAME, OrderLog, Partition, Reader};
use admin::BrokerAdmin;
use client::{Clients, subscription};
use lane::SendLane;

/// The log on Pulsar.
pub struct PulsarLog {
    cfg: LogConfig,
    databases: u16,
    timeout: Duration,
    admin: BrokerAdmin,
    clients: Arc<Clients>,
    lanes: Mutex<HashMap<Partition, SendLane>>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl PulsarLog {
    /// Connects to the broker; a broker that is down is an error within a few seconds.
    /// `databases` is the number of retry partitions, `timeout` the most a receipt may take.
    pub async fn connect(
        cfg: &LogConfig,
        databases: u16,
        timeout: Duration,
        tasks: &Tasks,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, LogError> {
        let clients = Arc::new(Clients::new(cfg, timeout, tasks)?);
        clients.get().await?;
        Ok(Arc::new(Self {
            admin: BrokerAdmin::new(cfg)?,
            cfg: cfg.clone(),
            databases,
            timeout,
            clients,
            lanes: Mutex::default(),
            tasks: tasks.clone(),
            clock,
        }))
    }

    fn exists(&self, p: Partition) -> bool {
        match p {
            Partition::Main(n) => n < self.cfg.partitions,
            Partition::Retry(n) | Partition::Life(n) => n < self.databases,
        }
    }

    /// The topic's name without its namespace.
    fn topic(&self, p: Partition) -> String {
        match p {
            Partition::Main(n) => format!("{}-main-partition-{n}", self.cfg.topic_prefix),
            Partition::Retry(n) => format!("{}-retry-{n}", self.cfg.topic_prefix),
            Partition::Life(n) => format!("{}-life-{n}", self.cfg.topic_prefix),
        }
    }

    fn url(&self, p: Partition) -> String {
        format!("persistent://{}/{}", self.cfg.namespace, self.topic(p))
    }

    fn all(&self) -> impl Iterator<Item = Partition> {
        Partition::all(self.cfg.partitions, self.databases)
    }

    /// Of a topic alone: its namespace may have topics that are not ours.
    async fn keep(&self, topic: &str) -> Result<(), LogError> {
        let (minutes, mib) = self.retention();
        self.admin.retention(topic, minutes, mib).await
    }

    /// Minutes and MiB.
    fn retention(&self) -> (i64, i64) {
        let mib = match self.cfg.retention_gib {
            0 => -1,
            gib => i64::from(gib) * 1024,
        };
        (i64::from(self.cfg.retention_hours) * 60, mib)
    }

    fn lane(&self, p: Partition) -> SendLane {
        let start = || SendLane::start(p, self.url(p), Arc::clone(&self.clients), &self.tasks);
        self.lanes.lock().entry(p).or_insert_with(start).clone()
    }
}

#[async_trait]
impl OrderLog for PulsarLog {
    fn partitions(&self) -> u16 {
        self.cfg.partitions
    }

    async fn init(&self, databases: u16) -> Result<(), LogError> {
        if databases > self.databases {
            let what = format!("init of {databases} databases, connected for {}", self.databases);
            return Err(LogError::Unavailable(what));
        }
        let main = format!("{}-main", self.cfg.topic_prefix);
        // What is there is only looked at: that takes no right to make topics.
        if !self.admin.has_partitions(&main, self.cfg.partitions).await? {
            self.admin.namespace().await?;
            self.admin.partitioned_topic(&main, self.cfg.partitions).await?;
        }
        self.keep(&main).await?;
        for p in self.all() {
            let topic = self.topic(p);
            let is_there = self.admin.has_subscription(&topic, subscription(p)).await.is_ok();
            if !matches!(p, Partition::Main(_)) {
                if !is_there {
                    self.admin.topic(&topic).await?;
                }
                self.keep(&topic).await?;
            }
            if !is_there {
                self.admin.subscription(&topic, subscription(p)).await?;
            }
        }
        Ok(())
    }

    async fn retained(&self) -> Result<(), LogError> {
        let (minutes, mib) = self.retention();
        let own = self.all().filter(|p| !matches!(p, Partition::Main(_))).map(|p| self.topic(p));
        for topic in std::iter::once(format!("{}-main", self.cfg.topic_prefix)).chain(own) {
            self.admin.retained(&topic, minutes, mib).await?;
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), LogError> {
        for p in self.all() {
            self.admin.has_subscription(&self.topic(p), subscription(p)).await?;
        }
        Ok(())
    }

    async fn publish(&self, partition: Partition, frame: Bytes) -> Result<(), LogError> {
        let refused = |why: &str| Err(LogError::NotStored(partition, why.to_owned()));
        if frame.len() > MAX_FRAME {
            return refused("the frame is too large");
        }
        if !self.exists(partition) {
            return refused("no such partition");
        }
        self.lane(partition).publish(frame, self.timeout).await
    }

    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError> {
        if !self.exists(partition) {
            return Err(LogError::Unavailable(format!("partition {partition} does not exist")));
        }
        // Names ascend with time: where the broker's choice goes by name, the older one stays.
        let name = format!("{:012x}-{:08x}", self.clock.now_ms(), std::process::id());
        let (topic, clients) = (self.url(partition), Arc::clone(&self.clients));
        let consumer = consumer::PulsarConsumer::subscribe(partition, topic, name, clients);
        Ok(Box::new(consumer.await?))
    }

    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError> {
        if !self.exists(from) {
            return Err(LogError::Unavailable(format!("partition {from} does not exist")));
        }
        let at = self.admin.position_at(&self.topic(from), since_ms).await?;
        let name = format!("reader-{:012x}-{:08x}", self.clock.now_ms(), std::process::id());
        let clients = Arc::clone(&self.clients);
        let reader = reader::PulsarReader::open(from, self.url(from), name, at, clients).await?;
        Ok(Box::new(reader))
    }

    async fn backlog(&self) -> Result<u64, LogError> {
        let mut sum = 0;
        for p in self.all() {
            sum += self.admin.backlog(&self.topic(p), subscription(p)).await?;
        }
        Ok(sum)
    }
}
