//! The port of the order log: at least once, and nothing more promised.
//!
//! Main partitions carry first deliveries of orders (`Partition::Main`), and each database has one
//! retry partition (`Partition::Retry`) and one for news of the lives of its orders
//! (`Partition::Life`): those of a database that is down wait, and hold up nobody else's. A receipt
//! means durable. Any error of a publish means *unknown*: the hold stays and the relay publishes
//! again. A delivery stays outstanding until its ack; a new consumer gets everything unacked again.
//! Acks are per delivery, in any order.

use async_trait::async_trait;
use bytes::Bytes;

/// A partition of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Partition {
    /// 0 to the number of main partitions.
    Main(u16),
    /// The retry partition of a database, by the database's number.
    Retry(u16),
    /// News of payments and parcels of the orders of a database.
    Life(u16),
}

impl Partition {
    /// Those of orders, in the order in which a barrier passes: so many main ones, then a retry
    /// partition for each database.
    pub fn of_orders(mains: u16, databases: u16) -> impl Iterator<Item = Partition> {
        (0..mains).map(Partition::Main).chain((0..databases).map(Partition::Retry))
    }

    /// Those of orders' lives: one for each database.
    pub fn of_lives(databases: u16) -> impl Iterator<Item = Partition> {
        (0..databases).map(Partition::Life)
    }

    /// All of them.
    pub fn all(mains: u16, databases: u16) -> impl Iterator<Item = Partition> {
        Partition::of_orders(mains, databases).chain(Partition::of_lives(databases))
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Partition::Main(n) => write!(f, "main-{n}"),
            Partition::Retry(n) => write!(f, "retry-{n}"),
            Partition::Life(n) => write!(f, "life-{n}"),
        }
    }
}

impl std::str::FromStr for Partition {
    type Err = ();
    /// The inverse of its text form.
    fn from_str(s: &str) -> Result<Self, ()> {
        let (kind, n) = s.split_once('-').ok_or(())?;
        let n: u16 = n.parse().map_err(|_| ())?;
        let partition = match kind {
            "main" => Partition::Main(n),
            "retry" => Partition::Retry(n),
            "life" => Partition::Life(n),
            _ => return Err(()),
        };
        // Only as we write it: `main-07` is none.
        if partition.to_string() == s { Ok(partition) } else { Err(()) }
    }
}

/// Why a log call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// No receipt: the frame may or may not be in the log.
    #[error("log {0}: no receipt, outcome unknown: {1}")]
    Unknown(Partition, String),
    /// Certainly not stored (queue full, not connected, too large).
    #[error("log {0}: not stored: {1}")]
    NotStored(Partition, String),
    /// The consumer is gone; make a new one.
    #[error("log {0}: consumer ended: {1}")]
    Ended(Partition, String),
    /// The log is not set up (topic or subscription is missing) or cannot be reached.
    #[error("log: {0}")]
    Unavailable(String),
}

/// Names a delivery for its ack; meaningful only to the consumer that gave it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryId(pub [u64; 3]);

/// One frame as it came out of the log.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// For the ack.
    pub id: DeliveryId,
    /// The frame's bytes.
    pub frame: Bytes,
    /// When the log took it, UTC ms of the log's or publisher's clock.
    pub published_ms: u64,
}

/// One reader of one partition. At most one is active per partition; others stand by.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for the next delivery. Cancel safe: a dropped call loses no delivery. After an error
    /// make a new consumer.
    async fn next(&mut self) -> Result<Delivery, LogError>;
    /// Acknowledges one delivery; fire and forget, it may be delivered again all the same.
    async fn ack(&mut self, id: &DeliveryId) -> Result<(), LogError>;
}

/// Reads one partition beside its consumers: nothing is acked, and nobody else is disturbed.
#[async_trait]
pub trait Reader: Send {
    /// Waits for the next frame. After an error make a new reader.
    async fn next(&mut self) -> Result<Delivery, LogError>;
}

/// The log.
#[async_trait]
pub trait OrderLog: Send + Sync {
    /// Number of main partitions.
    fn partitions(&self) -> u16;
    /// Makes what is missing (topics, subscriptions, tables); idempotent. `databases` retry
    /// partitions, and as many of lives.
    async fn init(&self, databases: u16) -> Result<(), LogError>;
    /// An error unless finished frames are kept for as long as the configuration says: a rewind
    /// (PROTOCOL 6.10) has nothing else. `init` sets it where it may; this tells whether it holds.
    async fn retained(&self) -> Result<(), LogError> {
        Ok(())
    }
    /// True when every partition exists with its durable subscription.
    async fn ready(&self) -> Result<(), LogError>;
    /// Stores one frame; the answer is the receipt. At most 256 KiB.
    async fn publish(&self, partition: Partition, frame: Bytes) -> Result<(), LogError>;
    /// A reader that gets everything unacked, then what comes.
    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError>;
    /// A reader from the frames published at `since_ms` on, acked or not, as far as the log keeps
    /// them, maybe a little earlier; then what comes. `since_ms`: UTC ms of the clock of whoever
    /// published.
    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError>;
    /// Frames not acked yet, over all partitions, for status and metrics.
    async fn backlog(&self) -> Result<u64, LogError>;
}

/// The largest frame.
pub const MAX_FRAME: usize = 256 * 1024;
