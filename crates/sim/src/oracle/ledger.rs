//! After every transaction: INV-1, 2, 5, 6, 8, 10, 12.

use std::collections::BTreeMap;

use domain::ledger::Class;
use domain::{CellId, Entry, EntryId, Kind, OrderId, RowStatus, Totals, drift, invariant};
use store::port::OrderRow;

use super::{Oracle, RowFacts};
use crate::plan::Role;
use crate::world::World;

impl Oracle {
    /// The stores may have changed.
    pub fn store(&mut self, world: &World) {
        let commits = world.store.commits();
        if commits == self.commits {
            return;
        }
        self.commits = commits;
        let mut moved = Vec::new();
        world.store.each_row(|row| moved.extend(self.row(row)));
        for (row, before) in &moved {
            self.lived(world, row, *before);
        }
        world.store.each_cell(|cell, head, entries| self.ledger(cell, head, entries));
        self.halves();
        if !self.db_lost {
            self.rows_fit();
        }
        self.lives(world);
    }

    /// A process carried out a call of this name.
    pub fn wrote(&mut self, world: &World, role: Role, name: &str) {
        self.giving_back = name == "restore_flag";
        self.relaying = role == Role::Reconciler;
        self.store(world);
        (self.giving_back, self.relaying) = (false, false);
    }

    /// A database came back without its last commits. What it still has must hold together; rows,
    /// verdicts and views that know more are what PROTOCOL 6.10 leaves to be repaired.
    pub fn forked(&mut self, world: &World, db: u16) {
        (self.redis_lost, self.db_lost, self.beyond_replicas) = (true, true, true);
        for (cell, facts) in &mut self.cells {
            facts.watch = Default::default();
            facts.prefix.truncate(1);
            facts.sums.truncate(1);
            facts.forked |= store::Shards::cell_db(&world.store, &cell.offer) == db;
        }
        self.rows.clear();
        self.lives_forked();
        self.supplied.clear();
        self.halves.clear();
        self.commits = u64::MAX;
        self.store(world);
        for cell in self.cell_ids() {
            self.look_again(world, &cell);
        }
    }

    /// A hand wrote into the row of a cell: the ledger goes on from what the row says.
    pub fn row_falsified(&mut self, world: &World, cell: &CellId) {
        let head = world.store.ledger_of(cell).map(|(head, _)| head).unwrap_or_default();
        let facts = self.cell_of(cell);
        // What it finds is what the hand did.
        drop(facts.watch.fold(&[], head));
        facts.hand_at = Some(facts.prefix.len() - 1);
        facts.forked = true;
    }

    /// What the row was before, when it has changed.
    fn row(&mut self, row: &OrderRow) -> Option<(OrderRow, Option<(RowStatus, u32)>)> {
        let same = |seen: &RowFacts| {
            (seen.status, seen.version, seen.amount) == (row.status, row.version, row.amount)
        };
        if self.rows.get(&row.order).is_some_and(same) {
            return None;
        }
        let cells = row.lines.iter().map(|l| l.0.cell(l.1)).collect();
        let (status, reason, version) = (row.status, row.reason, row.version);
        let fresh = RowFacts { status, version, reason, amount: row.amount, cells };
        let old = self.rows.insert(row.order, fresh);
        if old.as_ref().is_some_and(|old| old.amount != row.amount) {
            self.bad("INV-9", format!("{} costs something else", row.order));
        }
        self.one_live_order(row);
        Some((row.clone(), old.map(|old| (old.status, old.version))))
    }

    fn one_live_order(&mut self, row: &OrderRow) {
        if !row.status.is_live() {
            return;
        }
        let who = self.orders.get(&row.order).and_then(|f| f.who.clone());
        let Some(who) = who else { return };
        let live = |(id, r): &(&OrderId, &RowFacts)| {
            r.status.is_live() && self.orders.get(*id).is_some_and(|f| f.who.as_ref() == Some(&who))
        };
        let n = self.rows.iter().filter(live).count();
        if n > 1 {
            self.bad("INV-8", format!("{n} live orders of {} key {}", who.0, who.1));
        }
    }

    fn ledger(&mut self, cell: &CellId, head: Totals, entries: &[Entry]) {
        let known = self.cell_of(cell).prefix.len() - 1;
        if entries.len() < known {
            return self.bad("INV-2", format!("{cell}: {} entries, were {known}", entries.len()));
        }
        let found = self.cell_of(cell).watch.fold(&entries[known..], head);
        self.all(
            found
                .into_iter()
                .map(|mut v| {
                    v.detail = format!("{cell}: {}", v.detail);
                    v
                })
                .collect(),
        );
        for e in &entries[known..] {
            self.entry(cell, e);
        }
    }

