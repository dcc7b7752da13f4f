//! Supply, flags, transfers, givebacks, and the cells of a new offer: the ledger writes that no
//! frame asks for. One transaction each, over all the cells of a call; what they decide is
//! `domain::decide`'s.

use domain::decide::{self, Decision, FlagWish, LedgerFacts, Need};
use domain::giveback::give_back as decided_givebacks;
use domain::{CellId, Entry, EntryId, Giveback};
use sea_orm::{ActiveValue, DatabaseTransaction, EntityTrait};

use super::db::LockWait;
use super::lock::{Locked, LockedCells, cell_row, lock, write};
use super::on_cells::{appended, flag_entry, on_cells};
use super::{Db, reads};
use crate::entity::cell;
use crate::error::StoreResult;
use crate::port::{Appended, Change, GivenBack};

/// Cells of a new offer: row, supply entry, flag(open). Existing cells are left alone.
pub(super) async fn create(
    db: &Db,
    cells: &[(CellId, i64)],
    ids: (EntryId, EntryId),
    at_ms: i64,
) -> StoreResult<Vec<Appended>> {
    let tx = db.begin().await?;
    let done = create_in(db, &tx, cells, ids, at_ms).await;
    db.end(tx, done).await
}

async fn create_in(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: &[(CellId, i64)],
    ids: (EntryId, EntryId),
    at_ms: i64,
) -> StoreResult<Vec<Appended>> {
    let have = lock(db, tx, cells.iter().map(|c| &c.0), LockWait::Usual).await?;
    let mut fresh = LockedCells::new();
    for (cell, units) in cells {
        if have.cells.contains_key(cell) || have.broken.contains_key(cell) {
            continue;
        }
        let mut l = Locked::new(insert_row(db, tx, cell).await?);
        for draft in decide::opening(*units, ids.0, ids.1) {
            l.append(db, draft, at_ms)?;
        }
        fresh.insert(cell.clone(), l);
    }
    write(db, tx, &fresh).await?;
    Ok(appended(cells.iter().map(|c| &c.0), fresh))
}

/// The row of a new cell; its number.
async fn insert_row(db: &Db, tx: &DatabaseTransaction, cell: &CellId) -> StoreResult<i32> {
    let row = cell_row(cell, &Locked::new(0));
    let row = cell::ActiveModel { cell_no: ActiveValue::NotSet, ..row };
    let done = cell::Entity::insert(row).exec(tx).await.map_err(|e| db.err(e))?;
    Ok(done.last_insert_id)
}

pub(super) async fn supply(
    db: &Db,
    cells: &[(CellId, i64)],
    id: EntryId,
    at_ms: i64,
) -> StoreResult<Change> {
    let names: Vec<&CellId> = cells.iter().map(|c| &c.0).collect();
    let units: Vec<i64> = cells.iter().map(|c| c.1).collect();
    on_cells(db, &names, Need::Use(id), at_ms, |facts| decide::supply(facts, &units, id)).await
}

pub(super) async fn flag(
    db: &Db,
    cells: &[CellId],
    id: EntryId,
    wanted: FlagWish<'_>,
    at_ms: i64,
) -> StoreResult<Change> {
    let names: Vec<&CellId> = cells.iter().collect();
    on_cells(db, &names, Need::Flag(id, wanted), at_ms, |facts| decide::flag(facts, id, wanted))
        .await
}

/// The last flag entry of a cell.
pub(super) async fn last_flag(db: &Db, cell: &CellId) -> StoreResult<Option<Entry>> {
    let Some(row) = reads::row(db, cell).await? else { return Ok(None) };
    let conn = db.conn().await?;
    flag_entry(db, &*conn, row.cell_no, row.flag_seq as u64).await
}

pub(super) async fn restore(
    db: &Db,
    cell: &CellId,
    id: EntryId,
    pause_seq: u64,
    at_ms: i64,
) -> StoreResult<Change> {
    on_cells(db, &[cell], Need::LastFlag, at_ms, |facts| decide::restore(facts, id, pause_seq))
        .await
}

/// Units leave the first of one or two cells for the second.
pub(super) async fn transfer(
    db: &Db,
    cells: &[&CellId],
    id: EntryId,
    units: i64,
    at_ms: i64,
) -> StoreResult<Change> {
    on_cells(db, cells, Need::Use(id), at_ms, |facts| decide::transfer(facts, id, units)).await
}

pub(super) async fn give_back(
    db: &Db,
    cell: &CellId,
    all: &[Giveback],
    at_ms: i64,
) -> StoreResult<GivenBack> {
    let ids: Vec<EntryId> = all.iter().map(Giveback::entry).collect();
    let mut refused = Vec::new();
    let decided = |facts: &LedgerFacts| {
        let given = decided_givebacks(facts, all);
        refused = given.refused;
        Decision::on_first(given.drafts)
    };
    let done = on_cells(db, &[cell], Need::Claims(&ids), at_ms, decided).await?;
    let Change::Done(appended) = done else {
        return Err(db.corrupt(format!("givebacks to a cell without a row: {cell}")));
    };
    let first = appended.into_iter().next();
    let appended = first.ok_or_else(|| db.corrupt(format!("no answer of {cell}")))?;
    Ok(GivenBack { appended, refused })
}
