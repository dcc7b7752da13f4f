//! Reads of a cell's ledger; what the simulator's oracle and the port's reads share.

use domain::{CellId, Entry, Totals};
use store::port::{LedgerPage, Moved};

use super::state::{Cell, Database};

pub(super) fn cell<'d>(db: &'d Database, id: &CellId) -> Option<&'d Cell> {
    db.cells.get(&id.to_string())
}

pub(super) fn at(cell: Option<&Cell>, seq: u64) -> Option<Totals> {
    if seq == 0 {
        return Some(Totals::default());
    }
    cell?.entries.get(seq as usize - 1).map(Entry::totals)
}

pub(super) fn after(cell: &Cell, seq: u64, limit: u64) -> LedgerPage {
    let rest = cell.entries.iter().skip(seq as usize).take(limit as usize);
    LedgerPage { base: at(Some(cell), seq), entries: rest.cloned().collect(), head: cell.head }
}

pub(super) fn units(cell: &Cell, from: u64, until: u64) -> Vec<Moved> {
    let stretch = cell.entries.iter().take(until as usize).skip(from as usize);
    let of = |e: &Entry| Moved { buyer: e.buyer.clone(), units: e.kind.moves(e.qty) };
    stretch.filter(|e| e.moves_buyer()).map(of).collect()
}
