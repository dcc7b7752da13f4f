//! When everything is healed and quiet: INV-6, 7, 10, 11, 13 and the refusals.

use std::collections::BTreeMap;

use domain::ledger::Class;
use domain::order::RejectReason;
use domain::{CellId, Entry, Flag, Kind, OrderId, RowStatus, drift, invariant};

use super::{CellFacts, Facts, Oracle, RowFacts};
use crate::world::World;

impl Oracle {
    /// What still moves, or nothing when all is quiet.
    pub fn restless(&mut self, world: &World) -> Option<String> {
        self.store(world);
        let forked = |(cell, facts): (&CellId, &CellFacts)| facts.forked.then(|| cell.clone());
        for cell in self.cells.iter().filter_map(forked).collect::<Vec<_>>() {
            self.look_again(world, &cell);
        }
        for (cell, facts) in &self.cells {
            match facts.hand_at.map(|at| self.sold(world, cell, at)) {
                // Nothing is sold until an operator has looked; that is all there is to be said.
                Some((false, _)) => continue,
                Some((true, false)) => return Some(format!("{cell} is sold, its row is false")),
                Some((true, true)) | None => {}
            }
            let Some(view) = &facts.view else { return Some(format!("{cell} is missing")) };
            let head = facts.prefix.last().copied().unwrap_or_default();
            let holds = view.holds.len() as u64;
            let moving = invariant::quiet(view.totals, head, view.held, holds);
            if let Some(v) = moving.first() {
                return Some(format!("{cell}: {}", v.detail));
            }
            if facts.falsified {
                return Some(format!("{cell} is not its ledger's"));
            }
        }
        let unrowed = world.store.unrowed_now();
        if let Some(range) = unrowed.first() {
            return Some(format!("{}: rows of {:?} may be missing", range.cell, range.first_seq));
        }
        let open = self.orders.iter().find(|(id, f)| {
            f.published_at.is_some() && !f.frame_lost && !self.rows.contains_key(id)
        });
        if self.db_lost && !self.rewinds {
            return None;
        }
        open.map(|(id, _)| format!("{id} is published and has no row"))
            .or_else(|| self.restless_lives(world))
    }

    /// True once, when databases lost commits: the rewind is due.
    pub fn begins_rewind(&mut self) -> bool {
        self.db_lost && !std::mem::replace(&mut self.rewinds, true)
    }

    /// A rewind left these to a person: their goods are gone, or back in part.
    pub fn unmended(&mut self, orders: impl Iterator<Item = OrderId>) {
        self.unmended.extend(orders);
    }

    /// The last look.
    pub fn end(&mut self, world: &World) {
        self.store(world);
        let orders: Vec<(OrderId, Facts)> =
            self.orders.iter().map(|(id, f)| (*id, f.clone())).collect();
        if self.db_lost {
            // Refusals of a gate that asked a database without its last commits stay what they
            // were.
            orders.iter().for_each(|(id, facts)| self.promise(*id, facts));
            self.rows_fit();
            self.dead_rows();
            self.units();
        } else {
            for (id, facts) in &orders {
                let dead = self.rows.get(id).is_some_and(|r| r.status == RowStatus::Rejected);
                if self.waits && facts.accepted_at.is_some() && dead && self.is_displaced(*id) {
                    world.met("wait", "displaced");
                }
                self.promise(*id, facts);
                self.refusals(*id, facts);
            }
            self.dead_rows();
            self.units();
        }
        self.money(world);
        let parked = (world.store.parked_now().len(), world.store.parked_frames_now().len());
        if parked != (0, 0) {
            self.bad("INV-7", format!("parked orders and frames: {parked:?}"));
        }
    }

    /// A cell whose row a hand falsified: whether it is sold, and whether somebody may say so.
    fn sold(&self, world: &World, cell: &CellId, hand_at: usize) -> (bool, bool) {
        let (head, entries) = world.store.ledger_of(cell).unwrap_or_default();
        let flags = |e: &&Entry| e.kind == Kind::Flag;
        let was = entries[..hand_at].iter().rev().find(flags).map(|e| e.open_after);
        let later: Vec<&Entry> = entries[hand_at..].iter().filter(flags).collect();
        let told = later.iter().any(|e| drift::is_broken(&e.payload));
        let word = later.iter().any(|e| e.payload.is_empty() && !self.given_back.contains(&e.id));
        (head.open == Flag::Open, was != Some(Flag::Open) || told || word)
    }

    /// INV-7, INV-13, and that the row is what was promised.
    fn promise(&mut self, id: OrderId, facts: &Facts) {
        if facts.accepted_at.is_none() {
            return;
        }
        let Some(row) = self.rows.get(&id).cloned() else {
            // Log and Redis both lost it: the one loss that nothing can mend.
            if !(facts.frame_lost && self.redis_lost) {
                self.bad("INV-7", format!("{id} was accepted and has no row"));
            }
            return;
        };
        let conflict = row.reason == Some(RejectReason::KeyConflict);
        if row.status == RowStatus::Rejected && !conflict && self.is_kept(id) {
            self.bad("INV-13", format!("{id} was accepted and is rejected: {:?}", row.reason));
        }
        if facts.promised.is_some_and(|p| p != row.amount) && !self.redis_lost {
            let text = format!("{id}: promised {:?}, the row says {}", facts.promised, row.amount);
            self.bad("6.1 bytes", text);
        }
    }

    /// PROTOCOL 6.3: all requests for an order were refused for good, so there is none.
    fn refusals(&mut self, id: OrderId, facts: &Facts) {
        let refused = facts.sent > 0 && facts.refused == facts.sent;
        if refused && (self.rows.contains_key(&id) || facts.published_at.is_some()) {
            let text = format!("{id}: {} of {} requests refused", facts.refused, facts.sent);
            self.bad("6.3", format!("{text}, and there is an order"));
        }
    }

    /// INV-6, second half.
    fn dead_rows(&mut self) {
        let mut open = Vec::new();
        let dead = |(id, row): &(&OrderId, &RowFacts)| {
            !row.status.is_live() && !self.unmended.contains(*id)
        };
        for (id, row) in self.rows.iter().filter(dead) {
            for cell in &row.cells {
                if self.verdict(cell, *id) == (Some(Kind::Claim), false) {
                    open.push(format!("{cell}: {id} is dead and not released"));
                }
            }
        }
        if let Some(text) = open.into_iter().next() {
            self.bad("INV-6", text);
        }
    }

    /// INV-11: the units of live rows are what the ledgers say, and every claim has its row.
    fn units(&mut self) {
        let mut live: BTreeMap<CellId, i64> = BTreeMap::new();
        let mut lonely = None;
        for (cell, facts) in &self.cells {
            for (order, qty) in facts.watch.claims() {
                let row = self.rows.get(&order);
                let released = facts.watch.kind(order, Class::Release).is_some();
                if row.is_none() {
                    lonely.get_or_insert(format!("{cell}: the claim of {order} has no row"));
                }
                let has = row.is_some_and(|r| r.status.is_live()) || self.unmended.contains(&order);
                if has && !released {
                    let kept = qty - facts.watch.returned(order);
                    *live.entry(cell.clone()).or_default() += kept;
                }
            }
        }
        if let Some(text) = lonely {
            return self.bad("INV-11", text);
        }
        for (cell, net) in self.live_units() {
            let sum = live.get(&cell).copied().unwrap_or(0);
            if sum != net {
                self.bad("INV-11", format!("{cell}: live rows have {sum} units, net is {net}"));
            }
        }
    }
}
