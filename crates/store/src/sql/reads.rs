//! Reads of cell shards.
//!
//! All reads go to the primary (the only server a pool knows): "no verdict" from a replica would
//! not be valid for the relay.

use std::collections::{HashMap, HashSet};

use domain::kept::Kept;
use domain::ledger::{Class, Kind};
use domain::rows::Traces;
use domain::{CellId, EntryId, Key, OrderId, Totals, kept};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder,
    QuerySelect, RelationDef, Select,
};

use super::{Db, convert, find};
use crate::entity::{cell, ledger, unrowed};
use crate::error::{StoreError, StoreResult};
use crate::ladder;
use crate::port::{LedgerPage, Moved, UnrowedRange};

/// The cell that a ledger row belongs to. A cell is found by its unique name, which a server reads
/// before it plans the rest, so the ledger is read by the cell's number as a constant.
fn of_cell() -> RelationDef {
    ledger::Entity::belongs_to(cell::Entity)
        .from(ledger::Column::CellNo)
        .to(cell::Column::CellNo)
        .into()
}

fn ledger_of(cell: &CellId) -> Select<ledger::Entity> {
    ledger::Entity::find()
        .join(JoinType::InnerJoin, of_cell())
        .filter(cell::Column::CellId.eq(convert::cell_key(cell)))
}

/// The verdict rows of some orders in one cell; an order may occur twice in the answer.
pub(super) async fn verdict_rows(
    db: &Db,
    conn: &impl ConnectionTrait,
    cell: &CellId,
    ids: &[EntryId],
) -> StoreResult<Vec<ledger::Model>> {
    let ids: Vec<Vec<u8>> = ids.iter().map(|o| o.0.to_vec()).collect();
    let mut out = Vec::new();
    for piece in ladder::padded(&ids, ladder::STEPS[0]) {
        let mut find = ledger_of(cell)
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::Class.eq(Class::Verdict.number()));
        find::by_order(&mut find);
        out.extend(find.all(conn).await.map_err(|e| db.err(e))?);
    }
    Ok(out)
}

/// What is written about some orders in any cell.
pub(super) async fn traces(db: &Db, orders: &[OrderId]) -> StoreResult<Traces> {
    let conn = db.conn().await?;
    let ids: Vec<Vec<u8>> = orders.iter().map(|o| o.0.to_vec()).collect();
    let mut out = Traces::new();
    for piece in ladder::padded(&ids, ladder::STEPS[0]) {
        let mut find = ledger::Entity::find()
            .select_only()
            .columns([ledger::Column::OrderId, ledger::Column::Kind, ledger::Column::Class])
            .column(cell::Column::CellId)
            .join(JoinType::InnerJoin, of_cell())
            .filter(ledger::Column::OrderId.is_in(piece));
        find::by_order(&mut find);
        let rows: Vec<(Vec<u8>, i8, i8, Vec<u8>)> =
            find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
        for (order, kind, class, cell) in rows {
            let of = (convert::order_id(db, &order)?, convert::parse(db, cell, "cell_id")?);
            out.entry(of).or_default().note(convert::kind(db, kind, class)?);
        }
    }
    Ok(out)
}

/// Contents of one key that are looked at; honest clients have one.
const CONTENTS: u64 = 16;

pub(super) async fn under(db: &Db, cell: &CellId, key: Key) -> StoreResult<Option<OrderId>> {
    let conn = db.conn().await?;
    let end = |content| OrderId::join(key, content).0.to_vec();
    let mut find = ledger_of(cell)
        .filter(ledger::Column::OrderId.between(end([0; 4]), end([255; 4])))
        .filter(ledger::Column::Class.eq(Class::Verdict.number()));
    find::by_order(&mut find);
    let rows = find.limit(CONTENTS).all(&*conn).await.map_err(|e| db.err(e))?;
    for row in &rows {
        convert::kind(db, row.kind, row.class)?;
    }
    let claimed = rows.iter().find(|r| r.kind == Kind::Claim.number());
    claimed.or(rows.first()).map(|r| convert::order_id(db, &r.order_id)).transpose()
}

