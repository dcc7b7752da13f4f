//! The tables, and the transaction that every ledger write of the in-memory store is.
//!
//! The counters and the chain are computed by `domain::Totals::append`, as on the real databases.
//! A transaction stages its entries and keeps them all at once, so a call that fails changes
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::kept::Kept;
use domain::ledger::{Class, Draft};
use domain::life::{Provider, ProviderId};
use domain::{Buyer, Campaign, CampaignId, CellId, Entry, IdempotencyKey, Identity, LogicalShard};
use domain::{EntryId, Offer, OfferId, OrderId, RowStatus, ShardMap, Totals};
use parking_lot::Mutex;
use runtime::Clock;
use store::port::{Appended, OrderRow, Parked, ParkedFrame, UnrowedRange};
use store::{StoreError, StoreResult};

use super::life_tables::LifeTables;
use super::mutant::{Mutants, StoreMutant};

/// The store in memory; clones share everything, as processes share a database.
#[derive(Clone)]
pub struct MemoryStore {
    pub(super) shared: Arc<Shared>,
    /// What plain reads of a database see instead of what it has now.
    pub(super) replica: Option<(u16, Arc<SavedDatabase>)>,
}

pub(super) struct Shared {
    pub map: ShardMap,
    pub identity: Identity,
    pub clock: Arc<dyn Clock>,
    pub state: Mutex<State>,
}

/// Everything that a real deployment keeps on disk.
#[derive(Clone, Default)]
pub(super) struct State {
    pub dbs: Vec<Database>,
    pub meta: BTreeMap<String, String>,
    pub catalog_version: u64,
    pub campaigns: BTreeMap<CampaignId, Campaign>,
    pub offers: BTreeMap<OfferId, Offer>,
    pub providers: BTreeMap<ProviderId, Provider>,
    pub progress: BTreeMap<String, u64>,
    pub barriers: BTreeMap<(String, String), u64>,
    pub leases: BTreeMap<String, (String, u64)>,
    /// With whether it is on the list.
    pub parked: BTreeMap<OrderId, (Parked, bool)>,
    pub parked_frames: BTreeMap<String, (ParkedFrame, bool)>,
    pub mutants: Mutants,
    pub commits: u64,
}

/// A cell's name as the databases order it: by bytes, so that `.10` is before `.2`.
pub(super) type CellKey = String;

/// One database: its cells and its buyers' rows.
#[derive(Clone, Default)]
pub(super) struct Database {
    pub cells: BTreeMap<CellKey, Cell>,
    pub unrowed: BTreeMap<(CellKey, u64), Unrowed>,
    pub rows: BTreeMap<OrderId, Row>,
    pub keys: BTreeMap<(Buyer, IdempotencyKey), OrderId>,
    pub life: LifeTables,
}

/// Verdicts whose rows may be missing, with the orders that they are about.
#[derive(Clone)]
pub(super) struct Unrowed {
    pub range: UnrowedRange,
    /// Ascending.
    pub orders: Vec<Kept>,
}

/// A row, and the cell of its anchor.
#[derive(Clone)]
pub(super) struct Row {
    pub row: OrderRow,
    pub anchor: CellId,
    /// Where a refund of all of it turned it around.
    pub came_from: Option<RowStatus>,
    /// Of its payload.
    pub window_ms: u64,
}

/// A cell row with its ledger; `entries[n]` has position n + 1.
#[derive(Clone)]
pub(super) struct Cell {
    pub id: CellId,
    pub head: Totals,
    pub entries: Vec<Entry>,
    index: BTreeMap<(Class, EntryId), usize>,
}

impl Cell {
    /// The entry of a class under an id.
    pub(super) fn find(&self, class: Class, id: EntryId) -> Option<&Entry> {
        self.index.get(&(class, id)).map(|at| &self.entries[*at])
    }

