//! Supply, flags, transfers, releases, and the cells of a new offer: the ledger writes that no
//! frame asks for. One transaction each, over all the cells of a call.

use std::collections::BTreeMap;

use domain::drift::repaired_flag;
use domain::ledger::{Class, Draft, Flag, Kind};
use domain::{CellId, Entry, OrderId, Totals};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::verdicts::{Locked, existing, lock, write};
use super::{Db, convert};
use crate::entity::{cell, ledger};
use crate::error::StoreResult;
use crate::port::{Appended, Change};

type LockedCells = BTreeMap<Vec<u8>, Locked>;

fn draft(kind: Kind, id: OrderId, qty: i64) -> Draft {
    Draft { kind, order: id, buyer: String::new(), qty, payload: Vec::new() }
}

fn appended(cells: impl Iterator<Item = CellId>, mut locked: LockedCells) -> Vec<Appended> {
    cells
        .filter_map(|cell| {
            let l = locked.remove(&convert::cell_key(&cell))?;
            Some(Appended { cell, prev: l.prev, entries: l.entries })
        })
        .collect()
}

async fn finish(
    db: &Db,
    tx: DatabaseTransaction,
    cells: impl Iterator<Item = CellId>,
    locked: LockedCells,
) -> StoreResult<Vec<Appended>> {
    write(db, &tx, &locked).await?;
    db.commit(tx).await?;
    Ok(appended(cells, locked))
}

/// Cells of a new offer: row, supply entry, flag(open). Existing cells are left alone.
pub(super) async fn create(
    db: &Db,
    cells: &[(CellId, i64)],
    (supply_id, flag_id): (OrderId, OrderId),
    at_ms: i64,
) -> StoreResult<Vec<Appended>> {
    let tx = db.begin().await?;
    let have = lock(db, &tx, cells.iter().map(|c| &c.0)).await?;
    let mut fresh = LockedCells::new();
    for (cell, units) in cells {
        let key = convert::cell_key(cell);
        if have.contains_key(&key) {
            continue;
        }
        let empty = Totals::default();
        let row = convert::cell_row(key.clone(), &empty);
        cell::Entity::insert(row).exec_without_returning(&tx).await.map_err(|e| db.err(e))?;
        let mut l = Locked { key: key.clone(), prev: empty, now: empty, entries: Vec::new() };
        l.append(db, draft(Kind::Supply, supply_id, *units), at_ms)?;
        l.append(db, draft(Kind::Flag, flag_id, Flag::Open as i64), at_ms)?;
        fresh.insert(key, l);
    }
    finish(db, tx, cells.iter().map(|c| c.0.clone()), fresh).await
}

/// What an earlier call with this id left in these cells, over both signs.
async fn earlier(
    db: &Db,
    tx: &DatabaseTransaction,
    id: OrderId,
) -> StoreResult<Vec<(Vec<u8>, Kind, i64)>> {
    let mut found = Vec::new();
    for class in [Class::Supply, Class::Verdict] {
        let entries = existing(db, tx, class, &[id]).await?;
        found.extend(entries.into_iter().map(|((cell, _), (kind, _, qty))| (cell, kind, qty)));
    }
    Ok(found)
}

pub(super) async fn supply(
    db: &Db,
    cells: &[(CellId, i64)],
    id: OrderId,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let mut locked = lock(db, &tx, cells.iter().map(|c| &c.0)).await?;
    if locked.len() != cells.len() {
        return Ok(Change::NoCell);
    }
    let before = earlier(db, &tx, id).await?;
    if !before.is_empty() {
        let same = cells.iter().all(|(cell, units)| {
            let key = convert::cell_key(cell);
            before.iter().any(|(k, kind, q)| *k == key && *kind == Kind::Supply && q == units)
        });
        return Ok(if same { Change::Done(Vec::new()) } else { Change::OtherUnits });
    }
    for (cell, units) in cells {
        if let Some(l) = locked.get_mut(&convert::cell_key(cell)) {
            l.append(db, draft(Kind::Supply, id, *units), at_ms)?;
        }
    }
    Ok(Change::Done(finish(db, tx, cells.iter().map(|c| c.0.clone()), locked).await?))
}

pub(super) async fn flag(
    db: &Db,
    cells: &[CellId],
    id: OrderId,
    (to, from): (Flag, &[Flag]),
    (note, at_ms): (&[u8], i64),
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let mut locked = lock(db, &tx, cells.iter()).await?;
    if locked.len() != cells.len() {
        return Ok(Change::NoCell);
    }
    let before = existing(db, &tx, Class::Flag, &[id]).await?;
    if !before.is_empty() {
        return Ok(Change::Done(Vec::new()));
    }
    if let Some(l) = locked.values().find(|l| l.now.open != to && !from.contains(&l.now.open)) {
        return Ok(Change::Illegal(l.now.open));
    }
    for l in locked.values_mut() {
        let overrides = note.is_empty()
            && to == Flag::Paused
            && last_flag(db, &tx, &l.key)
                .await?
                .is_some_and(|e| repaired_flag(&e.payload).is_some());
        if l.now.open == to && !overrides {
            continue;
        }
        let entry = Draft { payload: note.to_vec(), ..draft(Kind::Flag, id, to as i64) };
        l.append(db, entry, at_ms)?;
    }
    Ok(Change::Done(finish(db, tx, cells.iter().cloned(), locked).await?))
}

