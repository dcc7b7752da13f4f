//! Supply, flags, transfers, givebacks and the cells of a new offer; what they decide is
//! `domain::decide`'s, as over SQL.

use domain::decide::{
    self, Decision, Entered, FlagWish, LastFlag, LedgerFacts, LockedCell, Need, Upshot,
};
use domain::giveback::give_back as decided_givebacks;
use domain::ledger::Class;
use domain::{CellId, Entry, EntryId, Giveback, Ordinal};
use store::port::{Appended, Change, GivenBack};
use store::{StoreError, StoreResult};

use super::mutant::StoreMutant;
use super::state::Tx;

/// Cells of a new offer; existing ones are left alone.
pub(super) fn create(
    mut tx: Tx<'_>,
    cells: &[(CellId, i64)],
    ids: (EntryId, EntryId),
) -> StoreResult<Vec<Appended>> {
    for (cell, units) in cells {
        let key = cell.to_string();
        if tx.db.cells.contains_key(&key) {
            continue;
        }
        tx.create(cell);
        for draft in decide::opening(*units, ids.0, ids.1) {
            tx.append(&key, draft)?;
        }
    }
    tx.commit();
    Ok(tx.appended(cells.iter().map(|c| &c.0)))
}

fn known(entry: &Entry) -> Entered {
    Entered { id: entry.id, kind: entry.kind, qty: entry.qty, buyer: entry.buyer.clone() }
}

/// What a decision asks for.
fn facts(tx: &Tx<'_>, cells: &[&CellId], look: Need<'_>) -> LedgerFacts {
    let one: [EntryId; 1];
    let returns = (0..Ordinal::COUNT).filter_map(Ordinal::new).map(Class::Return);
    let of_order: Vec<Class> =
        [Class::Verdict, Class::Release].into_iter().chain(returns).collect();
    let (classes, ids): (&[Class], &[EntryId]) = match look {
        Need::Use(id) => {
            one = [id];
            (&[Class::Supply, Class::Verdict], &one)
        }
        Need::Flag(id, _) => {
            one = [id];
            (&[Class::Flag], &one)
        }
        Need::LastFlag => (&[], &[]),
        Need::Claims(ids) => (&of_order, ids),
    };
    let mut facts = LedgerFacts::default();
    for key in cells.iter().map(|c| c.to_string()) {
        let Some((cell, staged)) = tx.db.cells.get(&key).zip(tx.staged.get(&key)) else { continue };
        let last = cell.last_flag();
        let last_flag = last.map(|e| LastFlag { seq: e.seq, note: e.payload.clone() });
        facts.cells.push(LockedCell { now: staged.now, entries: Vec::new(), last_flag });
    }
    for (key, cell) in &tx.db.cells {
        let place = cells.iter().position(|c| c.to_string() == *key);
        let of = |class: &Class| ids.iter().filter_map(|id| cell.find(*class, *id)).collect();
        for entry in classes.iter().flat_map(|class| -> Vec<&Entry> { of(class) }) {
            match place.and_then(|n| facts.cells.get_mut(n)) {
                Some(seen) => seen.entries.push(known(entry)),
                None => facts.elsewhere = true,
            }
        }
    }
    facts
}

/// One transaction: the same steps as over SQL.
fn on_cells(
    mut tx: Tx<'_>,
    cells: &[&CellId],
    look: Need<'_>,
    decide: impl FnOnce(&mut LedgerFacts, &Tx<'_>) -> Decision,
) -> StoreResult<Change> {
    if !tx.lock(cells.iter().copied()) {
        return Ok(Change::NoCell);
    }
    let mut facts = facts(&tx, cells, look);
    let Decision { appends, answer } = decide(&mut facts, &tx);
    let mut done = Vec::new();
    if let Some(list) = appends {
        for (n, draft) in list {
            let key = cells[n].to_string();
            // A second one of its class is what INV-2 forbids: only a mutant gets that far.
            let taken = tx.find(&key, draft.kind.class(), draft.id).is_some();
            match (taken, tx.has(StoreMutant::ReleaseNotIdempotent)) {
                (false, _) => tx.append(&key, draft)?,
                (true, true) => tx.append_unchecked(&key, draft)?,
                (true, false) => {
                    let what = format!("{key} has a {:?} of {:?}", draft.kind, draft.id);
                    return Err(StoreError::corrupt(tx.no, what));
                }
            };
        }
        let lost = matches!(look, Need::Flag(..)) && tx.has(StoreMutant::FlagOnlyInRedis);
        if !lost {
            tx.commit();
        }
        done = tx.appended(cells.iter().copied());
    }
    Ok(match answer {
        Upshot::Done => Change::Done(done),
        Upshot::Refused => Change::Refused(done),
        Upshot::OtherUnits => Change::OtherUnits,
        Upshot::Illegal(flag) => Change::Illegal(flag),
    })
}

pub(super) fn supply(tx: Tx<'_>, cells: &[(CellId, i64)], id: EntryId) -> StoreResult<Change> {
    let names: Vec<&CellId> = cells.iter().map(|c| &c.0).collect();
    let units: Vec<i64> = cells.iter().map(|c| c.1).collect();
    on_cells(tx, &names, Need::Use(id), |facts, _| decide::supply(facts, &units, id))
}

pub(super) fn flag(
    tx: Tx<'_>,
    cells: &[CellId],
    (id, wanted): (EntryId, FlagWish<'_>),
) -> StoreResult<Change> {
    let names: Vec<&CellId> = cells.iter().collect();
    let look = Need::Flag(id, wanted);
    on_cells(tx, &names, look, |facts, _| decide::flag(facts, id, wanted))
}

pub(super) fn restore(
    tx: Tx<'_>,
    cell: &CellId,
    (id, pause_seq): (EntryId, u64),
) -> StoreResult<Change> {
    on_cells(tx, &[cell], Need::LastFlag, |facts, _| decide::restore(facts, id, pause_seq))
}

pub(super) fn transfer(
    tx: Tx<'_>,
    (from, to): (&CellId, Option<&CellId>),
    (id, units): (EntryId, i64),
) -> StoreResult<Change> {
    let cells: Vec<&CellId> = std::iter::once(from).chain(to).collect();
    on_cells(tx, &cells, Need::Use(id), |facts, tx| {
        if tx.has(StoreMutant::TransferTwoTx) {
            facts.cells.truncate(1);
        }
        decide::transfer(facts, id, units)
    })
}

pub(super) fn give_back(tx: Tx<'_>, cell: &CellId, all: &[Giveback]) -> StoreResult<GivenBack> {
    let no = tx.no;
    let ids: Vec<EntryId> = all.iter().map(Giveback::entry).collect();
    let mut refused = Vec::new();
    let done = on_cells(tx, &[cell], Need::Claims(&ids), |facts, tx| {
        if tx.has(StoreMutant::ReleaseNotIdempotent) {
            let released = |e: &Entered| e.kind.class() == Class::Release;
            facts.cells.iter_mut().for_each(|c| c.entries.retain(|e| !released(e)));
        }
        let given = decided_givebacks(facts, all);
        refused = given.refused;
        Decision::on_first(given.drafts)
    })?;
    let missing = || StoreError::corrupt(no, format!("givebacks to a cell without a row: {cell}"));
    let Change::Done(appended) = done else { return Err(missing()) };
    let appended = appended.into_iter().next().ok_or_else(missing)?;
    Ok(GivenBack { appended, refused })
}