    pub(super) fn last_flag(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|e| e.kind.class() == Class::Flag)
    }

    fn keep(&mut self, now: Totals, entries: &[Entry]) {
        for e in entries {
            // The first of a class counts, when a mutant writes a second.
            self.index.entry((e.kind.class(), e.id)).or_insert(self.entries.len());
            self.entries.push(e.clone());
        }
        self.head = now;
    }

    /// Forgets what follows `seq`.
    pub(super) fn cut(&mut self, seq: u64) {
        self.entries.truncate(seq as usize);
        self.head = self.entries.last().map(Entry::totals).unwrap_or_default();
        let left = self.entries.len();
        self.index.retain(|_, at| *at < left);
    }
}

/// What a transaction has made of one cell so far.
pub(super) struct Staged {
    pub id: CellId,
    pub prev: Totals,
    pub now: Totals,
    pub entries: Vec<Entry>,
}

/// A transaction on the cells of one database.
pub(super) struct Tx<'a> {
    pub no: u16,
    pub db: &'a mut Database,
    pub at_ms: u64,
    pub mutants: Mutants,
    pub staged: BTreeMap<CellKey, Staged>,
}

impl Tx<'_> {
    /// Reads cells for writing; a cell without a row stays unread. True when all have one.
    pub(super) fn lock<'c>(&mut self, cells: impl IntoIterator<Item = &'c CellId>) -> bool {
        let mut all = true;
        for id in cells {
            let key = id.to_string();
            match self.db.cells.get(&key) {
                Some(c) => {
                    let (id, head) = (id.clone(), c.head);
                    let fresh = Staged { id, prev: head, now: head, entries: Vec::new() };
                    self.staged.entry(key).or_insert(fresh);
                }
                None => all = false,
            }
        }
        all
    }

    /// A cell that does not exist yet.
    pub(super) fn create(&mut self, id: &CellId) {
        let (prev, now) = (Totals::default(), Totals::default());
        let fresh = Staged { id: id.clone(), prev, now, entries: Vec::new() };
        self.staged.insert(id.to_string(), fresh);
    }

    pub(super) fn has(&self, m: StoreMutant) -> bool {
        self.mutants.has(m)
    }

    /// Appends to a locked cell; the position.
    pub(super) fn append(&mut self, key: &str, draft: Draft) -> StoreResult<u64> {
        let (no, at_ms) = (self.no, self.at_ms as i64);
        let corrupt = |what: String| StoreError::corrupt(no, what);
        let cell = self.staged.get_mut(key).ok_or_else(|| corrupt(format!("{key} not locked")))?;
        let entry = cell.now.append(draft, at_ms).map_err(|e| corrupt(e.to_string()))?;
        cell.entries.push(entry);
        Ok(cell.now.seq)
    }

    /// Appends what INV-1 forbids: only a mutant does this.
    pub(super) fn append_unchecked(&mut self, key: &str, draft: Draft) -> StoreResult<u64> {
        const FAR: i64 = 1_000_000;
        let shift = |t: &mut Totals, by: i64| (t.supply, t.net) = (t.supply + 2 * by, t.net + by);
        if let Some(cell) = self.staged.get_mut(key) {
            shift(&mut cell.now, FAR);
        }
        let seq = self.append(key, draft)?;
        if let Some(cell) = self.staged.get_mut(key) {
            shift(&mut cell.now, -FAR);
            if let Some(e) = cell.entries.last_mut() {
                (e.supply_after, e.net_after) = (cell.now.supply, cell.now.net);
            }
        }
        Ok(seq)
    }

    /// An entry of a class, committed or staged by this transaction.
    pub(super) fn find(&self, key: &str, class: Class, id: EntryId) -> Option<&Entry> {
        let staged = || {
            let entries = &self.staged.get(key)?.entries;
            entries.iter().find(|e| e.id == id && e.kind.class() == class)
        };
        self.db.cells.get(key).and_then(|c| c.find(class, id)).or_else(staged)
    }

    /// Keeps everything.
    pub(super) fn commit(&mut self) {
        let most = if self.has(StoreMutant::FirstCellOnly) { 1 } else { usize::MAX };
        for (key, s) in self.staged.iter().take(most) {
            let cell = self.db.cells.entry(key.clone()).or_insert_with(|| Cell {
                id: s.id.clone(),
                head: s.prev,
                entries: Vec::new(),
                index: BTreeMap::new(),
            });
            cell.keep(s.now, &s.entries);
        }
    }

    /// What the call answers about these cells.
    pub(super) fn appended<'c>(
        &mut self,
        cells: impl IntoIterator<Item = &'c CellId>,
    ) -> Vec<Appended> {
        let one = |id: &CellId| {
            let s = self.staged.remove(&id.to_string())?;
            Some(Appended { cell: id.clone(), prev: s.prev, entries: s.entries })
        };
        cells.into_iter().filter_map(one).collect()
    }
}

