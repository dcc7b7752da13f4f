//! The databases as one process sees them: the store's port behind the network.
//!
//! Every transaction that is carried out is one step of the schedule: the oracle looks right after
//! it.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use store::port::Skipped;
use store::port::words::*;
use store::{StoreError, StoreResult};
use testkit::memory::MemoryStore;
use tokio::time::Instant;

use crate::net::{Trip, Work, trip};
use crate::node::Node;
use crate::plan::{Role, Target};
use crate::servers::Row;

/// A transaction that takes longer has an unknown outcome, ms.
const LIMIT: u64 = 150;

/// For so long after a lock that nobody released locked cells are left out at once, ms.
const LOCKED: u64 = 600;

/// When locks of each database were last waited for in vain.
type Met = Arc<Mutex<BTreeMap<u16, Instant>>>;

/// The store of one process.
pub struct NodeStore {
    node: Arc<Node>,
    inner: MemoryStore,
    met: Met,
}

impl NodeStore {
    /// Over the data that all share.
    pub fn new(node: &Arc<Node>) -> Self {
        Self { node: node.clone(), inner: node.world.store.clone(), met: Met::default() }
    }

    async fn call<T: Send + 'static>(
        &self,
        (name, db): (&'static str, u16),
        work: Work<StoreResult<T>>,
    ) -> StoreResult<T> {
        let at = Trip { target: Target::Db(db), name, limit: LIMIT };
        match trip(&self.node, at, work).await {
            Ok(done) => done,
            Err(failed) => Err(StoreError::Transient { db, what: format!("{name}: {failed:?}") }),
        }
    }
}

fn named(db: u16, rows: impl IntoIterator<Item: ToString>) -> Vec<Row> {
    rows.into_iter().map(|r| (db, r.to_string())).collect()
}

/// Waits for the rows that a call locks; `Err` when somebody keeps one of them for too long.
async fn locked(node: &Node, name: &str, rows: &[Row]) -> StoreResult<()> {
    let Err((db, row)) = node.world.servers.wait(rows).await else { return Ok(()) };
    node.world.met("database", "lock_wait");
    node.world.tell(&node.name, || format!("{name} db-{db}: {row} is locked for too long"));
    Err(StoreError::Busy { db, what: format!("{name}: {row} is locked") })
}

/// As the real one: a batch that waited for a lock in vain leaves the locked cells out, and so do
/// those after it for a while.
async fn verdicts(
    node: &Node,
    inner: &MemoryStore,
    (db, batch): (u16, &[CellAsks]),
    met: &Met,
) -> StoreResult<Vec<CellVerdicts>> {
    let servers = &node.world.servers;
    let row = |c: &CellAsks| (db, c.cell.to_string());
    let lately = |at: &Instant| at.elapsed() < Duration::from_millis(LOCKED);
    if !met.lock().get(&db).is_some_and(lately) {
        let rows: Vec<Row> = batch.iter().map(row).collect();
        match locked(node, "verdicts", &rows).await {
            Ok(()) => return inner.verdicts(batch).await,
            Err(_) => drop(met.lock().insert(db, Instant::now())),
        }
    }
    let busy = |c: &CellAsks| servers.is_locked(&row(c));
    let free: Vec<CellAsks> = batch.iter().filter(|c| !busy(c)).cloned().collect();
    let left_out: Vec<bool> = batch.iter().map(busy).collect();
    let mut done = inner.verdicts(&free).await?.into_iter();
    let mut out = Vec::with_capacity(batch.len());
    for (c, left_out) in batch.iter().zip(left_out) {
        if left_out {
            node.world.met("database", "cell_left_out");
            out.push(skipped(node, &c.cell));
        } else {
            out.extend(done.next());
        }
    }
    Ok(out)
}

fn skipped(node: &Node, cell: &CellId) -> CellVerdicts {
    let exists = node.world.store.ledger_of(cell).is_some();
    CellVerdicts {
        cell: cell.clone(),
        prev: None,
        entries: Vec::new(),
        verdicts: Vec::new(),
        unrowed: None,
        skipped: Some(if exists { Skipped::Busy } else { Skipped::NoCell }),
    }
}

/// A call that changed something: a line of the story, and the oracle looks.
fn wrote(node: &Node, name: &'static str, what: String) {
    if name == "transfer" && node.role == Role::Reconciler {
        node.world.met("reconciler", "finished_transfer");
    }
    node.world.tell(&node.name, || format!("{name} {what}"));
    node.world.check(|oracle, world| oracle.wrote(world, node.role, name));
}

/// An argument of a call that may be carried out later, and again: made one's own at the call, lent
/// at each execution.
trait Argument<'a> {
    type Own: Clone + Send + Sync + 'static;
    fn own(self) -> Self::Own;
    fn lend(own: &'a Self::Own) -> Self;
}

