//! What WAIT promises: INV-13 also after failovers.
//!
//! One way is left for an accepted order to be rejected. An order that WAIT did not cover is left
//! to the relay; when a failover loses its hold *after* the relay published it, its unit is sold
//! again, and in the ledger the earlier frame wins. Such a cell is excused, and counted.

use ::cells::script::Call;
use domain::{CellId, EntryId, Hold, Kind, OrderId};

use super::Oracle;
use crate::world::World;

impl Oracle {
    /// A failover put the cell back to an older state.
    pub fn failed_over(&mut self, world: &World, cell: &CellId, lost: u64) {
        self.redis_lost |= lost > 0;
        let before = self.promised_units(world, cell);
        self.overwritten(world, cell);
        let now = self.promised_units(world, cell);
        let gone = before.into_iter().filter(|o| !now.contains(o));
        self.lost_holds.extend(gone.map(|o| (cell.clone(), o)));
    }

    /// A deposed primary took holds: they are lost from the start.
    pub(super) fn held_in_vain(&mut self, cell: &CellId, call: &Call) {
        let args: Vec<&[u8]> = call.args().collect();
        if call.script.name == "reserve" {
            let ids = args[4..].chunks_exact(3).filter_map(|c| EntryId::from_slice(c[0]).ok());
            self.lost_holds.extend(ids.map(|o| (cell.clone(), o)));
        }
    }

    /// What is held again is not lost.
    pub(super) fn held_again(&mut self, cell: &CellId, holds: &[Hold]) {
        for hold in holds {
            self.lost_holds.remove(&(cell.clone(), hold.id));
        }
    }

    /// Orders and transfers whose units this cell's view does not sell: held, or folded in.
    fn promised_units(&self, world: &World, cell: &CellId) -> Vec<EntryId> {
        let Some(view) = self.cells.get(cell).and_then(|f| f.view.as_ref()) else {
            return Vec::new();
        };
        let entries = world.store.ledger_of(cell).map_or(Vec::new(), |(_, entries)| entries);
        let folded = entries.iter().filter(|e| e.seq <= view.totals.seq);
        let took = folded.filter(|e| matches!(e.kind, Kind::Claim | Kind::TransferOut));
        view.holds.iter().map(|h| h.id).chain(took.map(|e| e.id)).collect()
    }

    /// True when an accepted order may not be rejected (INV-13).
    pub(super) fn is_kept(&self, order: OrderId) -> bool {
        let covered = self.waits && !self.beyond_replicas && !self.is_displaced(order);
        !self.redis_lost || covered
    }

    /// True when units of the order's cell went to an order (or left it by a transfer) whose hold
    /// was lost and which only the relay had published.
    pub(super) fn is_displaced(&self, order: OrderId) -> bool {
        let Some(row) = self.rows.get(&order) else { return false };
        self.lost_holds.iter().any(|(cell, other)| {
            let order = self.orders.get(&OrderId(other.0));
            let relayed = order.map_or(self.relayed.contains(other), |f| !f.by_gate);
            let took =
                matches!(self.verdict(cell, *other).0, Some(Kind::Claim | Kind::TransferOut));
            row.cells.contains(cell) && relayed && took
        })
    }
}
