//! The primitive of every ledger write: lock the cells, append, write.
//!
//! Cells are locked in the order of their names, so two transactions never wait for each other in
//! a circle. Each row is read together with the ledger entry at its position, and a row that is
//! not what that entry says (INV-2) is not appended to: an entry on top of it would hide it. The
//! counters are computed by `domain::Totals::append` and nowhere else (INV-1).

use std::collections::BTreeMap;

use domain::ledger::{Draft, Kind};
use domain::{CellId, Entry, Totals};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    QueryFilter, QueryOrder, QueryResult, QuerySelect, Statement, Value,
};

use super::db::LockWait;
use super::{Db, convert, insert, reads};
use crate::entity::{cell, ledger};
use crate::error::{StoreError, StoreResult};
use crate::ladder;
use crate::port::Proven;

/// A locked cell and what this transaction appends to it.
pub(super) struct Locked {
    /// The database's number of the cell.
    pub no: i32,
    pub prev: Totals,
    pub now: Totals,
    pub entries: Vec<Entry>,
    /// Position of the last flag entry.
    pub flag_seq: u64,
    /// The row is wrong and has to be written even if nothing is appended.
    mended: bool,
}

pub(super) type LockedCells = BTreeMap<CellId, Locked>;

impl Locked {
    /// A cell whose row has just been inserted.
    pub(super) fn new(no: i32) -> Self {
        let empty = Totals::default();
        let entries = Vec::new();
        Self { no, prev: empty, now: empty, entries, flag_seq: 0, mended: false }
    }

    pub(super) fn append(&mut self, db: &Db, draft: Draft, at_ms: i64) -> StoreResult<u64> {
        let is_flag = draft.kind == Kind::Flag;
        let entry = self.now.append(draft, at_ms).map_err(|e| db.corrupt(e.to_string()))?;
        self.entries.push(entry);
        if is_flag {
            self.flag_seq = self.now.seq;
        }
        Ok(self.now.seq)
    }
}

/// What was found when cells were to be locked. A cell without a row is in neither part.
#[derive(Default)]
pub(super) struct FoundCells {
    /// Locked.
    pub cells: LockedCells,
    /// Locked too, but the row is not the ledger's fold.
    pub broken: BTreeMap<CellId, Locked>,
}

impl FoundCells {
    /// The cells when all are sound and have a row; `None` when one has none.
    pub(super) fn all(self, db: &Db, cells: usize) -> StoreResult<Option<LockedCells>> {
        match self.broken.into_keys().next() {
            Some(cell) => Err(StoreError::Broken { db: db.no, cell }),
            None => Ok(Some(self.cells).filter(|c| c.len() == cells)),
        }
    }
}

