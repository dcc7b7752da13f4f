//! The ports of ledgers: every call is one step.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::decide::FlagWish;
use domain::kept::Kept;
use domain::ledger::Class;
use domain::rows::Traces;
use domain::{Buyer, CellId, Entry, EntryId, Flag, Giveback, Key, Kind, OfferId, OrderId, Totals};
use store::port::{
    Appended, CellAsks, CellVerdicts, Change, GivenBack, LedgerPage, LedgerRead, LedgerWrite,
    MAX_CELLS, MAX_ORDERS, MAX_STRETCH, Moved, Proven, Shards, UnrowedRange, Verdict, Verdicts,
};
use store::{StoreError, StoreResult};

use super::mutant::StoreMutant;
use super::state::{Cell, Database, MemoryStore};
use super::{reads, units, verdicts};

#[async_trait]
impl Shards for MemoryStore {
    fn cell_db(&self, offer: &OfferId) -> u16 {
        self.db_of_offer(offer)
    }
    fn databases(&self) -> u16 {
        self.shared.map.databases
    }
    async fn ping(&self, db: u16) -> bool {
        tokio::task::yield_now().await;
        db < self.shared.map.databases
    }
    fn order_db(&self, order: OrderId) -> u16 {
        self.db_of_order(order)
    }
    fn buyer_db(&self, buyer: &Buyer) -> u16 {
        self.db_of_buyer(buyer)
    }
}

