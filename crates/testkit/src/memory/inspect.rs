//! What only a simulator does to the store: looking inside without a step, and disasters.
//!
//! The oracle calls these between steps, so none of them waits; they see every commit and nothing
//! that is not committed.

use domain::life::{Lives, Version};
use domain::{CellId, Entry, OrderId, Totals};
use store::StoreResult;
use store::port::{OrderRow, Parked, ParkedFrame, UnrowedRange};

use super::mutant::StoreMutant;
use super::state::{MemoryStore, State};
use super::{life, orders, reads};

impl MemoryStore {
    /// One atomic step on what only database 0 has that writes nothing: a plain read.
    pub(super) async fn look<T>(
        &self,
        work: impl FnOnce(&State) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        tokio::task::yield_now().await;
        match self.replica.as_ref().and_then(|(_, then)| then.rest.as_deref()) {
            Some(then) => work(then),
            None => work(&self.shared.state.lock()),
        }
    }

    /// Breaks a rule from now on, or keeps it again.
    pub fn set_mutant(&self, mutant: StoreMutant, on: bool) {
        self.shared.state.lock().mutants.set(mutant, on);
    }

    /// True while this rule is broken.
    pub fn is_broken(&self, mutant: StoreMutant) -> bool {
        self.shared.state.lock().mutants.has(mutant)
    }

    /// Write transactions that succeeded so far: an oracle looks again when this has grown.
    pub fn commits(&self) -> u64 {
        self.shared.state.lock().commits
    }

    /// Shows every cell with its row and its whole ledger, in the order of the databases.
    pub fn each_cell(&self, mut see: impl FnMut(&CellId, Totals, &[Entry])) {
        let state = self.shared.state.lock();
        for cell in state.dbs.iter().flat_map(|d| d.cells.values()) {
            see(&cell.id, cell.head, &cell.entries);
        }
    }

    /// A cell's row and whole ledger.
    pub fn ledger_of(&self, cell: &CellId) -> Option<(Totals, Vec<Entry>)> {
        let db = usize::from(self.db_of_offer(&cell.offer));
        let state = self.shared.state.lock();
        let found = reads::cell(state.dbs.get(db)?, cell)?;
        Some((found.head, found.entries.clone()))
    }

    /// Shows every order row.
    pub fn each_row(&self, mut see: impl FnMut(&OrderRow)) {
        let state = self.shared.state.lock();
        for row in state.dbs.iter().flat_map(|d| d.rows.values()) {
            see(&row.row);
        }
    }

    /// One order row.
    pub fn row_of(&self, order: OrderId) -> Option<OrderRow> {
        let db = usize::from(self.db_of_order(order));
        let state = self.shared.state.lock();
        state.dbs.get(db)?.rows.get(&order).map(|r| r.row.clone())
    }

    /// All order rows by id.
    pub fn rows_now(&self) -> Vec<OrderRow> {
        orders::all(&self.shared.state.lock().dbs).into_values().collect()
    }

    /// Every order that has a row, a payment or a refund, with all of it.
    pub fn lives_now(&self) -> Lives {
        self.shared.state.lock().dbs.iter().flat_map(life::all).collect()
    }

    /// What an order's row says of its history: version, from, to, why.
    pub fn history_of(&self, order: OrderId) -> Vec<Version> {
        let db = usize::from(self.db_of_order(order));
        let state = self.shared.state.lock();
        let Some(db) = state.dbs.get(db) else { return Vec::new() };
        let own = db.life.history.range((order, 0)..=(order, u32::MAX));
        own.map(|(_, (version, _))| version.clone()).collect()
    }

    /// Work of lives that is due, now or later, and units that are to go back.
    pub fn life_work_now(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        let mut out = Vec::new();
        for db in &state.dbs {
            out.extend(db.life.due.keys().map(|(kind, subject)| format!("work {kind} {subject}")));
            let units = db.life.givebacks.keys();
            out.extend(units.map(|(order, cell, class)| format!("{order} {cell} {class}")));
        }
        out
    }

    /// What waits for a person: kind and subject.
    pub fn open_tasks_now(&self) -> Vec<(i8, String)> {
        let state = self.shared.state.lock();
        let open = state.dbs.iter().flat_map(|db| &db.life.tasks).filter(|(_, t)| t.is_open);
        open.map(|(key, _)| key.clone()).collect()
    }

    /// Verdict ranges whose rows may be missing.
    pub fn unrowed_now(&self) -> Vec<UnrowedRange> {
        let state = self.shared.state.lock();
        state.dbs.iter().flat_map(|d| d.unrowed.values().map(|u| u.range.clone())).collect()
    }

    /// Progress of every partition.
    pub fn progress_now(&self) -> Vec<(String, u64)> {
        self.shared.state.lock().progress.iter().map(|(p, n)| (p.clone(), *n)).collect()
    }

    /// (barrier, partition) of every barrier seen.
    pub fn barriers_now(&self) -> Vec<(String, String)> {
        self.shared.state.lock().barriers.keys().cloned().collect()
    }

    /// Parked orders.
    pub fn parked_now(&self) -> Vec<Parked> {
        let state = self.shared.state.lock();
        state.parked.values().filter(|p| p.1).map(|p| p.0.clone()).collect()
    }

    /// Parked frames.
    pub fn parked_frames_now(&self) -> Vec<ParkedFrame> {
        let state = self.shared.state.lock();
        state.parked_frames.values().filter(|p| p.1).map(|p| p.0.clone()).collect()
    }

    /// (name, holder, until) of every lease, also of those that ran out.
    pub fn leases_now(&self) -> Vec<(String, String, u64)> {
        let state = self.shared.state.lock();
        state.leases.iter().map(|(n, (h, until))| (n.clone(), h.clone(), *until)).collect()
    }
}
