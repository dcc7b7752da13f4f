//! The ports of ledgers on top of the transactions and reads.

use std::collections::HashMap;

use async_trait::async_trait;
use domain::decide::FlagWish;
use domain::kept::Kept;
use domain::rows::Traces;
use domain::{CellId, Entry, EntryId, Flag, Giveback, Key, OrderId, Totals};

use super::{Db, SqlStore, convert, lock, reads, supply, verdicts};
use crate::error::{StoreError, StoreResult};
use crate::port::{
    Appended, CellAsks, CellVerdicts, Change, GivenBack, LedgerPage, LedgerRead, LedgerWrite,
    MAX_CELLS, MAX_ORDERS, MAX_STRETCH, Moved, Proven, UnrowedRange, Verdict, Verdicts,
};

impl SqlStore {
    fn home(&self, cell: &CellId) -> StoreResult<&Db> {
        self.db(self.db_of_offer(&cell.offer))
    }
    fn home_of_all<'a>(&self, mut cells: impl Iterator<Item = &'a CellId>) -> StoreResult<&Db> {
        let Some(first) = cells.next() else {
            return Err(StoreError::corrupt(0, "a call without cells"));
        };
        let no = self.db_of_offer(&first.offer);
        if cells.any(|c| self.db_of_offer(&c.offer) != no) {
            return Err(StoreError::corrupt(no, "one call, cells of two databases"));
        }
        self.db(no)
    }
    fn now(&self) -> i64 {
        self.clock.now_ms() as i64
    }
}

#[async_trait]
impl LedgerRead for SqlStore {
    async fn unrowed(&self, db: u16, before_ms: u64, limit: u64) -> StoreResult<Vec<UnrowedRange>> {
        let db = self.db(db)?;
        db.run(|| reads::unrowed_before(db, before_ms, limit)).await
    }
    async fn last_flag(&self, cell: &CellId) -> StoreResult<Option<Entry>> {
        let db = self.home(cell)?;
        db.run(|| supply::last_flag(db, cell)).await
    }
    async fn head(&self, cell: &CellId) -> StoreResult<Option<Totals>> {
        let db = self.home(cell)?;
        db.run(|| reads::head(db, cell)).await
    }
    async fn at(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>> {
        let db = self.home(cell)?;
        db.run(|| reads::at(db, cell, seq)).await
    }
    async fn locked(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Proven>> {
        let db = self.home(cell)?;
        db.run(|| lock::proven(db, cell, seq)).await
    }
    async fn after(&self, cell: &CellId, seq: u64, limit: u64) -> StoreResult<Option<LedgerPage>> {
        let db = self.home(cell)?;
        db.run(|| reads::after(db, cell, seq, limit)).await
    }
    async fn last(&self, cell: &CellId) -> StoreResult<Option<Totals>> {
        let db = self.home(cell)?;
        db.run(|| reads::last(db, cell)).await
    }
    async fn find_verdicts(
        &self,
        cell: &CellId,
        ids: &[EntryId],
    ) -> StoreResult<Vec<Option<Verdict>>> {
        let db = self.home(cell)?;
        let read = || async {
            let conn = db.conn().await?;
            reads::verdict_rows(db, &*conn, cell, ids).await
        };
        let mut found = HashMap::new();
        for row in db.run(read).await? {
            let kind = convert::kind(db, row.kind, row.class)?;
            let verdict = Verdict { kind, seq: row.seq as u64, fresh: false };
            found.insert(convert::entry_id(db, &row.order_id)?, verdict);
        }
        Ok(ids.iter().map(|id| found.get(id).copied()).collect())
    }
    async fn traces(&self, db: u16, orders: &[OrderId]) -> StoreResult<Traces> {
        let db = self.db(db)?;
        db.run(|| reads::traces(db, orders)).await
    }
    async fn verdict_under(&self, cell: &CellId, key: Key) -> StoreResult<Option<OrderId>> {
        let db = self.home(cell)?;
        db.run(|| reads::under(db, cell, key)).await
    }
    async fn kept(&self, cell: &CellId, seq: u64) -> StoreResult<Vec<Kept>> {
        let db = self.home(cell)?;
        db.run(|| reads::kept_at(db, cell, seq)).await
    }
    async fn units(&self, cell: &CellId, from: u64, until: u64) -> StoreResult<Vec<Moved>> {
        let db = self.home(cell)?;
        if until.saturating_sub(from) > MAX_STRETCH {
            return Err(db.corrupt(format!("{} entries in one call", until - from)));
        }
        db.run(|| reads::units(db, cell, from, until)).await
    }
    async fn cells(&self, db: u16, after: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>> {
        let db = self.db(db)?;
        db.run(|| reads::cells(db, after, limit)).await
    }
}

#[async_trait]
impl Verdicts for SqlStore {
    async fn verdicts(&self, batch: &[CellAsks]) -> StoreResult<Vec<CellVerdicts>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let db = self.home_of_all(batch.iter().map(|c| &c.cell))?;
        let asks: usize = batch.iter().map(|c| c.asks.len()).sum();
        if batch.len() > MAX_CELLS || asks > MAX_ORDERS {
            return Err(db.corrupt(format!("{} cells, {asks} orders in one call", batch.len())));
        }
        db.run(|| verdicts::run(db, batch, self.clock.now_ms())).await
    }
}

#[async_trait]
impl LedgerWrite for SqlStore {
    async fn give_back(&self, cell: &CellId, all: &[Giveback]) -> StoreResult<GivenBack> {
        let db = self.home(cell)?;
        db.run(|| supply::give_back(db, cell, all, self.now())).await
    }
    async fn finish_unrowed(&self, db: u16, ranges: &[UnrowedRange]) -> StoreResult<()> {
        let db = self.db(db)?;
        db.run(|| reads::finish_unrowed(db, ranges)).await
    }
    async fn create_cells(
        &self,
        cells: &[(CellId, i64)],
        ids: (EntryId, EntryId),
    ) -> StoreResult<Vec<Appended>> {
        let db = self.home_of_all(cells.iter().map(|c| &c.0))?;
        db.run(|| supply::create(db, cells, ids, self.now())).await
    }
    async fn supply(&self, cells: &[(CellId, i64)], id: EntryId) -> StoreResult<Change> {
        let db = self.home_of_all(cells.iter().map(|c| &c.0))?;
        db.run(|| supply::supply(db, cells, id, self.now())).await
    }
    async fn flag(
        &self,
        cells: &[CellId],
        id: EntryId,
        to: (Flag, &[Flag]),
        note: &[u8],
    ) -> StoreResult<Change> {
        let db = self.home_of_all(cells.iter())?;
        db.run(|| supply::flag(db, cells, id, FlagWish { to: to.0, from: to.1, note }, self.now()))
            .await
    }
    async fn restore_flag(
        &self,
        cell: &CellId,
        id: EntryId,
        pause_seq: u64,
    ) -> StoreResult<Change> {
        let db = self.home(cell)?;
        db.run(|| supply::restore(db, cell, id, pause_seq, self.now())).await
    }
    async fn transfer(
        &self,
        id: EntryId,
        from: &CellId,
        to: Option<&CellId>,
        units: u32,
    ) -> StoreResult<Change> {
        let db = self.home_of_all(std::iter::once(from).chain(to))?;
        let cells: Vec<&CellId> = std::iter::once(from).chain(to).collect();
        db.run(|| supply::transfer(db, &cells, id, i64::from(units), self.now())).await
    }
}