#[async_trait]
impl LedgerRead for MemoryStore {
    async fn unrowed(&self, db: u16, before_ms: u64, limit: u64) -> StoreResult<Vec<UnrowedRange>> {
        self.read(db, |d| {
            let old = d.unrowed.values().filter(|u| u.range.at_ms < before_ms);
            let mut all: Vec<UnrowedRange> = old.map(|u| u.range.clone()).collect();
            all.sort_by_key(|r| r.at_ms);
            all.truncate(limit as usize);
            Ok(all)
        })
        .await
    }
    async fn last_flag(&self, cell: &CellId) -> StoreResult<Option<Entry>> {
        let db = self.home([cell])?;
        self.read(db, |d| Ok(reads::cell(d, cell).and_then(|c| c.last_flag()).cloned())).await
    }
    async fn head(&self, cell: &CellId) -> StoreResult<Option<Totals>> {
        let db = self.home([cell])?;
        self.read(db, |d| Ok(reads::cell(d, cell).map(|c| c.head))).await
    }
    async fn at(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>> {
        self.read(self.home([cell])?, |d| Ok(reads::at(reads::cell(d, cell), seq))).await
    }
    async fn locked(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Proven>> {
        let proven = |c: &Cell| Proven {
            head: c.head,
            folded: reads::at(Some(c), c.head.seq),
            last: c.entries.last().map(Entry::totals).unwrap_or_default(),
            at: reads::at(Some(c), seq),
        };
        self.read_now(self.home([cell])?, |d| Ok(reads::cell(d, cell).map(proven))).await
    }
    async fn after(&self, cell: &CellId, seq: u64, limit: u64) -> StoreResult<Option<LedgerPage>> {
        let db = self.home([cell])?;
        self.read(db, |d| Ok(reads::cell(d, cell).map(|c| reads::after(c, seq, limit)))).await
    }
    async fn last(&self, cell: &CellId) -> StoreResult<Option<Totals>> {
        let of = |c: &Cell| c.entries.last().map(Entry::totals).unwrap_or_default();
        self.read(self.home([cell])?, |d| Ok(reads::cell(d, cell).map(of))).await
    }
    async fn find_verdicts(
        &self,
        cell: &CellId,
        ids: &[EntryId],
    ) -> StoreResult<Vec<Option<Verdict>>> {
        let find = |d: &Database| {
            let of = |id: &EntryId| {
                let e = reads::cell(d, cell)?.find(Class::Verdict, *id)?;
                Some(Verdict { kind: e.kind, seq: e.seq, fresh: false })
            };
            Ok(ids.iter().map(of).collect())
        };
        let db = self.home([cell])?;
        self.read_now(db, find).await
    }
    async fn traces(&self, db: u16, orders: &[OrderId]) -> StoreResult<Traces> {
        let wanted: BTreeSet<OrderId> = orders.iter().copied().collect();
        self.read(db, |d| {
            let mut out = Traces::new();
            for cell in d.cells.values() {
                let of_orders = cell.entries.iter().filter_map(|e| Some((e.order()?, e.kind)));
                for (order, kind) in of_orders.filter(|(order, _)| wanted.contains(order)) {
                    out.entry((order, cell.id.clone())).or_default().note(kind);
                }
            }
            Ok(out)
        })
        .await
    }
    async fn verdict_under(&self, cell: &CellId, key: Key) -> StoreResult<Option<OrderId>> {
        self.read(self.home([cell])?, |d| {
            let Some(cell) = reads::cell(d, cell) else { return Ok(None) };
            let under = |e: &&Entry| e.kind.class() == Class::Verdict && e.id.key() == key;
            let all: Vec<&Entry> = cell.entries.iter().filter(under).collect();
            let claimed = all.iter().find(|e| e.kind == Kind::Claim);
            Ok(claimed.or(all.first()).and_then(|e| e.order()))
        })
        .await
    }
    async fn kept(&self, cell: &CellId, seq: u64) -> StoreResult<Vec<Kept>> {
        let key = cell.to_string();
        self.read(self.home([cell])?, |d| {
            let last = d.unrowed.range((key.clone(), 0)..=(key, seq)).next_back();
            let covers = last.filter(|(_, u)| u.range.last_seq >= seq);
            Ok(covers.map(|(_, u)| u.orders.clone()).unwrap_or_default())
        })
        .await
    }
    async fn units(&self, cell: &CellId, from: u64, until: u64) -> StoreResult<Vec<Moved>> {
        let db = self.home([cell])?;
        if until.saturating_sub(from) > MAX_STRETCH {
            return Err(StoreError::corrupt(db, format!("{} entries in one call", until - from)));
        }
        self.read(db, |d| {
            let found = reads::cell(d, cell);
            let reaches = found.map_or(0, |c| c.entries.len() as u64);
            if reaches < until {
                return Err(StoreError::behind(db, cell, reaches, until));
            }
            Ok(found.map_or(Vec::new(), |c| reads::units(c, from, until)))
        })
        .await
    }
    async fn cells(&self, db: u16, after: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>> {
        let from = after.map(CellId::to_string).unwrap_or_default();
        self.read(db, |d| {
            let later = d.cells.iter().filter(|(key, _)| **key > from);
            Ok(later.take(limit as usize).map(|(_, c)| c.id.clone()).collect())
        })
        .await
    }
}

#[async_trait]
impl Verdicts for MemoryStore {
    async fn verdicts(&self, batch: &[CellAsks]) -> StoreResult<Vec<CellVerdicts>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let db = self.home(batch.iter().map(|c| &c.cell))?;
        let asks: usize = batch.iter().map(|c| c.asks.len()).sum();
        if batch.len() > MAX_CELLS || asks > MAX_ORDERS {
            let what = format!("{} cells, {asks} orders in one call", batch.len());
            return Err(StoreError::corrupt(db, what));
        }
        let stale = if self.is_broken(StoreMutant::ReadBeforeLock) {
            Some(self.read(db, |d| Ok(verdicts::known(d, batch))).await?)
        } else {
            None
        };
        self.tx(db, |tx| verdicts::run(tx, batch, stale.as_ref())).await
    }
}

#[async_trait]
impl LedgerWrite for MemoryStore {
    async fn give_back(&self, cell: &CellId, all: &[Giveback]) -> StoreResult<GivenBack> {
        self.tx(self.home([cell])?, |tx| units::give_back(tx, cell, all)).await
    }
    async fn finish_unrowed(&self, db: u16, ranges: &[UnrowedRange]) -> StoreResult<()> {
        self.tx(db, |tx| {
            for r in ranges {
                tx.db.unrowed.remove(&(r.cell.to_string(), r.first_seq));
            }
            Ok(())
        })
        .await
    }
    async fn create_cells(
        &self,
        cells: &[(CellId, i64)],
        ids: (EntryId, EntryId),
    ) -> StoreResult<Vec<Appended>> {
        let db = self.home(cells.iter().map(|c| &c.0))?;
        self.tx(db, |tx| units::create(tx, cells, ids)).await
    }
    async fn supply(&self, cells: &[(CellId, i64)], id: EntryId) -> StoreResult<Change> {
        let db = self.home(cells.iter().map(|c| &c.0))?;
        self.tx(db, |tx| units::supply(tx, cells, id)).await
    }
    async fn flag(
        &self,
        cells: &[CellId],
        id: EntryId,
        to: (Flag, &[Flag]),
        note: &[u8],
    ) -> StoreResult<Change> {
        let wanted = FlagWish { to: to.0, from: to.1, note };
        self.tx(self.home(cells)?, |tx| units::flag(tx, cells, (id, wanted))).await
    }
    async fn restore_flag(
        &self,
        cell: &CellId,
        id: EntryId,
        pause_seq: u64,
    ) -> StoreResult<Change> {
        self.tx(self.home([cell])?, |tx| units::restore(tx, cell, (id, pause_seq))).await
    }
    async fn transfer(
        &self,
        id: EntryId,
        from: &CellId,
        to: Option<&CellId>,
        units: u32,
    ) -> StoreResult<Change> {
        let db = self.home(std::iter::once(from).chain(to))?;
        self.tx(db, |tx| units::transfer(tx, (from, to), (id, i64::from(units)))).await
    }
}
