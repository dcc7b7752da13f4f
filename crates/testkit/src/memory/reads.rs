//! Reads of a cell's ledger; what the simulator's oracle and the port's reads share.

use std::collections::BTreeMap;

use domain::ledger::Kind;
use domain::{CellId, Entry, Totals};
use store::port::LedgerPage;

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

pub(super) fn buyer_sums(cell: &Cell, seq: u64, after: &str, limit: u64) -> Vec<(String, i64)> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for e in cell.entries.iter().take(seq as usize).filter(|e| e.buyer.as_str() > after) {
        match e.kind {
            Kind::Claim => *sums.entry(&e.buyer).or_default() += e.qty,
            Kind::Release => *sums.entry(&e.buyer).or_default() -= e.qty,
            Kind::Supply | Kind::Reject | Kind::TransferOut | Kind::Flag => {}
        }
    }
    sums.into_iter().take(limit as usize).map(|(b, n)| (b.to_owned(), n)).collect()
}
