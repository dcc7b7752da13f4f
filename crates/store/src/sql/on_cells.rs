//! The one transaction of ledger writes besides verdicts: lock the cells, read what the decision
//! asks for, decide, write, commit.

use std::collections::HashMap;

use domain::decide::{Decision, Entered, LastFlag, LedgerFacts, LockedCell, Need, Upshot};
use domain::ledger::{Class, Kind};
use domain::{CellId, Entry, EntryId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait};

use super::db::LockWait;
use super::find::{entries_of, existing};
use super::lock::{FoundCells, LockedCells, last_flag_seq, lock, mend, write};
use super::{Db, convert};
use crate::entity::ledger;
use crate::error::StoreResult;
use crate::port::{Appended, Change};

/// Runs a transaction over these cells. What it decided is committed; whatever else happens, its
/// locks are given back at once.
pub(super) async fn on_cells(
    db: &Db,
    cells: &[&CellId],
    need: Need<'_>,
    at_ms: i64,
    decide: impl FnOnce(&LedgerFacts) -> Decision + Send,
) -> StoreResult<Change> {
    let tx = db.begin().await?;
    let done = within(db, &tx, &Work { cells, need, at_ms }, decide).await;
    db.end(tx, done).await
}

/// What a transaction is about.
struct Work<'a> {
    cells: &'a [&'a CellId],
    need: Need<'a>,
    at_ms: i64,
}

async fn within(
    db: &Db,
    tx: &DatabaseTransaction,
    work: &Work<'_>,
    decide: impl FnOnce(&LedgerFacts) -> Decision + Send,
) -> StoreResult<Change> {
    let Work { cells, need, at_ms } = *work;
    let mut found = lock(db, tx, cells.iter().copied(), LockWait::Usual).await?;
    if matches!(need, Need::Flag(_, wanted) if wanted.is_stop()) {
        // The pause that stops the sale of a broken cell goes on top of its ledger.
        found = FoundCells { cells: mend(db, tx, found).await?, ..FoundCells::default() };
    }
    let Some(mut locked) = found.all(db, cells.len())? else { return Ok(Change::NoCell) };
    let Decision { appends, answer } = decide(&facts(db, tx, cells, &locked, need).await?);
    let mut done = Vec::new();
    if let Some(list) = appends {
        for (n, draft) in list {
            if let Some(cell) = cells.get(n).and_then(|id| locked.get_mut(*id)) {
                cell.append(db, draft, at_ms)?;
            }
        }
        write(db, tx, &locked).await?;
        done = appended(cells.iter().copied(), locked);
    }
    Ok(match answer {
        Upshot::Done => Change::Done(done),
        Upshot::Refused => Change::Refused(done),
        Upshot::OtherUnits => Change::OtherUnits,
        Upshot::Illegal(flag) => Change::Illegal(flag),
    })
}

/// What a transaction appended to these cells.
pub(super) fn appended<'c>(
    cells: impl Iterator<Item = &'c CellId>,
    mut locked: LockedCells,
) -> Vec<Appended> {
    let one = |cell: &CellId| {
        let l = locked.remove(cell)?;
        Some(Appended { cell: cell.clone(), prev: l.prev, entries: l.entries })
    };
    cells.filter_map(one).collect()
}

async fn facts(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: &[&CellId],
    locked: &LockedCells,
    look: Need<'_>,
) -> StoreResult<LedgerFacts> {
    let mut facts = LedgerFacts::default();
    let mut places = HashMap::new();
    for (n, cell) in cells.iter().filter_map(|id| locked.get(*id)).enumerate() {
        places.insert(cell.no, n);
        let last = match look {
            Need::LastFlag => true,
            Need::Flag(_, wanted) => wanted.looks_at_last_flag(),
            Need::Use(_) | Need::Claims(_) => false,
        };
        let last_flag = if last { flag_entry(db, tx, cell.no, cell.flag_seq).await? } else { None };
        let last_flag = last_flag.map(|e| LastFlag { seq: e.seq, note: e.payload });
        facts.cells.push(LockedCell { now: cell.now, entries: Vec::new(), last_flag });
    }
    for (no, known) in entries(db, tx, cells, locked, look).await? {
        match places.get(&no).and_then(|n| facts.cells.get_mut(*n)) {
            Some(cell) => cell.entries.push(known),
            None => facts.elsewhere = true,
        }
    }
    Ok(facts)
}

/// The entries that a decision asks for, each with the number of its cell.
async fn entries(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: &[&CellId],
    locked: &LockedCells,
    look: Need<'_>,
) -> StoreResult<Vec<(i32, Entered)>> {
    let (classes, ids): (&[Class], Vec<EntryId>) = match look {
        Need::Use(id) => (&[Class::Supply, Class::Verdict], vec![id]),
        Need::Flag(id, _) => (&[Class::Flag], vec![id]),
        Need::LastFlag => (&[], Vec::new()),
        Need::Claims(_) => (&[], Vec::new()),
    };
    let mut found = Vec::new();
    for class in classes {
        for ((no, id), (kind, _, qty)) in existing(db, tx, *class, &ids).await? {
            found.push((no, Entered { id, kind, qty, buyer: String::new() }));
        }
    }
    if let (Need::Claims(ids), Some(cell)) = (look, cells.first().and_then(|c| locked.get(*c))) {
        let known = entries_of(db, tx, cell.no, ids).await?;
        found.extend(known.into_iter().map(|e| (cell.no, e)));
    }
    Ok(found)
}

/// The last flag entry of a cell, which its row says is at `seq`: a sale of a million orders has
/// one, at its beginning.
pub(super) async fn flag_entry(
    db: &Db,
    conn: &impl ConnectionTrait,
    no: i32,
    seq: u64,
) -> StoreResult<Option<Entry>> {
    let at = async |seq: u64| {
        let row = ledger::Entity::find_by_id((no, seq as i64)).one(conn).await;
        let entry = row.map_err(|e| db.err(e))?.map(|m| convert::entry(db, m)).transpose()?;
        StoreResult::Ok(entry.filter(|e| e.kind == Kind::Flag))
    };
    if let Some(flag) = at(seq).await? {
        return Ok(Some(flag));
    }
    // What the row says is no flag entry: the ledger knows.
    at(last_flag_seq(db, conn, no).await?).await
}
