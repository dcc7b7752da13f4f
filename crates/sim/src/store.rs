//! The databases as one process sees them: the store's port behind the network.
//!
//! Every transaction that is carried out is one step of the schedule: the oracle looks right after
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::frame::{Mode, Sealed};
use domain::kept::Kept;
use domain::rows::Traces;
use domain::{Buyer, Campaign, CellId, Entry, EntryId, Flag, IdempotencyKey, Key, Offer, OfferId};
use domain::{OrderId, Totals};
use futures::FutureExt;
use parking_lot::Mutex;
use store::port::{
    Appended, CellAsks, CellVerdicts, Change, InitOutcome, KeptRows, LedgerPage, Moved, OfferPut,
    OrderRow, Parked, ParkedFrame, ParkedOrder, Proven, RowAsk, RowPage, RowState, Skipped,
    UnrowedRange, Verdict,
};
use store::{Catalog, Ledger, Marks, Orders, StoreError, StoreResult};
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

type Found = Vec<Option<Verdict>>;
type Flags<'a> = (Flag, &'a [Flag]);
type Ids = (EntryId, EntryId);

/// Each argument is made one's own at the call, and passed on as it came at each execution.
macro_rules! calls {
    ($port:ident for $s:ident {
        $($how:ident $name:ident($($arg:ident: $ty:ty = $own:expr => $pass:expr),*) -> $ret:ty,
            $db:expr $(, locks $rows:expr)?;)*
    } $($rest:tt)*) => {
        #[allow(clippy::redundant_locals, reason = "an argument that is a value is its own")]
        #[async_trait]
        impl $port for NodeStore {
            $(async fn $name(&self $(, $arg: $ty)*) -> StoreResult<$ret> {
                let $s = &self.inner;
                let _ = $s;
                let db: u16 = $db;
                let rows: Vec<Row> = names!(db $(, $rows)?);
                let node = self.node.clone();
                let inner = self.inner.clone();
                $(let $arg = $own;)*
                let work: Work<StoreResult<$ret>> = Box::new(move || {
                    let (inner, node, rows) = (inner.clone(), node.clone(), rows.clone());
                    $(let $arg = $arg.clone();)*
                    async move {
                        locked(&node, stringify!($name), &rows).await?;
                        let inner = node.world.servers.seen_by(&node, db, &inner);
                        let done = inner.$name($($pass),*).await;
                        seen!($how, node, stringify!($name), db, &done);
                        done
                    }
                    .boxed()
                });
                self.call((stringify!($name), db), work).await
            })*
            $($rest)*
        }
    };
}

macro_rules! names {
    ($db:ident) => {
        Vec::new()
    };
    ($db:ident, $rows:expr) => {
        named($db, $rows)
    };
}