impl MemoryStore {
    /// Empty databases, 1 to 256. As with the real store, [`store::Init::init`] comes first.
    pub fn new(databases: u16, identity: Identity, clock: Arc<dyn Clock>) -> Self {
        let map = ShardMap::even(databases);
        let dbs = (0..map.databases).map(|_| Database::default()).collect();
        let state = Mutex::new(State { dbs, ..State::default() });
        Self { shared: Arc::new(Shared { map, identity, clock, state }), replica: None }
    }

    pub(super) fn db_of_offer(&self, offer: &OfferId) -> u16 {
        self.shared.map.database(self.shared.identity.offer_shard(offer))
    }
    pub(super) fn db_of_buyer(&self, buyer: &Buyer) -> u16 {
        self.shared.map.database(self.shared.identity.buyer_shard(buyer))
    }
    pub(super) fn db_of_order(&self, order: OrderId) -> u16 {
        self.shared.map.database(LogicalShard(order.shard()))
    }

    /// The database of all these cells.
    pub(super) fn home<'c>(&self, cells: impl IntoIterator<Item = &'c CellId>) -> StoreResult<u16> {
        let mut cells = cells.into_iter();
        let first = cells.next().ok_or_else(|| StoreError::corrupt(0, "a call without cells"))?;
        let no = self.db_of_offer(&first.offer);
        if cells.any(|c| self.db_of_offer(&c.offer) != no) {
            return Err(StoreError::corrupt(no, "one call, cells of two databases"));
        }
        Ok(no)
    }

    /// A plain read: one atomic step on the tables of one database, or of its replica.
    pub(super) async fn read<T>(
        &self,
        no: u16,
        work: impl FnOnce(&Database) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        match &self.replica {
            Some((of, then)) if *of == no => {
                tokio::task::yield_now().await;
                work(&then.tables)
            }
            _ => self.read_now(no, work).await,
        }
    }

    /// A read that locks, or must be the primary's: what is committed.
    pub(super) async fn read_now<T>(
        &self,
        no: u16,
        work: impl FnOnce(&Database) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        tokio::task::yield_now().await;
        let state = self.shared.state.lock();
        work(state.dbs.get(usize::from(no)).ok_or_else(|| no_database(no))?)
    }

    /// One atomic step that may write everything; it counts as a commit when it succeeds.
    pub(super) async fn write<T>(
        &self,
        work: impl FnOnce(&mut State, u64) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        tokio::task::yield_now().await;
        let now = self.shared.clock.now_ms();
        let mut state = self.shared.state.lock();
        let done = work(&mut state, now)?;
        state.commits += 1;
        Ok(done)
    }

    /// One transaction on the cells of one database.
    pub(super) async fn tx<T>(
        &self,
        no: u16,
        work: impl FnOnce(Tx<'_>) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        self.write(|state, at_ms| {
            let mutants = state.mutants;
            let db = state.dbs.get_mut(usize::from(no)).ok_or_else(|| no_database(no))?;
            work(Tx { no, db, at_ms, mutants, staged: BTreeMap::new() })
        })
        .await
    }
}

pub(super) fn no_database(no: u16) -> StoreError {
    StoreError::corrupt(no, "the shard map names a database that is not configured")
}

/// Everything on the disk of one database at some moment.
pub struct SavedDatabase {
    pub(super) tables: Database,
    /// The catalog, the leases, progress: database 0 has them.
    pub(super) rest: Option<Box<State>>,
}