/// Which of these cells have a row, whoever has it locked.
pub(super) async fn existing_cells(
    db: &Db,
    conn: &impl ConnectionTrait,
    cells: &[&CellId],
) -> StoreResult<HashSet<CellId>> {
    let numbers = numbers(db, conn, cells.iter().copied()).await?;
    Ok(numbers.into_keys().collect())
}

/// The numbers of some cells.
async fn numbers<'a>(
    db: &Db,
    conn: &impl ConnectionTrait,
    cells: impl Iterator<Item = &'a CellId>,
) -> StoreResult<HashMap<CellId, i32>> {
    let keys: Vec<Vec<u8>> = cells.map(convert::cell_key).collect();
    let mut found = HashMap::new();
    for piece in ladder::padded(&keys, db.most) {
        let rows: Vec<(Vec<u8>, i32)> = cell::Entity::find()
            .select_only()
            .columns([cell::Column::CellId, cell::Column::CellNo])
            .filter(cell::Column::CellId.is_in(piece))
            .into_tuple()
            .all(conn)
            .await
            .map_err(|e| db.err(e))?;
        for (id, no) in rows {
            found.insert(convert::parse(db, id, "cell_id")?, no);
        }
    }
    Ok(found)
}

pub(super) async fn row(db: &Db, cell: &CellId) -> StoreResult<Option<cell::Model>> {
    let conn = db.conn().await?;
    let by_name = cell::Column::CellId.eq(convert::cell_key(cell));
    cell::Entity::find().filter(by_name).one(&*conn).await.map_err(|e| db.err(e))
}

pub(super) async fn head(db: &Db, cell: &CellId) -> StoreResult<Option<Totals>> {
    row(db, cell).await?.map(|m| convert::totals(db, &m)).transpose()
}

pub(super) async fn at(db: &Db, cell: &CellId, seq: u64) -> StoreResult<Option<Totals>> {
    if seq == 0 {
        return Ok(Some(Totals::default()));
    }
    let conn = db.conn().await?;
    let row = ledger_of(cell).filter(ledger::Column::Seq.eq(seq as i64)).one(&*conn).await;
    let row = row.map_err(|e| db.err(e))?;
    row.map(|m| convert::entry(db, m).map(|e| e.totals())).transpose()
}

/// The totals after the last entry of a ledger, whatever the cell's row says.
pub(super) async fn last_entry(
    db: &Db,
    conn: &impl ConnectionTrait,
    no: i32,
) -> StoreResult<Option<Totals>> {
    let row = ledger::Entity::find()
        .filter(ledger::Column::CellNo.eq(no))
        .order_by_desc(ledger::Column::Seq)
        .limit(1)
        .one(conn)
        .await
        .map_err(|e| db.err(e))?;
    row.map(|m| convert::entry(db, m).map(|e| e.totals())).transpose()
}

pub(super) async fn last(db: &Db, cell: &CellId) -> StoreResult<Option<Totals>> {
    let Some(row) = row(db, cell).await? else { return Ok(None) };
    let conn = db.conn().await?;
    Ok(Some(last_entry(db, &*conn, row.cell_no).await?.unwrap_or_default()))
}

pub(super) async fn after(
    db: &Db,
    cell: &CellId,
    seq: u64,
    limit: u64,
) -> StoreResult<Option<LedgerPage>> {
    let Some(row) = row(db, cell).await? else { return Ok(None) };
    let head = convert::totals(db, &row)?;
    let base = at(db, cell, seq).await?;
    let conn = db.conn().await?;
    let rows = ledger::Entity::find()
        .filter(ledger::Column::CellNo.eq(row.cell_no))
        .filter(ledger::Column::Seq.gt(seq as i64))
        .order_by_asc(ledger::Column::Seq)
        .limit(limit)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let entries: StoreResult<Vec<_>> = rows.into_iter().map(|m| convert::entry(db, m)).collect();
    Ok(Some(LedgerPage { base, entries: entries?, head }))
}

