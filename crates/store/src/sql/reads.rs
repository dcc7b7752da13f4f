//! Reads of cell shards, and the port's `Ledger` on top of the transactions.
//!
//! All reads go to the primary (the only server a pool knows): "no verdict" from a replica would
//! not be valid for the relay.

use async_trait::async_trait;
use domain::frame::Sealed;
use domain::ledger::{Class, Kind};
use domain::{CellId, Entry, Flag, OfferId, OrderId, Totals};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::{Db, SqlStore, convert, supply, verdicts};
use crate::entity::{cell, ledger, unrowed};
use crate::error::{StoreError, StoreResult};
use crate::ladder;
use crate::port::{
    Appended, CellAsks, CellVerdicts, Change, Ledger, LedgerPage, MAX_CELLS, MAX_ORDERS,
    UnrowedRange, Verdict,
};

/// The verdict rows of some orders in one cell; an order may occur twice in the answer.
pub(super) async fn verdict_rows(
    db: &Db,
    conn: &impl ConnectionTrait,
    key: &[u8],
    orders: &[OrderId],
) -> StoreResult<Vec<ledger::Model>> {
    let ids: Vec<Vec<u8>> = orders.iter().map(|o| o.0.to_vec()).collect();
    let mut out = Vec::new();
    for piece in ladder::padded(&ids) {
        let rows = ledger::Entity::find()
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::CellId.eq(key))
            .filter(ledger::Column::Class.eq(Class::Verdict as i8))
            .all(conn)
            .await
            .map_err(|e| db.err(e))?;
        out.extend(rows);
    }
    Ok(out)
}

async fn head(db: &Db, cell: &CellId) -> StoreResult<Option<Totals>> {
    let conn = db.conn().await?;
    let row = cell::Entity::find_by_id(convert::cell_key(cell)).one(&*conn).await;
    row.map_err(|e| db.err(e))?.map(|m| convert::totals(db, &m)).transpose()
}