/// The last flag entry of a cell.
pub(super) async fn last_flag(
    db: &Db,
    conn: &impl ConnectionTrait,
    key: &[u8],
) -> StoreResult<Option<Entry>> {
    let row = ledger::Entity::find()
        .filter(ledger::Column::CellId.eq(key))
        .filter(ledger::Column::Kind.eq(Kind::Flag as i8))
        .order_by_desc(ledger::Column::Seq)
        .limit(1)
        .one(conn)
        .await
        .map_err(|e| db.err(e))?;
    row.map(|m| convert::entry(db, m)).transpose()
}

pub(super) async fn restore(
    db: &Db,
    cell: &CellId,
    id: OrderId,
    pause_seq: u64,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let mut locked = lock(db, &tx, std::iter::once(cell)).await?;
    let key = convert::cell_key(cell);
    let Some(l) = locked.get_mut(&key) else {
        return Ok(Change::NoCell);
    };
    let last = last_flag(db, &tx, &key).await?.filter(|e| e.seq == pause_seq);
    let Some(flag) = last.and_then(|e| repaired_flag(&e.payload)) else {
        return Ok(Change::Done(Vec::new()));
    };
    l.append(db, draft(Kind::Flag, id, flag as i64), at_ms)?;
    Ok(Change::Done(finish(db, tx, std::iter::once(cell.clone()), locked).await?))
}

pub(super) async fn transfer(
    db: &Db,
    id: OrderId,
    (from, to): (&CellId, Option<&CellId>),
    units: i64,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let cells: Vec<CellId> = std::iter::once(from).chain(to).cloned().collect();
    let mut locked = lock(db, &tx, cells.iter()).await?;
    if locked.len() != cells.len() {
        return Ok(Change::NoCell);
    }
    let key = convert::cell_key(from);
    let before = earlier(db, &tx, id).await?;
    let Some(source) = locked.get_mut(&key) else {
        return Ok(Change::NoCell);
    };
    let here = |class: Class| before.iter().find(|b| b.0 == key && b.1.class() == class);
    match (here(Class::Supply), here(Class::Verdict)) {
        (None, None) => {}
        (None, Some((_, Kind::TransferOut, qty))) if *qty == units => {
            return Ok(Change::Done(Vec::new()));
        }
        (None, Some((_, Kind::Reject, _))) => return Ok(Change::Refused(Vec::new())),
        (Some(_), None) => {
            // The id added units: without a verdict the hold of this call would stay for ever.
            source.append(db, draft(Kind::Reject, id, 0), at_ms)?;
            finish(db, tx, cells.into_iter(), locked).await?;
            return Ok(Change::OtherUnits);
        }
        (_, Some(_)) => return Ok(Change::OtherUnits),
    }
    let fits = source.now.supply - units >= source.now.net;
    if fits {
        source.append(db, draft(Kind::TransferOut, id, units), at_ms)?;
        if let Some(target) = to.and_then(|t| locked.get_mut(&convert::cell_key(t))) {
            target.append(db, draft(Kind::Supply, id, units), at_ms)?;
        }
    } else {
        source.append(db, draft(Kind::Reject, id, 0), at_ms)?;
    }
    let done = finish(db, tx, cells.into_iter(), locked).await?;
    Ok(if fits { Change::Done(done) } else { Change::Refused(done) })
}

pub(super) async fn release(
    db: &Db,
    cell: &CellId,
    orders: &[OrderId],
    at_ms: i64,
) -> StoreResult<Appended> {
    let tx = db.begin().await?;
    let mut locked = lock(db, &tx, std::iter::once(cell)).await?;
    let key = convert::cell_key(cell);
    let claims = claims_of(db, &tx, &key, orders).await?;
    let released = existing(db, &tx, Class::Release, orders).await?;
    let Some(l) = locked.get_mut(&key) else {
        return Err(db.corrupt(format!("release on a cell without a row: {cell}")));
    };
    for (order, buyer, qty) in claims {
        if released.contains_key(&(key.clone(), order)) {
            continue;
        }
        let entry = Draft { buyer, ..draft(Kind::Release, order, qty) };
        l.append(db, entry, at_ms)?;
    }
    let prev = l.prev;
    let done = finish(db, tx, std::iter::once(cell.clone()), locked).await?;
    let entries = done.into_iter().next().map(|a| a.entries).unwrap_or_default();
    Ok(Appended { cell: cell.clone(), prev, entries })
}

/// (order, buyer, units) of the claims among `orders`, each once, in the order asked.
async fn claims_of(
    db: &Db,
    tx: &DatabaseTransaction,
    key: &[u8],
    orders: &[OrderId],
) -> StoreResult<Vec<(OrderId, String, i64)>> {
    let rows = super::reads::verdict_rows(db, tx, key, orders).await?;
    let mut out: Vec<(OrderId, String, i64)> = Vec::new();
    for row in rows.into_iter().filter(|r| r.kind == Kind::Claim as i8) {
        let order = convert::order_id(db, &row.order_id)?;
        if !out.iter().any(|o| o.0 == order) {
            out.push((order, convert::text(db, row.buyer, "ledger.buyer")?, row.qty));
        }
    }
    Ok(out)
}
