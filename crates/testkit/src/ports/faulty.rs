//! Decorators that fail calls of a port before or after they run.
//!
//! The rule sees the name of a call, its database and its number. `Fail::After` is the unknown
//! commit: the work was done, the caller hears of an error. Everything else is the real backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use orderlog::port::{Consumer, LogError, OrderLog, Partition, Reader};
use parking_lot::RwLock;
use store::port::words::*;
use store::{Store, StoreError, StoreResult};

/// One call as a rule sees it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The method.
    pub name: &'static str,
    /// The database it goes to.
    pub db: u16,
    /// How many calls there were before it since the rule was set.
    pub n: u64,
}

/// What a rule does to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fail {
    /// Nothing.
    No,
    /// It does not run; transient.
    Before,
    /// It runs, the answer is lost; transient.
    After,
    /// It does not run and never will.
    Forever,
    /// It waits first.
    Late(Duration),
}

type Rule = Box<dyn Fn(Seen) -> Fail + Send + Sync>;

/// A rule that can be changed at any time, and the count of calls since.
#[derive(Default)]
pub struct Rules {
    rule: RwLock<Option<Rule>>,
    calls: AtomicU64,
}

impl Rules {
    /// From now on.
    pub fn set(&self, rule: impl Fn(Seen) -> Fail + Send + Sync + 'static) {
        *self.rule.write() = Some(Box::new(rule));
        self.calls.store(0, Ordering::SeqCst);
    }

    /// Nothing fails any more.
    pub fn clear(&self) {
        *self.rule.write() = None;
    }

    /// Calls since the rule was set.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn ask(&self, name: &'static str, db: u16) -> Fail {
        let rule = self.rule.read();
        let Some(rule) = rule.as_ref() else { return Fail::No };
        let n = self.calls.fetch_add(1, Ordering::SeqCst);
        rule(Seen { name, db, n })
    }
}

/// A store that can be made to fail.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    /// What fails.
    pub rules: Rules,
    replica: RwLock<Option<Arc<dyn Store>>>,
}

/// What a balancer may send to a replica: reads of cells that lock nothing.
const PLAIN_READS: [&str; 4] = ["head", "at", "after", "last"];

impl FaultyStore {
    /// Over a real one.
    pub fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, rules: Rules::default(), replica: RwLock::default() })
    }

    /// From now on plain reads of cells are answered by another store, which may be behind.
    pub fn read_from(&self, replica: Arc<dyn Store>) {
        *self.replica.write() = Some(replica);
    }

    fn side(&self, name: &str) -> Arc<dyn Store> {
        let replica = self.replica.read().clone().filter(|_| PLAIN_READS.contains(&name));
        replica.unwrap_or_else(|| self.inner.clone())
    }

    async fn call<T>(
        &self,
        (name, db): (&'static str, u16),
        work: impl Future<Output = StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        let what = format!("{name} was made to fail");
        match self.rules.ask(name, db) {
            Fail::No => work.await,
            Fail::Before => Err(StoreError::Transient { db, what }),
            Fail::Forever => Err(StoreError::Permanent { db, what }),
            Fail::After => {
                let _ = work.await;
                Err(StoreError::Transient { db, what })
            }
            Fail::Late(by) => {
                tokio::time::sleep(by).await;
                work.await
            }
        }
    }
}

macro_rules! forward {
    ($port:ident {
        $($how:ident fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, on $place:expr;)*
    }) => {
        #[async_trait]
        impl $port for FaultyStore {
            $(async fn $name(&self, $($arg: $ty),*) -> StoreResult<$ret> {
                let side = self.side(stringify!($name));
                let db = Placed::db(&$place, &*side);
                self.call((stringify!($name), db), side.$name($($arg),*)).await
            })*
        }
    };
}

store::each_port!(forward);
store::each_verdict!(forward);

#[async_trait]
impl Shards for FaultyStore {
    fn databases(&self) -> u16 {
        self.inner.databases()
    }
    fn cell_db(&self, offer: &OfferId) -> u16 {
        self.inner.cell_db(offer)
    }
    fn order_db(&self, order: OrderId) -> u16 {
        self.inner.order_db(order)
    }
    fn buyer_db(&self, buyer: &Buyer) -> u16 {
        self.inner.buyer_db(buyer)
    }
    async fn ping(&self, db: u16) -> bool {
        self.inner.ping(db).await
    }
}

/// A log whose publishes can be made to fail; `db` of the rule is the partition's number.
pub struct FaultyLog {
    inner: Arc<dyn OrderLog>,
    /// What fails: the names are `main` and `retry`.
    pub rules: Rules,
}

impl FaultyLog {
    /// Over a real one.
    pub fn new(inner: Arc<dyn OrderLog>) -> Arc<Self> {
        Arc::new(Self { inner, rules: Rules::default() })
    }
}

#[async_trait]
impl OrderLog for FaultyLog {
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
        let (name, n) = match to {
            Partition::Main(n) => ("main", n),
            Partition::Retry(n) => ("retry", n),
            Partition::Life(n) => ("life", n),
        };
        let what = "it was made to fail".to_owned();
        match self.rules.ask(name, n) {
            Fail::No => self.inner.publish(to, frame).await,
            Fail::Before | Fail::Forever => Err(LogError::NotStored(to, what)),
            Fail::After => {
                let _ = self.inner.publish(to, frame).await;
                Err(LogError::Unknown(to, what))
            }
            Fail::Late(by) => {
                tokio::time::sleep(by).await;
                self.inner.publish(to, frame).await
            }
        }
    }
    async fn consumer(&self, partition: Partition) -> Result<Box<dyn Consumer>, LogError> {
        self.inner.consumer(partition).await
    }
    async fn reader(&self, from: Partition, since_ms: u64) -> Result<Box<dyn Reader>, LogError> {
        self.inner.reader(from, since_ms).await
    }
    async fn backlog(&self) -> Result<u64, LogError> {
        self.inner.backlog().await
    }
}