async fn at(db: &Db, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>> {
    if seq == 0 {
        return Ok(Some(Totals::default()));
    }
    let conn = db.conn().await?;
    let row = ledger::Entity::find_by_id((convert::cell_key(cell), seq as i64)).one(&*conn).await;
    let row = row.map_err(|e| db.err(e))?;
    row.map(|m| convert::entry(db, m).map(|e| e.totals())).transpose()
}

async fn after(db: &Db, cell: &CellId, seq: u64, limit: u64) -> StoreResult<Option<LedgerPage>> {
    let Some(head) = head(db, cell).await? else {
        return Ok(None);
    };
    let base = at(db, cell, seq).await?;
    let conn = db.conn().await?;
    let rows = ledger::Entity::find()
        .filter(ledger::Column::CellId.eq(convert::cell_key(cell)))
        .filter(ledger::Column::Seq.gt(seq as i64))
        .order_by_asc(ledger::Column::Seq)
        .limit(limit)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let entries: StoreResult<Vec<_>> = rows.into_iter().map(|m| convert::entry(db, m)).collect();
    Ok(Some(LedgerPage { base, entries: entries?, head }))
}

async fn buyer_sums(
    db: &Db,
    cell: &CellId,
    seq: u64,
    after: Option<&str>,
    limit: u64,
) -> StoreResult<Vec<(String, i64)>> {
    let signed =
        Expr::cust("CAST(SUM(CASE kind WHEN 2 THEN qty WHEN 4 THEN -qty ELSE 0 END) AS SIGNED)");
    let signed = match db.backend {
        sea_orm::DbBackend::Sqlite => {
            Expr::cust("SUM(CASE kind WHEN 2 THEN qty WHEN 4 THEN -qty ELSE 0 END)")
        }
        _ => signed,
    };
    let conn = db.conn().await?;
    let rows: Vec<(Vec<u8>, i64)> = ledger::Entity::find()
        .select_only()
        .column(ledger::Column::Buyer)
        .column_as(signed, "units")
        .filter(ledger::Column::CellId.eq(convert::cell_key(cell)))
        .filter(ledger::Column::Seq.lte(seq as i64))
        .filter(ledger::Column::Kind.is_in([Kind::Claim as i8, Kind::Release as i8]))
        .filter(ledger::Column::Buyer.gt(after.unwrap_or("").as_bytes().to_vec()))
        .group_by(ledger::Column::Buyer)
        .order_by_asc(ledger::Column::Buyer)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    rows.into_iter().map(|(b, n)| Ok((convert::text(db, b, "ledger.buyer")?, n))).collect()
}

async fn cells(db: &Db, from: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>> {
    let conn = db.conn().await?;
    let mut query = cell::Entity::find().select_only().column(cell::Column::CellId);
    if let Some(from) = from {
        query = query.filter(cell::Column::CellId.gt(convert::cell_key(from)));
    }
    let rows: Vec<Vec<u8>> = query
        .order_by_asc(cell::Column::CellId)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    rows.into_iter().map(|id| convert::parse(db, id, "cell_id")).collect()
}

async fn unrowed_before(db: &Db, before: u64, limit: u64) -> StoreResult<Vec<UnrowedRange>> {
    let conn = db.conn().await?;
    let rows = unrowed::Entity::find()
        .filter(unrowed::Column::AtMs.lt(before as i64))
        .order_by_asc(unrowed::Column::AtMs)
        .limit(limit)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let range = |m: unrowed::Model| {
        Ok(UnrowedRange {
            cell: convert::parse(db, m.cell_id, "unrowed.cell_id")?,
            first_seq: m.first_seq as u64,
            last_seq: m.last_seq as u64,
            at_ms: m.at_ms as u64,
        })
    };
    rows.into_iter().map(range).collect()
}

async fn finish_unrowed(db: &Db, ranges: &[UnrowedRange]) -> StoreResult<()> {
    let conn = db.conn().await?;
    for piece in ranges.chunks(128) {
        let any = piece.iter().fold(Condition::any(), |c, r| {
            let one = unrowed::Column::CellId
                .eq(convert::cell_key(&r.cell))
                .and(unrowed::Column::FirstSeq.eq(r.first_seq as i64));
            c.add(one)
        });
        unrowed::Entity::delete_many().filter(any).exec(&*conn).await.map_err(|e| db.err(e))?;
    }
    Ok(())
}

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
impl Ledger for SqlStore {
    fn cell_db(&self, offer: &OfferId) -> u16 {
        self.db_of_offer(offer)
    }
    fn databases(&self) -> u16 {
        self.dbs.len() as u16
    }
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
    async fn release(&self, cell: &CellId, orders: &[OrderId]) -> StoreResult<Appended> {
        let db = self.home(cell)?;
        db.run(|| supply::release(db, cell, orders, self.now())).await
    }
    async fn finish_unrowed(&self, db: u16, ranges: &[UnrowedRange]) -> StoreResult<()> {
        let db = self.db(db)?;
        db.run(|| finish_unrowed(db, ranges)).await
    }
    async fn unrowed(&self, db: u16, before_ms: u64, limit: u64) -> StoreResult<Vec<UnrowedRange>> {
        let db = self.db(db)?;
        db.run(|| unrowed_before(db, before_ms, limit)).await
    }
    async fn create_cells(
        &self,
        cells: &[(CellId, i64)],
        ids: (OrderId, OrderId),
    ) -> StoreResult<Vec<Appended>> {
        let db = self.home_of_all(cells.iter().map(|c| &c.0))?;
        db.run(|| supply::create(db, cells, ids, self.now())).await
    }
    async fn supply(&self, cells: &[(CellId, i64)], id: OrderId) -> StoreResult<Change> {
        let db = self.home_of_all(cells.iter().map(|c| &c.0))?;
        db.run(|| supply::supply(db, cells, id, self.now())).await
    }
    async fn flag(
        &self,
        cells: &[CellId],
        id: OrderId,
        to: (Flag, &[Flag]),
        note: &[u8],
    ) -> StoreResult<Change> {
        let db = self.home_of_all(cells.iter())?;
        db.run(|| supply::flag(db, cells, id, to, (note, self.now()))).await
    }
    async fn last_flag(&self, cell: &CellId) -> StoreResult<Option<Entry>> {
        let db = self.home(cell)?;
        let read = || async {
            let conn = db.conn().await?;
            supply::last_flag(db, &*conn, &convert::cell_key(cell)).await
        };
        db.run(read).await
    }
    async fn restore_flag(
        &self,
        cell: &CellId,
        id: OrderId,
        pause_seq: u64,
    ) -> StoreResult<Change> {
        let db = self.home(cell)?;
        db.run(|| supply::restore(db, cell, id, pause_seq, self.now())).await
    }
    async fn transfer(
        &self,
        id: OrderId,
        from: &CellId,
        to: Option<&CellId>,
        units: u32,
    ) -> StoreResult<Change> {
        let db = self.home_of_all(std::iter::once(from).chain(to))?;
        db.run(|| supply::transfer(db, id, (from, to), i64::from(units), self.now())).await
    }
    async fn head(&self, cell: &CellId) -> StoreResult<Option<Totals>> {
        let db = self.home(cell)?;
        db.run(|| head(db, cell)).await
    }
    async fn at(&self, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>> {
        let db = self.home(cell)?;
        db.run(|| at(db, cell, seq)).await
    }
    async fn after(&self, cell: &CellId, seq: u64, limit: u64) -> StoreResult<Option<LedgerPage>> {
        let db = self.home(cell)?;
        db.run(|| after(db, cell, seq, limit)).await
    }
    async fn find_verdicts(
        &self,
        cell: &CellId,
        orders: &[OrderId],
    ) -> StoreResult<Vec<Option<(Verdict, Option<Sealed>)>>> {
        let db = self.home(cell)?;
        let read = || async {
            let conn = db.conn().await?;
            verdict_rows(db, &*conn, &convert::cell_key(cell), orders).await
        };
        let rows = db.run(read).await?;
        let of = |order: &OrderId| {
            let row = rows.iter().find(|r| r.order_id == order.0)?;
            let kind = Kind::from_number(row.kind)?;
            let verdict = Verdict { kind, seq: row.seq as u64, fresh: false };
            Some((verdict, Sealed::from_ledger(&row.payload)))
        };
        Ok(orders.iter().map(of).collect())
    }
    async fn buyer_sums(
        &self,
        cell: &CellId,
        seq: u64,
        after: Option<&str>,
        limit: u64,
    ) -> StoreResult<Vec<(String, i64)>> {
        let db = self.home(cell)?;
        db.run(|| buyer_sums(db, cell, seq, after, limit)).await
    }
    async fn cells(&self, db: u16, after: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>> {
        let db = self.db(db)?;
        db.run(|| cells(db, after, limit)).await
    }
    async fn ping(&self, db: u16) -> bool {
        match self.db(db) {
            Ok(db) => db.ping().await,
            Err(_) => false,
        }
    }
}