/// (buyer, kind, units) of a stretch of a ledger. Positions are gap-free, so the stretch itself is
/// the bound.
pub(super) async fn units(
    db: &Db,
    cell: &CellId,
    from: u64,
    until: u64,
) -> StoreResult<Vec<Moved>> {
    let conn = db.conn().await?;
    let rows: Vec<(i64, Vec<u8>, i8, i8, i64)> = ledger_of(cell)
        .select_only()
        .columns([ledger::Column::Seq, ledger::Column::Buyer])
        .columns([ledger::Column::Kind, ledger::Column::Class, ledger::Column::Qty])
        .filter(ledger::Column::Seq.gt(from as i64))
        .filter(ledger::Column::Seq.lte(until as i64))
        .order_by_asc(ledger::Column::Seq)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let (found, last) = (rows.len() as u64, rows.last().map_or(from, |r| r.0 as u64));
    if last - from > found {
        return Err(db.corrupt(format!("the ledger of {cell} has a hole before {last}")));
    }
    if last < until {
        return Err(StoreError::behind(db.no, cell, last, until));
    }
    let mut out = Vec::with_capacity(rows.len());
    for (_, buyer, kind, class, qty) in rows {
        let kind = convert::kind(db, kind, class)?;
        if kind.is_of_buyer() && !buyer.is_empty() {
            let buyer = convert::text(db, buyer, "ledger.buyer")?;
            out.push(Moved { buyer, units: kind.moves(qty) });
        }
    }
    Ok(out)
}

/// The orders of the range that covers this position.
pub(super) async fn kept_at(db: &Db, cell: &CellId, seq: u64) -> StoreResult<Vec<Kept>> {
    let Some(row) = row(db, cell).await? else { return Ok(Vec::new()) };
    let conn = db.conn().await?;
    let found = unrowed::Entity::find()
        .filter(unrowed::Column::CellNo.eq(row.cell_no))
        .filter(unrowed::Column::FirstSeq.lte(seq as i64))
        .order_by_desc(unrowed::Column::FirstSeq)
        .limit(1)
        .one(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let Some(found) = found.filter(|m| m.last_seq >= seq as i64) else { return Ok(Vec::new()) };
    let orders = kept::unpack(&found.orders);
    orders.ok_or_else(|| db.corrupt(format!("{cell}: the orders at {seq} cannot be read")))
}

pub(super) async fn cells(db: &Db, from: Option<&CellId>, limit: u64) -> StoreResult<Vec<CellId>> {
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

pub(super) async fn unrowed_before(
    db: &Db,
    before: u64,
    limit: u64,
) -> StoreResult<Vec<UnrowedRange>> {
    type Row = (Vec<u8>, i64, i64, i64);
    let conn = db.conn().await?;
    let of_cell = unrowed::Entity::belongs_to(cell::Entity)
        .from(unrowed::Column::CellNo)
        .to(cell::Column::CellNo)
        .into();
    let rows: Vec<Row> = unrowed::Entity::find()
        .select_only()
        .join(JoinType::InnerJoin, of_cell)
        .column(cell::Column::CellId)
        .columns([unrowed::Column::FirstSeq, unrowed::Column::LastSeq, unrowed::Column::AtMs])
        .filter(unrowed::Column::AtMs.lt(before as i64))
        .order_by_asc(unrowed::Column::AtMs)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let range = |(id, first, last, at): Row| {
        Ok(UnrowedRange {
            cell: convert::parse(db, id, "cell_id")?,
            first_seq: first as u64,
            last_seq: last as u64,
            at_ms: at as u64,
        })
    };
    rows.into_iter().map(range).collect()
}

pub(super) async fn finish_unrowed(db: &Db, ranges: &[UnrowedRange]) -> StoreResult<()> {
    let conn = db.conn().await?;
    for piece in ranges.chunks(128) {
        let numbers = numbers(db, &*conn, piece.iter().map(|r| &r.cell)).await?;
        let any = piece.iter().fold(Condition::any(), |c, r| {
            // A number that no cell has: the range went with its cell.
            let no = numbers.get(&r.cell).copied().unwrap_or(0);
            let (first, last) = (r.first_seq as i64, r.last_seq as i64);
            let rows = unrowed::Column::CellNo.eq(no);
            c.add(rows.and(unrowed::Column::FirstSeq.between(first, last)))
        });
        unrowed::Entity::delete_many().filter(any).exec(&*conn).await.map_err(|e| db.err(e))?;
    }
    Ok(())
}
