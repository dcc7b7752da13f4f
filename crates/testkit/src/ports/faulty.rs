//! Decorators that fail calls of a port before or after they run.
//!
//! The rule sees the name of a call, its database and its number. `Fail::After` is the unknown
//! commit: the work was done, the caller hears of an error. Everything else is the real backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame::{Mode, Sealed};
use domain::kept::Kept;
use domain::rows::Traces;
use domain::{Buyer, Campaign, CellId, Entry, EntryId, Flag, IdempotencyKey, Key, Offer, OfferId};
use domain::{OrderId, Totals};
use orderlog::port::{Consumer, LogError, OrderLog, Partition, Reader};
use parking_lot::RwLock;
use store::port::{
    Appended, CellAsks, CellVerdicts, Change, InitOutcome, KeptRows, LedgerPage, Moved, OfferPut,
    OrderRow, Parked, ParkedFrame, ParkedOrder, Proven, RowAsk, RowPage, RowState, UnrowedRange,
    Verdict,
};
use store::{Catalog, Ledger, Marks, Orders, Store, StoreError, StoreResult};

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

fn home(s: &Arc<dyn Store>, cell: &CellId) -> u16 {
    s.cell_db(&cell.offer)
}

macro_rules! forward {
    ($port:ident for $s:ident { $(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $db:expr;)* }
     $($rest:tt)*) => {
        #[async_trait]
        impl $port for FaultyStore {
            $(async fn $name(&self $(, $arg: $ty)*) -> StoreResult<$ret> {
                let $s = &self.side(stringify!($name));
                let db: u16 = $db;
                self.call((stringify!($name), db), $s.$name($($arg),*)).await
            })*
            $($rest)*
        }
    };
}

type Found = Vec<Option<Verdict>>;
type Flags<'a> = (Flag, &'a [Flag]);

forward!(Ledger for s {
    fn verdicts(batch: &[CellAsks]) -> Vec<CellVerdicts>, home(s, &batch[0].cell);
    fn release(cell: &CellId, orders: &[OrderId]) -> Appended, home(s, cell);
    fn finish_unrowed(db: u16, ranges: &[UnrowedRange]) -> (), db;
    fn unrowed(db: u16, before_ms: u64, limit: u64) -> Vec<UnrowedRange>, db;
    fn create_cells(cells: &[(CellId, i64)], ids: (EntryId, EntryId)) -> Vec<Appended>,
        home(s, &cells[0].0);
    fn supply(cells: &[(CellId, i64)], id: EntryId) -> Change, home(s, &cells[0].0);
    fn flag(cells: &[CellId], id: EntryId, to: Flags<'_>, note: &[u8]) -> Change,
        home(s, &cells[0]);
    fn last_flag(cell: &CellId) -> Option<Entry>, home(s, cell);
    fn restore_flag(cell: &CellId, id: EntryId, pause_seq: u64) -> Change, home(s, cell);
    fn transfer(id: EntryId, from: &CellId, to: Option<&CellId>, units: u32) -> Change,
        home(s, from);
    fn head(cell: &CellId) -> Option<Totals>, home(s, cell);
    fn at(cell: &CellId, seq: u64) -> Option<Totals>, home(s, cell);
    fn locked(cell: &CellId, seq: u64) -> Option<Proven>, home(s, cell);
    fn after(cell: &CellId, seq: u64, limit: u64) -> Option<LedgerPage>, home(s, cell);
    fn traces(db: u16, orders: &[OrderId]) -> Traces, db;
    fn find_verdicts(cell: &CellId, orders: &[EntryId]) -> Found, home(s, cell);
    fn verdict_under(cell: &CellId, key: Key) -> Option<OrderId>, home(s, cell);
    fn last(cell: &CellId) -> Option<Totals>, home(s, cell);
    fn kept(cell: &CellId, seq: u64) -> Vec<Kept>, home(s, cell);
    fn units(cell: &CellId, from: u64, until: u64) -> Vec<Moved>, home(s, cell);
    fn cells(db: u16, after: Option<&CellId>, limit: u64) -> Vec<CellId>, db;
}
fn cell_db(&self, offer: &OfferId) -> u16 {
    self.inner.cell_db(offer)
}
fn databases(&self) -> u16 {
    self.inner.databases()
}
async fn ping(&self, db: u16) -> bool {
    self.inner.ping(db).await
});

forward!(Orders for s {
    fn rows(db: u16, asks: &[RowAsk]) -> Vec<RowState>, db;
    fn reject(db: u16, orders: &[OrderId]) -> Vec<OrderId>, db;
    fn kept_rows(db: u16, after: Option<OrderId>, limit: u64) -> KeptRows, db;
    fn statuses(db: u16, orders: &[OrderId]) -> Vec<Option<RowState>>, db;
    fn order(order: OrderId) -> Option<OrderRow>, s.order_db(order);
    fn order_of_key(buyer: &Buyer, key: &IdempotencyKey) -> Option<OrderRow>, s.buyer_db(buyer);
    fn scan_rows(db: u16, offer: &OfferId, after: Option<OrderId>, limit: u64)
        -> RowPage, db;
}
fn order_db(&self, order: OrderId) -> u16 {
    self.inner.order_db(order)
}
fn buyer_db(&self, buyer: &Buyer) -> u16 {
    self.inner.buyer_db(buyer)
});

forward!(Catalog for s {
    fn init(fingerprint: &str) -> InitOutcome, 0;
    fn catalog_version() -> u64, 0;
    fn campaigns() -> Vec<Campaign>, 0;
    fn offers() -> Vec<Offer>, 0;
    fn offer(id: &OfferId) -> Option<(Offer, Campaign)>, 0;
    fn put_campaign(c: &Campaign) -> bool, 0;
    fn put_offer(o: &Offer) -> OfferPut, 0;
});

forward!(Marks for s {
    fn now_ms() -> u64, 0;
    fn set_progress(partition: &str, finished_until: u64) -> (), 0;
    fn progress() -> Vec<(String, u64)>, 0;
    fn mark_barrier(barrier: &str, partition: &str) -> (), 0;
    fn barrier_seen(barrier: &str) -> Vec<String>, 0;
    fn lease(name: &str, holder: &str, ttl_ms: u64) -> bool, 0;
    fn park(order: OrderId, reason: &str, item: (Mode, &Sealed)) -> (), 0;
    fn parked_among(orders: &[OrderId]) -> Vec<OrderId>, 0;
    fn parked(order: OrderId) -> Option<Parked>, 0;
    fn parked_orders(after: Option<OrderId>, limit: u64) -> Vec<ParkedOrder>, 0;
    fn unpark(order: OrderId, times: u32) -> bool, 0;
    fn parked_frame(id: &str) -> Option<ParkedFrame>, 0;
    fn parked_frames(after: Option<&str>, limit: u64) -> Vec<ParkedFrame>, 0;
    fn unpark_frame(id: &str, times: u32) -> bool, 0;
    fn park_frame(partition: &str, reason: &str, frame: &Bytes) -> (), 0;
    fn parked_counts() -> (u64, u64), 0;
});

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