macro_rules! seen {
    (reads, $node:ident, $name:expr, $db:ident, $done:expr) => {
        let _ = &$node;
    };
    (writes, $node:ident, $name:expr, $db:ident, $done:expr) => {
        let text = if $node.world.is_told() { shown($done, $db) } else { String::new() };
        wrote(&$node, $name, text);
    };
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

fn own<T: Clone>(list: &[T]) -> Arc<Vec<T>> {
    Arc::new(list.to_vec())
}

calls!(Ledger for s {
    writes release(cell: &CellId = cell.clone() => &cell,
        orders: &[OrderId] = own(orders) => &orders) -> Appended, s.cell_db(&cell.offer),
        locks [cell];
    writes finish_unrowed(db: u16 = db => db, ranges: &[UnrowedRange] = own(ranges) => &ranges)
        -> (), db;
    reads unrowed(db: u16 = db => db, before_ms: u64 = before_ms => before_ms,
        limit: u64 = limit => limit) -> Vec<UnrowedRange>, db;
    writes create_cells(cells: &[(CellId, i64)] = own(cells) => &cells, ids: Ids = ids => ids)
        -> Vec<Appended>, cells.first().map_or(0, |c| s.cell_db(&c.0.offer)),
        locks cells.iter().map(|c| &c.0);
    writes supply(cells: &[(CellId, i64)] = own(cells) => &cells, id: EntryId = id => id) -> Change,
        cells.first().map_or(0, |c| s.cell_db(&c.0.offer)), locks cells.iter().map(|c| &c.0);
    writes flag(cells: &[CellId] = own(cells) => &cells, id: EntryId = id => id,
        to: Flags<'_> = (to.0, own(to.1)) => (to.0, &to.1), note: &[u8] = own(note) => &note)
        -> Change, cells.first().map_or(0, |c| s.cell_db(&c.offer)), locks cells;
    reads last_flag(cell: &CellId = cell.clone() => &cell) -> Option<Entry>, s.cell_db(&cell.offer);
    writes restore_flag(cell: &CellId = cell.clone() => &cell, id: EntryId = id => id,
        pause_seq: u64 = pause_seq => pause_seq) -> Change, s.cell_db(&cell.offer), locks [cell];
    writes transfer(id: EntryId = id => id, from: &CellId = from.clone() => &from,
        to: Option<&CellId> = to.cloned() => to.as_ref(), units: u32 = units => units) -> Change,
        s.cell_db(&from.offer), locks std::iter::once(from).chain(to);
    reads head(cell: &CellId = cell.clone() => &cell) -> Option<Totals>, s.cell_db(&cell.offer);
    reads at(cell: &CellId = cell.clone() => &cell, seq: u64 = seq => seq) -> Option<Totals>,
        s.cell_db(&cell.offer);
    reads traces(db: u16 = db => db, orders: &[OrderId] = own(orders) => &orders) -> Traces, db;
    reads locked(cell: &CellId = cell.clone() => &cell, seq: u64 = seq => seq) -> Option<Proven>,
        s.cell_db(&cell.offer), locks [cell];
    reads after(cell: &CellId = cell.clone() => &cell, seq: u64 = seq => seq,
        limit: u64 = limit => limit) -> Option<LedgerPage>, s.cell_db(&cell.offer);
    reads find_verdicts(cell: &CellId = cell.clone() => &cell,
        orders: &[EntryId] = own(orders) => &orders) -> Found, s.cell_db(&cell.offer);
    reads verdict_under(cell: &CellId = cell.clone() => &cell, key: Key = key => key)
        -> Option<OrderId>, s.cell_db(&cell.offer);
    reads last(cell: &CellId = cell.clone() => &cell) -> Option<Totals>, s.cell_db(&cell.offer);
    reads kept(cell: &CellId = cell.clone() => &cell, seq: u64 = seq => seq)
        -> Vec<Kept>, s.cell_db(&cell.offer);
    reads units(cell: &CellId = cell.clone() => &cell, from: u64 = from => from,
        until: u64 = until => until) -> Vec<Moved>, s.cell_db(&cell.offer);
    reads cells(db: u16 = db => db, after: Option<&CellId> = after.cloned() => after.as_ref(),
        limit: u64 = limit => limit) -> Vec<CellId>, db;
}
async fn verdicts(&self, batch: &[CellAsks]) -> StoreResult<Vec<CellVerdicts>> {
    let Some(first) = batch.first() else { return Ok(Vec::new()) };
    let db = self.inner.cell_db(&first.cell.offer);
    let (node, inner) = (self.node.clone(), self.inner.clone());
    let (met, batch) = (self.met.clone(), own(batch));
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
fn cell_db(&self, offer: &OfferId) -> u16 {
    self.inner.cell_db(offer)
}
fn databases(&self) -> u16 {
    self.inner.databases()
}
async fn ping(&self, db: u16) -> bool {
    !self.node.world.is_cut(&self.node, Target::Db(db))
});

calls!(Orders for s {
    writes rows(db: u16 = db => db, asks: &[RowAsk] = own(asks) => &asks) -> Vec<RowState>, db;
    writes reject(db: u16 = db => db, orders: &[OrderId] = own(orders) => &orders)
        -> Vec<OrderId>, db;
    reads kept_rows(db: u16 = db => db, after: Option<OrderId> = after => after,
        limit: u64 = limit => limit) -> KeptRows, db;
    reads statuses(db: u16 = db => db, orders: &[OrderId] = own(orders) => &orders)
        -> Vec<Option<RowState>>, db;
    reads order(order: OrderId = order => order) -> Option<OrderRow>, s.order_db(order);
    reads order_of_key(buyer: &Buyer = buyer.clone() => &buyer,
        key: &IdempotencyKey = key.clone() => &key) -> Option<OrderRow>, s.buyer_db(buyer);
    reads scan_rows(db: u16 = db => db, offer: &OfferId = offer.clone() => &offer,
        after: Option<OrderId> = after => after, limit: u64 = limit => limit) -> RowPage, db;
}
fn order_db(&self, order: OrderId) -> u16 {
    self.inner.order_db(order)
}
fn buyer_db(&self, buyer: &Buyer) -> u16 {
    self.inner.buyer_db(buyer)
});

calls!(Catalog for s {
    reads init(fingerprint: &str = fingerprint.to_owned() => &fingerprint) -> InitOutcome,
        0;
    reads catalog_version() -> u64, 0;
    reads campaigns() -> Vec<Campaign>, 0;
    reads offers() -> Vec<Offer>, 0;
    reads offer(id: &OfferId = id.clone() => &id) -> Option<(Offer, Campaign)>, 0;
    reads put_campaign(c: &Campaign = c.clone() => &c) -> bool, 0;
    reads put_offer(o: &Offer = o.clone() => &o) -> OfferPut, 0,
        locks [format!("offer {}", o.id)];
});

calls!(Marks for s {
    reads now_ms() -> u64, 0;
    reads set_progress(partition: &str = partition.to_owned() => &partition,
        finished_until: u64 = finished_until => finished_until) -> (), 0;
    reads progress() -> Vec<(String, u64)>, 0;
    writes mark_barrier(barrier: &str = barrier.to_owned() => &barrier,
        partition: &str = partition.to_owned() => &partition) -> (), 0;
    reads barrier_seen(barrier: &str = barrier.to_owned() => &barrier) -> Vec<String>,
        0;
    reads lease(name: &str = name.to_owned() => &name, holder: &str = holder.to_owned() => &holder,
        ttl_ms: u64 = ttl_ms => ttl_ms) -> bool, 0;
    writes park(order: OrderId = order => order, reason: &str = reason.to_owned() => &reason,
        item: (Mode, &Sealed) = (item.0, item.1.clone()) => (item.0, &item.1)) -> (), 0;
    reads parked_among(orders: &[OrderId] = own(orders) => &orders) -> Vec<OrderId>,
        0;
    writes park_frame(partition: &str = partition.to_owned() => &partition,
        reason: &str = reason.to_owned() => &reason, frame: &Bytes = frame.clone() => &frame) -> (),
        0;
    reads parked(order: OrderId = order => order) -> Option<Parked>, 0;
    reads parked_orders(after: Option<OrderId> = after => after, limit: u64 = limit => limit)
        -> Vec<ParkedOrder>, 0;
    writes unpark(order: OrderId = order => order, times: u32 = times => times) -> bool, 0;
    reads parked_frame(id: &str = id.to_owned() => &id) -> Option<ParkedFrame>, 0;
    reads parked_frames(after: Option<&str> = after.map(str::to_owned) => after.as_deref(),
        limit: u64 = limit => limit) -> Vec<ParkedFrame>, 0;
    writes unpark_frame(id: &str = id.to_owned() => &id, times: u32 = times => times) -> bool, 0;
    reads parked_counts() -> (u64, u64), 0;
});