    fn entry(&mut self, cell: &CellId, e: &Entry) {
        let facts = self.cell_of(cell);
        facts.prefix.push(e.totals());
        let mut sums = facts.sums.last().cloned().unwrap_or_default();
        if e.moves_buyer() {
            *sums.entry(e.buyer.clone()).or_insert(0) += e.kind.moves(e.qty);
        }
        let has = sums.get(&e.buyer).copied().unwrap_or(0);
        facts.sums.push(sums);
        if let (Some(limit), Kind::Claim) = (self.limited(cell), e.kind)
            && has > limit
            && !self.redis_lost
        {
            self.bad("INV-12", format!("{cell}: {} has {has} of at most {limit}", e.buyer));
        }
        match e.kind {
            Kind::Release => self.released(e),
            Kind::Supply | Kind::TransferOut => self.moved(cell, e),
            Kind::Flag if self.giving_back => {
                self.given_back.insert(e.id);
            }
            Kind::Flag if drift::is_broken(&e.payload) => self.stopped(cell),
            Kind::Return(ordinal) => {
                let order = e.order().map(|order| (cell.clone(), order, ordinal, e.qty));
                self.lives.returns.extend(order);
            }
            Kind::Claim | Kind::Reject | Kind::Flag => {}
        }
    }

    /// PROTOCOL 6.6: a cell is stopped for a person only when its row or its ledger is false.
    fn stopped(&mut self, cell: &CellId) {
        if self.cell_of(cell).hand_at.is_none() && !self.db_lost {
            self.bad("6.6", format!("{cell} is stopped, and nothing is wrong with its ledger"));
        }
    }

    /// INV-6, first half.
    fn released(&mut self, e: &Entry) {
        let row = e.order().and_then(|order| self.rows.get(&order));
        if row.is_none_or(|r| r.status.is_live()) && !self.db_lost {
            self.bad("INV-6", format!("{} released without a dead row", e.id));
        }
    }

    /// INV-10: units come and go only as asked, each request once.
    fn moved(&mut self, cell: &CellId, e: &Entry) {
        if self.relaying {
            self.relayed.insert(e.id);
        }
        let units = if e.kind == Kind::Supply { e.qty } else { -e.qty };
        if let Some((from, to, asked)) = self.transfers.get(&e.id) {
            let out = e.kind == Kind::TransferOut;
            let right = e.qty == *asked && cell == if out { from } else { to };
            if !right || !self.halves.insert((e.id, out)) {
                self.bad("INV-10", format!("{units} units of {} went to {cell}", e.id));
            }
            return;
        }
        // The allotment of several buckets has one id in several cells.
        match self.asked.get(&e.id) {
            None => self.bad("INV-10", format!("nobody asked for {units} units ({})", e.id)),
            Some(0) => {}
            Some(asked) if *asked != units => {
                let text = format!("{units} units were moved, {asked} were asked for");
                self.bad("INV-10", text);
            }
            Some(_) if !self.supplied.insert(e.id) => {
                self.bad("INV-10", format!("{units} units were moved twice ({})", e.id));
            }
            Some(_) => {}
        }
    }

    /// INV-10: units that left one bucket have arrived in the other.
    fn halves(&mut self) {
        let other = |(id, out): &&(EntryId, bool)| !self.halves.contains(&(*id, !out));
        if let Some((id, _)) = self.halves.iter().find(other).copied() {
            self.bad("INV-10", format!("half of the transfer {id} is in the ledgers"));
        }
    }

    /// INV-5 for all rows.
    pub(super) fn rows_fit(&mut self) {
        let mut found = Vec::new();
        // Those of orders that lost their units with commits, and got their money back, are none.
        let over = |(id, row): &(&OrderId, &RowFacts)| {
            self.db_lost && row.status == RowStatus::Refunded || self.unmended.contains(*id)
        };
        for (order, row) in self.rows.iter().filter(|one| !over(one)) {
            let lines: Vec<_> = row.cells.iter().map(|c| self.verdict(c, *order)).collect();
            found.extend(invariant::row(*order, row.status, &lines));
        }
        self.all(found);
    }

    /// The verdict of an order in a cell, and whether it was released.
    pub(super) fn verdict(&self, cell: &CellId, id: impl Into<EntryId>) -> (Option<Kind>, bool) {
        let id = id.into();
        let Some(facts) = self.cells.get(cell) else { return (None, false) };
        let kind = facts.watch.kind(id, Class::Verdict);
        (kind, facts.watch.kind(id, Class::Release).is_some())
    }

    /// Live units per cell, for the end.
    pub(super) fn live_units(&self) -> BTreeMap<CellId, i64> {
        let mut out = BTreeMap::new();
        for (cell, facts) in &self.cells {
            let net = facts.prefix.last().map_or(0, |t| t.net);
            out.insert(cell.clone(), net);
        }
        out
    }
}
