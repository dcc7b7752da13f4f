//! A database that comes back without its last commits: all of it, or the ledger of one cell. And a
//! hand that writes into a cell's row. And a replica that is behind.

use std::sync::Arc;

use domain::CellId;

use super::state::{Database, MemoryStore, SavedDatabase, State};

impl MemoryStore {
    /// What the database has now.
    pub fn save(&self, no: u16) -> SavedDatabase {
        let state = self.shared.state.lock();
        let tables = state.dbs.get(usize::from(no)).cloned().unwrap_or_default();
        let rest = || Box::new(State { dbs: Vec::new(), ..state.clone() });
        SavedDatabase { tables, rest: (no == 0).then(rest) }
    }

    /// The same store for somebody whose plain reads of this database a replica answers that has
    /// no more than what was saved. Reads that lock, and [`store::LedgerRead::find_verdicts`],
    /// which must be the primary's, are current, and so is every transaction.
    pub fn behind(&self, no: u16, saved: Arc<SavedDatabase>) -> Self {
        Self { replica: Some((no, saved)), ..self.clone() }
    }

    /// The database is what was saved; how many ledger entries are gone.
    pub fn restore(&self, no: u16, saved: SavedDatabase) -> usize {
        let mut state = self.shared.state.lock();
        let entries = |db: &Database| db.cells.values().map(|c| c.entries.len()).sum::<usize>();
        let kept = entries(&saved.tables);
        let before = match state.dbs.get_mut(usize::from(no)) {
            Some(db) => entries(&std::mem::replace(db, saved.tables)),
            None => return 0,
        };
        if let Some(rest) = saved.rest {
            let (dbs, commits) = (std::mem::take(&mut state.dbs), state.commits);
            *state = State { dbs, commits, ..*rest };
        }
        state.commits += 1;
        before.saturating_sub(kept)
    }

    /// The database loses the commits of one cell after `seq`. The rows of the orders are
    /// elsewhere and stay. How many entries are gone.
    pub fn fork(&self, cell: &CellId, seq: u64) -> usize {
        let (db, key) = (usize::from(self.db_of_offer(&cell.offer)), cell.to_string());
        let mut state = self.shared.state.lock();
        let Some(db) = state.dbs.get_mut(db) else { return 0 };
        let Some(found) = db.cells.get_mut(&key) else { return 0 };
        let before = found.entries.len();
        found.cut(seq);
        let lost = before - found.entries.len();
        db.unrowed.retain(|(k, first), _| *k != key || *first <= seq);
        for ((k, _), kept) in &mut db.unrowed {
            if *k == key {
                kept.range.last_seq = kept.range.last_seq.min(seq);
                kept.orders.retain(|k| k.seq <= seq);
            }
        }
        state.commits += 1;
        lost
    }

    /// A hand adds units to the row of a cell, beside its ledger; false when there is no such cell.
    pub fn falsify(&self, cell: &CellId, units: i64) -> bool {
        let (db, key) = (usize::from(self.db_of_offer(&cell.offer)), cell.to_string());
        let mut state = self.shared.state.lock();
        let Some(found) = state.dbs.get_mut(db).and_then(|d| d.cells.get_mut(&key)) else {
            return false;
        };
        found.head.supply += units;
        state.commits += 1;
        true
    }
}