/// Locks cell rows in cell order.
pub(super) async fn lock(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: impl Iterator<Item = &CellId>,
    wait: LockWait,
) -> StoreResult<FoundCells> {
    let mut keys: Vec<Vec<u8>> = cells.map(convert::cell_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut found = FoundCells::default();
    for piece in ladder::padded(&keys, db.most) {
        let text = text(db.backend, piece.len(), wait);
        let values: Vec<Value> = piece.into_iter().map(Value::from).collect();
        let statement = Statement::from_sql_and_values(db.backend, text, values);
        for row in tx.query_all_raw(statement).await.map_err(|e| db.err(e))? {
            let (id, locked, sound) = read(db, &row)?;
            let part = if sound { &mut found.cells } else { &mut found.broken };
            part.insert(id, locked);
        }
    }
    Ok(found)
}

/// The totals at a position of a locked cell.
async fn locked_entry(
    db: &Db,
    tx: &DatabaseTransaction,
    no: i32,
    seq: u64,
) -> StoreResult<Option<Totals>> {
    if seq == 0 {
        return Ok(Some(Totals::default()));
    }
    let entry = ledger::Entity::find_by_id((no, seq as i64)).lock_exclusive().one(tx).await;
    let entry = entry.map_err(|e| db.err(e))?.map(|m| convert::entry(db, m)).transpose()?;
    Ok(entry.map(|e| e.totals()))
}

/// A cell's row and what its ledger says, in one transaction that locks the row: nothing of it is
/// older than the rest, nor answered by a replica that a balancer asks for plain reads.
pub(super) async fn proven(db: &Db, cell: &CellId, seq: u64) -> StoreResult<Option<Proven>> {
    let tx = db.begin().await?;
    let read = async {
        let found = lock(db, &tx, std::iter::once(cell), LockWait::Usual).await?;
        let locked = found.cells.into_values().chain(found.broken.into_values()).next();
        let Some(Locked { no, prev: head, .. }) = locked else { return Ok(None) };
        let last = reads::last_entry(db, &tx, no).await?.unwrap_or_default();
        let folded = locked_entry(db, &tx, no, head.seq).await?;
        let at = locked_entry(db, &tx, no, seq).await?;
        Ok(Some(Proven { head, folded, last, at }))
    };
    let done = read.await;
    db.end(tx, done).await
}

fn text(backend: DbBackend, n: usize, wait: LockWait) -> String {
    let holes = vec!["?"; n].join(",");
    // Whatever the statistics say: a scan would lock every row that it passes.
    let (index, lock) = match (backend, wait) {
        (DbBackend::MySql, LockWait::Usual) => ("FORCE INDEX (cell_name)", "FOR UPDATE"),
        (DbBackend::MySql, LockWait::Skip) => ("FORCE INDEX (cell_name)", "FOR UPDATE SKIP LOCKED"),
        _ => ("", ""),
    };
    format!(
        "SELECT c.cell_id, c.cell_no, c.supply, c.net, c.seq, c.open, c.tok, c.flag_seq, \
         l.supply_after, l.net_after, l.open_after, l.tok \
         FROM cell c {index} LEFT JOIN ledger l ON l.cell_no = c.cell_no AND l.seq = c.seq \
         WHERE c.cell_id IN ({holes}) ORDER BY c.cell_id {lock}"
    )
}

fn read(db: &Db, row: &QueryResult) -> StoreResult<(CellId, Locked, bool)> {
    type Row = (Vec<u8>, i32, i64, i64, i64, i8, i64, i64);
    type Last = (Option<i64>, Option<i64>, Option<i8>, Option<i64>);
    let (id, no, supply, net, seq, open, tok, flag_seq): Row = (
        col(db, row, 0)?,
        col(db, row, 1)?,
        col(db, row, 2)?,
        col(db, row, 3)?,
        col(db, row, 4)?,
        col(db, row, 5)?,
        col(db, row, 6)?,
        col(db, row, 7)?,
    );
    let last: Last = (col(db, row, 8)?, col(db, row, 9)?, col(db, row, 10)?, col(db, row, 11)?);
    let sound = match last {
        (Some(s), Some(n), Some(o), Some(t)) => (s, n, o, t) == (supply, net, open, tok),
        _ => (supply, net, seq, open, tok) == (0, 0, 0, 0, 0),
    };
    let cell = convert::parse(db, id, "cell_id")?;
    // A flag that is none is as wrong as any other false value.
    let (open, sound) = match convert::flag(db, open) {
        Ok(open) => (open, sound),
        Err(_) => (Default::default(), false),
    };
    let tok = domain::ledger::Tok(tok as u64);
    let prev = Totals { supply, net, seq: seq as u64, open, tok };
    let flag_seq = flag_seq as u64;
    let locked = Locked { no, prev, now: prev, entries: Vec::new(), flag_seq, mended: false };
    Ok((cell, locked, sound))
}

fn col<T: sea_orm::TryGetable>(db: &Db, row: &QueryResult, n: usize) -> StoreResult<T> {
    row.try_get_by_index(n).map_err(|e| db.err(e))
}

/// Puts cells aside whose ledger goes on beyond their row, as it does when the row alone was
/// restored from an older copy. Looked at only when an entry's place was found taken.
pub(super) async fn look_beyond(
    db: &Db,
    tx: &DatabaseTransaction,
    found: &mut FoundCells,
) -> StoreResult<()> {
    let mut beyond = Vec::new();
    for (id, locked) in &found.cells {
        let last = reads::last_entry(db, tx, locked.no).await?;
        if last.is_some_and(|t| t.seq > locked.prev.seq) {
            beyond.push(id.clone());
        }
    }
    for id in beyond {
        if let Some((id, locked)) = found.cells.remove_entry(&id) {
            found.broken.insert(id, locked);
        }
    }
    Ok(())
}

/// Puts broken rows right: the ledger is append-only and chained, so its last entry says what the
/// row has to be.
pub(super) async fn mend(
    db: &Db,
    tx: &DatabaseTransaction,
    mut found: FoundCells,
) -> StoreResult<LockedCells> {
    look_beyond(db, tx, &mut found).await?;
    for (id, mut locked) in found.broken {
        let last = reads::last_entry(db, tx, locked.no).await?.unwrap_or_default();
        tracing::error!(cell = %id, row = ?locked.prev, ledger = ?last, "a row is set right");
        locked.prev = last;
        locked.now = last;
        locked.flag_seq = last_flag_seq(db, tx, locked.no).await?;
        locked.mended = true;
        found.cells.insert(id, locked);
    }
    Ok(found.cells)
}

/// The position of the last flag entry, found without the row's word for it.
pub(super) async fn last_flag_seq(
    db: &Db,
    conn: &impl ConnectionTrait,
    no: i32,
) -> StoreResult<u64> {
    let found: Option<i64> = ledger::Entity::find()
        .select_only()
        .column(ledger::Column::Seq)
        .filter(ledger::Column::CellNo.eq(no))
        .filter(ledger::Column::Kind.eq(Kind::Flag.number()))
        .order_by_desc(ledger::Column::Seq)
        .limit(1)
        .into_tuple()
        .one(conn)
        .await
        .map_err(|e| db.err(e))?;
    Ok(found.unwrap_or(0) as u64)
}

/// Writes what was appended: ledger rows, cell rows.
pub(super) async fn write(
    db: &Db,
    tx: &DatabaseTransaction,
    locked: &LockedCells,
) -> StoreResult<()> {
    let changed = || locked.iter().filter(|(_, l)| l.mended || !l.entries.is_empty());
    let rows: Vec<ledger::ActiveModel> = changed()
        .flat_map(|(_, l)| l.entries.iter().map(|e| convert::entry_row(l.no, e)))
        .collect();
    insert::many(db, tx, rows, None).await?;
    let cells: Vec<cell::ActiveModel> = changed().map(|(id, l)| cell_row(id, l)).collect();
    let overwrite = OnConflict::column(cell::Column::CellNo)
        .update_columns([
            cell::Column::Supply,
            cell::Column::Net,
            cell::Column::Seq,
            cell::Column::Open,
            cell::Column::Tok,
            cell::Column::FlagSeq,
        ])
        .to_owned();
    insert::many(db, tx, cells, Some(overwrite)).await
}

/// The row of a cell as it is to be written.
pub(super) fn cell_row(id: &CellId, l: &Locked) -> cell::ActiveModel {
    let t = &l.now;
    cell::ActiveModel {
        cell_no: Set(l.no),
        cell_id: Set(convert::cell_key(id)),
        supply: Set(t.supply),
        net: Set(t.net),
        seq: Set(t.seq as i64),
        open: Set(t.open as i8),
        tok: Set(t.tok.0 as i64),
        flag_seq: Set(l.flag_seq as i64),
    }
}
