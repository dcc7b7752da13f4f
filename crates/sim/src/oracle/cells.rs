//! After every script: INV-3, INV-4, no hold dropped under a published frame (INV-14), and no cell
//! built while an order from before its loss is still on its way (PROTOCOL 6.9).

use std::collections::HashMap;
use std::sync::Arc;

use ::cells::look::Look;
use ::cells::script::Call;
use domain::invariant::{self, Violation};
use domain::{CellId, Hold};

use super::Oracle;
use crate::node::Node;
use crate::plan::Role;
use crate::world::World;

impl Oracle {
    /// A script ran on this cell; `codes` is what it answered.
    pub fn cell(
        &mut self,
        world: &World,
        cell: &CellId,
        node: &Arc<Node>,
        (call, codes): (&Call, &[&'static str]),
    ) {
        let script = call.script.name;
        if node.role == Role::Reconciler {
            branch(world, script, codes);
        }
        if matches!(script, "snapshot" | "scan" | "lookup" | "ticket" | "stage") {
            return;
        }
        let before = self.cell_of(cell).view.take();
        let now = match world.redis.look(cell) {
            Ok(now) => now,
            Err(e) => return self.bad("INV-3", format!("{cell} cannot be read: {e}")),
        };
        if let Some(before) = &before {
            let rest: &[Hold] = now.as_ref().map_or(&[], |n| &n.holds);
            self.dropped(cell, &before.holds, rest, script);
        }
        if script == "load" && codes == ["ok"] {
            self.loaded(cell);
        }
        if script == "drop" && codes == ["ok"] && !self.db_lost && crate::cells::as_fork(call) {
            self.bad("6.10", format!("{cell} is dropped as a fork, and no commit was lost"));
        }
        if script == "mend" && codes == ["ok"] {
            // What a hand wrote is gone from this very step on.
            self.cell_of(cell).falsified = false;
        }
        if let Some(now) = &now {
            self.held_again(cell, &now.holds);
        }
        self.see(cell, now);
    }

    /// The cell is as it is without a script: a failover, a loss, a hand.
    pub fn overwritten(&mut self, world: &World, cell: &CellId) {
        let now = world.redis.look(cell).unwrap_or_default();
        let lost = now.is_none();
        let facts = self.cell_of(cell);
        facts.falsified |= facts.touched;
        self.see(cell, now);
        if lost {
            self.cell_of(cell).lost_at = Some(world.at());
        }
    }

    /// A script ran on a primary that a failover has deposed: its cell is exact too, and what it
    /// is told is lost with it.
    pub fn deposed(&mut self, world: &World, cell: &CellId, call: &Call) {
        if !crate::redis::writes(call.script.name) {
            return;
        }
        self.redis_lost = true;
        self.held_in_vain(cell, call);
        let look = match world.redis.look_old(cell) {
            Ok(look) => look,
            Err(e) => return self.bad("INV-3", format!("{cell} cannot be read: {e}")),
        };
        let found = look.map_or(Vec::new(), |look| self.view(cell, &look));
        let facts = self.cell_of(cell);
        if !facts.touched && !facts.forked {
            self.all(found);
        }
    }

    /// The ledger under the cell is another one.
    pub(super) fn look_again(&mut self, world: &World, cell: &CellId) {
        let now = world.redis.look(cell).unwrap_or_default();
        self.see(cell, now);
    }

    /// A hand wrote into it.
    pub fn falsified(&mut self, cell: &CellId) {
        let facts = self.cell_of(cell);
        (facts.falsified, facts.touched) = (true, true);
    }

    /// True while a hand's writing is not mended.
    pub fn is_falsified(&self, cell: &CellId) -> bool {
        self.cells.get(cell).is_some_and(|f| f.falsified)
    }

    fn see(&mut self, cell: &CellId, now: Option<Look>) {
        let found = now.as_ref().map_or(Vec::new(), |look| self.view(cell, look));
        let facts = self.cell_of(cell);
        facts.view = now;
        if facts.falsified || facts.forked {
            facts.falsified = !found.is_empty();
        } else {
            self.all(found);
        }
    }

    /// INV-3 and INV-4.
    fn view(&mut self, cell: &CellId, look: &Look) -> Vec<Violation> {
        let limited = self.limited(cell).is_some();
        let facts = self.cell_of(cell);
        let w = look.totals.seq as usize;
        let head = facts.prefix.last().copied().unwrap_or_default();
        let mut found = invariant::view(look.totals, facts.prefix.get(w).copied(), head);
        found.extend(invariant::held(look.held, &look.holds));
        if let (true, Some(sums)) = (limited, facts.sums.get(w)) {
            let b: HashMap<String, i64> = look.buyers.iter().cloned().collect();
            found.extend(invariant::buyers(&b, sums, &look.holds));
        }
        found.iter_mut().for_each(|v| v.detail = format!("{cell}: {}", v.detail));
        found
    }

    /// INV-14, second half: a script took a hold away.
    fn dropped(&mut self, cell: &CellId, before: &[Hold], now: &[Hold], script: &str) {
        for hold in before {
            let stays = now.iter().any(|h| h.id == hold.id && h.state == hold.state);
            let Some(order) = hold.order().filter(|_| !stays && hold.buyer.is_some()) else {
                continue;
            };
            let published = self.orders.get(&order).is_some_and(|f| f.published_at.is_some());
            if published && !self.db_lost && self.verdict(cell, order).0.is_none() {
                let text = format!("{cell}: {script} dropped the hold of {order}");
                self.bad("INV-14", text);
            }
        }
    }

    /// PROTOCOL 6.9: what was in the log before the loss has its verdict before the load.
    fn loaded(&mut self, cell: &CellId) {
        let Some(lost_at) = self.cell_of(cell).lost_at else { return };
        if self.db_lost {
            return;
        }
        let late = self.orders.iter().find(|(id, f)| {
            let before = f.published_at.is_some_and(|at| at < lost_at) && !f.frame_lost;
            before && f.cell.as_ref() == Some(cell) && self.verdict(cell, **id).0.is_none()
        });
        if let Some((id, _)) = late {
            let text = format!("{cell} was built while {id}, published before its loss, waits");
            self.bad("6.9", text);
        }
    }

    /// The hold of an order in a cell, as Redis has it now.
    pub(super) fn hold(&self, cell: &CellId, order: domain::OrderId) -> Option<&Hold> {
        let view = self.cells.get(cell)?.view.as_ref()?;
        view.holds.iter().find(|h| h.id == order.into())
    }
}

/// What a reconciler's relay, repair and rebuild did.
fn branch(world: &World, script: &'static str, codes: &[&'static str]) {
    let name = match (script, codes.first().copied().unwrap_or("")) {
        ("resolve", "dropped") => "phantom_dropped",
        ("resolve", "kept") => "phantom_was_gone",
        ("apply", "ok") => "applied",
        ("apply", "gap") => "gap",
        ("load", "ok") => "loaded",
        ("load", "changed") => "load_with_old_ticket",
        ("load", "exists") => "load_of_living_cell",
        ("drop", "ok") => "dropped_cell",
        ("mend", "ok") => "mended",
        _ => return,
    };
    world.met("reconciler", name);
}