macro_rules! values {
    ($($ty:ty),*) => {$(
        impl Argument<'_> for $ty {
            type Own = $ty;
            fn own(self) -> $ty {
                self
            }
            fn lend(own: &$ty) -> $ty {
                *own
            }
        }
    )*};
}
values!(i8, u16, u32, u64, Key, EntryId, OrderId, Option<OrderId>, (EntryId, EntryId));

impl<'a, T: ToOwned<Owned: Clone + Send + Sync + 'static> + ?Sized> Argument<'a> for &'a T {
    type Own = T::Owned;
    fn own(self) -> T::Owned {
        self.to_owned()
    }
    fn lend(own: &'a T::Owned) -> Self {
        own.borrow()
    }
}

impl<'a, T: ToOwned<Owned: Clone + Send + Sync + 'static> + ?Sized> Argument<'a> for Option<&'a T> {
    type Own = Option<T::Owned>;
    fn own(self) -> Option<T::Owned> {
        self.map(ToOwned::to_owned)
    }
    fn lend(own: &'a Option<T::Owned>) -> Self {
        own.as_ref().map(Borrow::borrow)
    }
}

/// A value with a reference: the mode of an order, the flags before.
impl<'a, V: Copy + Send + Sync + 'static, T> Argument<'a> for (V, &'a T)
where
    T: ToOwned<Owned: Clone + Send + Sync + 'static> + ?Sized,
{
    type Own = (V, T::Owned);
    fn own(self) -> (V, T::Owned) {
        (self.0, self.1.to_owned())
    }
    fn lend(own: &'a (V, T::Owned)) -> Self {
        (own.0, own.1.borrow())
    }
}

macro_rules! calls {
    ($port:ident {
        $($how:ident fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, on $place:expr;)*
    }) => {
        #[async_trait]
        impl $port for NodeStore {
            $(async fn $name(&self, $($arg: $ty),*) -> StoreResult<$ret> {
                let place = $place;
                let db = place.db(&self.inner);
                let rows = rows!($how, db, place);
                let (node, inner) = (self.node.clone(), self.inner.clone());
                let own = Arc::new(($(Argument::own($arg),)*));
                let work: Work<StoreResult<$ret>> = Box::new(move || {
                    let (inner, node, rows) = (inner.clone(), node.clone(), rows.clone());
                    let own = own.clone();
                    async move {
                        locked(&node, stringify!($name), &rows).await?;
                        let inner = node.world.servers.seen_by(&node, db, &inner);
                        let ($($arg,)*) = &*own;
                        let done = inner.$name($(Argument::lend($arg)),*).await;
                        seen!($how, node, stringify!($name), db, &done);
                        done
                    }
                    .boxed()
                });
                self.call((stringify!($name), db), work).await
            })*
        }
    };
}

/// The rows that a call has to itself.
macro_rules! rows {
    (reads, $db:ident, $place:ident) => {
        Vec::<Row>::new()
    };
    ($how:ident, $db:ident, $place:ident) => {
        named($db, $place.rows())
    };
}

macro_rules! seen {
    (writes, $node:ident, $name:expr, $db:ident, $done:expr) => {
        let text = if $node.world.is_told() { shown($done, $db) } else { String::new() };
        wrote(&$node, $name, text);
    };
    ($how:ident, $node:ident, $name:expr, $db:ident, $done:expr) => {};
}

fn shown<T: std::fmt::Debug>(done: &StoreResult<T>, db: u16) -> String {
    match done {
        Ok(value) => {
            let text = crate::story::brief(&format!("{value:?}"));
            format!("db-{db} -> {text}")
        }
        Err(e) => format!("db-{db} -> {e}"),
    }
}

store::each_port!(calls);

#[async_trait]
impl Verdicts for NodeStore {
    async fn verdicts(&self, batch: &[CellAsks]) -> StoreResult<Vec<CellVerdicts>> {
        let db = batch.db(&self.inner);
        let (node, inner) = (self.node.clone(), self.inner.clone());
        let (met, batch) = (self.met.clone(), Arc::new(batch.to_vec()));
        let work: Work<StoreResult<Vec<CellVerdicts>>> = Box::new(move || {
            let (node, inner) = (node.clone(), inner.clone());
            let (met, batch) = (met.clone(), batch.clone());
            async move {
                let inner = node.world.servers.seen_by(&node, db, &inner);
                let done = verdicts(&node, &inner, (db, &batch), &met).await;
                seen!(writes, node, "verdicts", db, &done);
                done
            }
            .boxed()
        });
        self.call(("verdicts", db), work).await
    }
}

#[async_trait]
impl Shards for NodeStore {
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
        !self.node.world.is_cut(&self.node, Target::Db(db))
    }
}
