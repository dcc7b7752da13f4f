//! Supply, flags, transfers, releases, and the cells of a new offer: the ledger writes that no
//! frame asks for. One transaction each, over all the cells of a call.

use domain::drift::{is_broken, repaired_flag};
use domain::ledger::{Class, Draft, Flag, Kind};
use domain::{CellId, Entry, EntryId, OrderId};
use sea_orm::{ActiveValue, ConnectionTrait, DatabaseTransaction, EntityTrait};

use super::lock::{Found, Locked, LockedCells, Wait, lock, mend, write};
use super::verdicts::existing;
use super::{Db, convert, reads};
use crate::entity::{cell, ledger};
use crate::error::StoreResult;
use crate::port::{Appended, Change};

fn draft(kind: Kind, id: EntryId, qty: i64) -> Draft {
    Draft { kind, id, buyer: String::new(), qty, payload: Vec::new() }
}

fn appended(cells: impl Iterator<Item = CellId>, mut locked: LockedCells) -> Vec<Appended> {
    cells
        .filter_map(|cell| {
            let l = locked.remove(&cell)?;
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
    (supply_id, flag_id): (EntryId, EntryId),
    at_ms: i64,
) -> StoreResult<Vec<Appended>> {
    let tx = db.begin().await?;
    let have = lock(db, &tx, cells.iter().map(|c| &c.0), Wait::Usual).await?;
    let mut fresh = LockedCells::new();
    for (cell, units) in cells {
        if have.cells.contains_key(cell) || have.broken.contains_key(cell) {
            continue;
        }
        let mut l = Locked::new(insert_row(db, &tx, cell).await?);
        l.append(db, draft(Kind::Supply, supply_id, *units), at_ms)?;
        l.append(db, draft(Kind::Flag, flag_id, Flag::Open as i64), at_ms)?;
        fresh.insert(cell.clone(), l);
    }
    finish(db, tx, cells.iter().map(|c| c.0.clone()), fresh).await
}

/// The row of a new cell; its number.
async fn insert_row(db: &Db, tx: &DatabaseTransaction, cell: &CellId) -> StoreResult<i32> {
    let row = convert::cell_row(cell, &Locked::new(0));
    let row = cell::ActiveModel { cell_no: ActiveValue::NotSet, ..row };
    let done = cell::Entity::insert(row).exec(tx).await.map_err(|e| db.err(e))?;
    Ok(done.last_insert_id)
}

/// Locks all these cells; `None` when one has no row.
async fn lock_all(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: &[&CellId],
) -> StoreResult<Option<LockedCells>> {
    lock(db, tx, cells.iter().copied(), Wait::Usual).await?.all(db, cells.len())
}

/// What an earlier call with this id left in these cells, over both signs.
async fn earlier(
    db: &Db,
    tx: &DatabaseTransaction,
    id: EntryId,
) -> StoreResult<Vec<(i32, Kind, i64)>> {
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
    id: EntryId,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let ids: Vec<&CellId> = cells.iter().map(|c| &c.0).collect();
    let Some(mut locked) = lock_all(db, &tx, &ids).await? else {
        return Ok(Change::NoCell);
    };
    let before = earlier(db, &tx, id).await?;
    if !before.is_empty() {
        let same = cells.iter().all(|(cell, units)| {
            let no = locked[cell].no;
            before.iter().any(|(n, kind, q)| *n == no && *kind == Kind::Supply && q == units)
        });
        return Ok(if same { Change::Done(Vec::new()) } else { Change::OtherUnits });
    }
    for (cell, units) in cells {
        if let Some(l) = locked.get_mut(cell) {
            l.append(db, draft(Kind::Supply, id, *units), at_ms)?;
        }
    }
    Ok(Change::Done(finish(db, tx, cells.iter().map(|c| c.0.clone()), locked).await?))
}

pub(super) async fn flag(
    db: &Db,
    cells: &[CellId],
    id: EntryId,
    (to, from): (Flag, &[Flag]),
    (note, at_ms): (&[u8], i64),
) -> StoreResult<Change> {
    // A stop concerns what is open, and sets the rows of the others right all the same.
    let stop = is_broken(note);
    let tx = db.begin().await?;
    let mut found = lock(db, &tx, cells.iter(), Wait::Usual).await?;
    if stop {
        // The pause that stops the sale of a broken cell goes on top of its ledger.
        found = Found { cells: mend(db, &tx, found).await?, ..Found::default() };
    }
    let Some(mut locked) = found.all(db, cells.len())? else {
        return Ok(Change::NoCell);
    };
    let before = existing(db, &tx, Class::Flag, &[id]).await?;
    if !before.is_empty() {
        return Ok(Change::Done(Vec::new()));
    }
    let legal = |open: Flag| open == to || from.contains(&open);
    if let Some(l) = locked.values().find(|l| !stop && !legal(l.now.open)) {
        return Ok(Change::Illegal(l.now.open));
    }
    for l in locked.values_mut().filter(|l| legal(l.now.open)) {
        let overrides = note.is_empty()
            && to == Flag::Paused
            && flag_entry(db, &tx, l.no, l.flag_seq)
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

/// The last flag entry of a cell. Its row knows where it is: a sale of a million orders has one,
/// at its beginning.
pub(super) async fn last_flag(db: &Db, cell: &CellId) -> StoreResult<Option<Entry>> {
    let Some(row) = reads::row(db, cell).await? else { return Ok(None) };
    let conn = db.conn().await?;
    flag_entry(db, &*conn, row.cell_no, row.flag_seq as u64).await
}

async fn flag_entry(
    db: &Db,
    conn: &impl ConnectionTrait,
    no: i32,
    seq: u64,
) -> StoreResult<Option<Entry>> {
    let row = ledger::Entity::find_by_id((no, seq as i64)).one(conn).await;
    let entry = row.map_err(|e| db.err(e))?.map(|m| convert::entry(db, m)).transpose()?;
    Ok(entry.filter(|e| e.kind == Kind::Flag))
}

pub(super) async fn restore(
    db: &Db,
    cell: &CellId,
    id: EntryId,
    pause_seq: u64,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let Some(mut locked) = lock_all(db, &tx, &[cell]).await? else {
        return Ok(Change::NoCell);
    };
    let Some(l) = locked.get_mut(cell) else {
        return Ok(Change::NoCell);
    };
    let last = flag_entry(db, &tx, l.no, l.flag_seq).await?.filter(|e| e.seq == pause_seq);
    let Some(flag) = last.and_then(|e| repaired_flag(&e.payload)) else {
        return Ok(Change::Done(Vec::new()));
    };
    l.append(db, draft(Kind::Flag, id, flag as i64), at_ms)?;
    Ok(Change::Done(finish(db, tx, std::iter::once(cell.clone()), locked).await?))
}

pub(super) async fn transfer(
    db: &Db,
    id: EntryId,
    (from, to): (&CellId, Option<&CellId>),
    units: i64,
    at_ms: i64,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let cells: Vec<CellId> = std::iter::once(from).chain(to).cloned().collect();
    let Some(mut locked) = lock_all(db, &tx, &cells.iter().collect::<Vec<_>>()).await? else {
        return Ok(Change::NoCell);
    };
    let before = earlier(db, &tx, id).await?;
    let Some(source) = locked.get_mut(from) else {
        return Ok(Change::NoCell);
    };
    let no = source.no;
    let here = |class: Class| before.iter().find(|b| b.0 == no && b.1.class() == class);
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
        if let Some(target) = to.and_then(|t| locked.get_mut(t)) {
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
    let locked = lock_all(db, &tx, &[cell]).await?;
    let ids: Vec<EntryId> = orders.iter().map(|o| EntryId::from(*o)).collect();
    let claims = claims_of(db, &tx, cell, &ids).await?;
    let released = existing(db, &tx, Class::Release, &ids).await?;
    let mut locked = locked.unwrap_or_default();
    let Some(l) = locked.get_mut(cell) else {
        return Err(db.corrupt(format!("release on a cell without a row: {cell}")));
    };
    for (id, buyer, qty) in claims {
        if released.contains_key(&(l.no, id)) {
            continue;
        }
        let entry = Draft { buyer, ..draft(Kind::Release, id, qty) };
        l.append(db, entry, at_ms)?;
    }
    let prev = l.prev;
    let done = finish(db, tx, std::iter::once(cell.clone()), locked).await?;
    let entries = done.into_iter().next().map(|a| a.entries).unwrap_or_default();
    Ok(Appended { cell: cell.clone(), prev, entries })
}

/// (id, buyer, units) of the claims among `ids`, each once, in the order asked.
async fn claims_of(
    db: &Db,
    tx: &DatabaseTransaction,
    cell: &CellId,
    ids: &[EntryId],
) -> StoreResult<Vec<(EntryId, String, i64)>> {
    let rows = reads::verdict_rows(db, tx, cell, ids).await?;
    let mut out: Vec<(EntryId, String, i64)> = Vec::new();
    for row in rows.into_iter().filter(|r| r.kind == Kind::Claim as i8) {
        let id = convert::entry_id(db, &row.order_id)?;
        if !out.iter().any(|o| o.0 == id) {
            out.push((id, convert::text(db, row.buyer, "ledger.buyer")?, row.qty));
        }
    }
    Ok(out)
}
