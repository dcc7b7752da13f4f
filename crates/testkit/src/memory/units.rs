//! Supply, flags, transfers, releases and the cells of a new offer.

use domain::drift::repaired_flag;
use domain::ledger::{Class, Draft, Kind};
use domain::{CellId, EntryId, Flag, OrderId};
use store::port::{Appended, Change};
use store::{StoreError, StoreResult};

use super::mutant::StoreMutant;
use super::state::{CellKey, Tx};

fn draft(kind: Kind, id: EntryId, qty: i64) -> Draft {
    Draft { kind, id, buyer: String::new(), qty, payload: Vec::new() }
}

fn finish<'c>(tx: &mut Tx<'_>, cells: impl IntoIterator<Item = &'c CellId>) -> Vec<Appended> {
    tx.commit();
    tx.appended(cells)
}

/// Cells of a new offer; existing ones are left alone.
pub(super) fn create(
    mut tx: Tx<'_>,
    cells: &[(CellId, i64)],
    (supply_id, flag_id): (EntryId, EntryId),
) -> StoreResult<Vec<Appended>> {
    for (cell, units) in cells {
        let key = cell.to_string();
        if tx.db.cells.contains_key(&key) {
            continue;
        }
        tx.create(cell);
        tx.append(&key, draft(Kind::Supply, supply_id, *units))?;
        tx.append(&key, draft(Kind::Flag, flag_id, Flag::Open as i64))?;
    }
    Ok(finish(&mut tx, cells.iter().map(|c| &c.0)))
}

/// What an earlier call with this id left in the database, over both signs.
fn earlier(tx: &Tx<'_>, id: EntryId) -> Vec<(CellKey, Kind, i64)> {
    let mut found = Vec::new();
    for (key, cell) in &tx.db.cells {
        for class in [Class::Supply, Class::Verdict] {
            found.extend(cell.find(class, id).map(|e| (key.clone(), e.kind, e.qty)));
        }
    }
    found
}

pub(super) fn supply(mut tx: Tx<'_>, cells: &[(CellId, i64)], id: EntryId) -> StoreResult<Change> {
    if !tx.lock(cells.iter().map(|c| &c.0)) {
        return Ok(Change::NoCell);
    }
    let before = earlier(&tx, id);
    if !before.is_empty() {
        let same = cells.iter().all(|(cell, units)| {
            let key = cell.to_string();
            before.iter().any(|(k, kind, q)| *k == key && *kind == Kind::Supply && q == units)
        });
        return Ok(if same { Change::Done(Vec::new()) } else { Change::OtherUnits });
    }
    for (cell, units) in cells {
        tx.append(&cell.to_string(), draft(Kind::Supply, id, *units))?;
    }
    Ok(Change::Done(finish(&mut tx, cells.iter().map(|c| &c.0))))
}

pub(super) fn flag(
    mut tx: Tx<'_>,
    cells: &[CellId],
    id: EntryId,
    (to, from): (Flag, &[Flag]),
    note: &[u8],
) -> StoreResult<Change> {
    if !tx.lock(cells) {
        return Ok(Change::NoCell);
    }
    if tx.db.cells.values().any(|c| c.find(Class::Flag, id).is_some()) {
        return Ok(Change::Done(Vec::new()));
    }
    let illegal = |open: &Flag| *open != to && !from.contains(open);
    if let Some(open) = tx.staged.values().map(|s| s.now.open).find(illegal) {
        return Ok(Change::Illegal(open));
    }
    let keys: Vec<(CellKey, Flag)> =
        tx.staged.iter().map(|(k, s)| (k.clone(), s.now.open)).collect();
    for (key, open) in keys {
        // An operator's pause ends the chain of a repair's.
        let last = tx.db.cells.get(&key).and_then(|c| c.last_flag());
        let repaired = last.is_some_and(|e| repaired_flag(&e.payload).is_some());
        let overrides = note.is_empty() && to == Flag::Paused && repaired;
        if open != to || overrides {
            let entry = Draft { payload: note.to_vec(), ..draft(Kind::Flag, id, to as i64) };
            tx.append(&key, entry)?;
        }
    }
    if tx.has(StoreMutant::FlagOnlyInRedis) {
        return Ok(Change::Done(tx.appended(cells)));
    }
    Ok(Change::Done(finish(&mut tx, cells)))
}

pub(super) fn restore(
    mut tx: Tx<'_>,
    cell: &CellId,
    id: EntryId,
    pause_seq: u64,
) -> StoreResult<Change> {
    if !tx.lock([cell]) {
        return Ok(Change::NoCell);
    }
    let key = cell.to_string();
    let last = tx.db.cells.get(&key).and_then(|c| c.last_flag()).filter(|e| e.seq == pause_seq);
    let Some(flag) = last.and_then(|e| repaired_flag(&e.payload)) else {
        return Ok(Change::Done(Vec::new()));
    };
    tx.append(&key, draft(Kind::Flag, id, flag as i64))?;
    Ok(Change::Done(finish(&mut tx, [cell])))
}

pub(super) fn transfer(
    mut tx: Tx<'_>,
    id: EntryId,
    (from, to): (&CellId, Option<&CellId>),
    units: i64,
) -> StoreResult<Change> {
    let cells: Vec<&CellId> = std::iter::once(from).chain(to).collect();
    if !tx.lock(cells.iter().copied()) {
        return Ok(Change::NoCell);
    }
    let key = from.to_string();
    let before = |class| tx.find(&key, class, id).map(|e| (e.kind, e.qty));
    match (before(Class::Supply), before(Class::Verdict)) {
        (None, None) => {}
        (None, Some((Kind::TransferOut, qty))) if qty == units => {
            return Ok(Change::Done(Vec::new()));
        }
        (None, Some((Kind::Reject, _))) => return Ok(Change::Refused(Vec::new())),
        (Some(_), None) => {
            // The id added units: without a verdict the hold of this call would stay for ever.
            tx.append(&key, draft(Kind::Reject, id, 0))?;
            tx.commit();
            return Ok(Change::OtherUnits);
        }
        (_, Some(_)) => return Ok(Change::OtherUnits),
    }
    let fits = tx.staged.get(&key).is_some_and(|s| s.now.supply - units >= s.now.net);
    if fits {
        tx.append(&key, draft(Kind::TransferOut, id, units))?;
        if let Some(to) = to.filter(|_| !tx.has(StoreMutant::TransferTwoTx)) {
            tx.append(&to.to_string(), draft(Kind::Supply, id, units))?;
        }
    } else {
        tx.append(&key, draft(Kind::Reject, id, 0))?;
    }
    let done = finish(&mut tx, cells);
    Ok(if fits { Change::Done(done) } else { Change::Refused(done) })
}

pub(super) fn release(mut tx: Tx<'_>, cell: &CellId, orders: &[OrderId]) -> StoreResult<Appended> {
    if !tx.lock([cell]) {
        let what = format!("release on a cell without a row: {cell}");
        return Err(StoreError::corrupt(tx.no, what));
    }
    let key = cell.to_string();
    let twice = tx.has(StoreMutant::ReleaseNotIdempotent);
    for id in orders.iter().map(|o| EntryId::from(*o)) {
        let claim = tx.find(&key, Class::Verdict, id).filter(|e| e.kind == Kind::Claim);
        let Some((buyer, qty)) = claim.map(|e| (e.buyer.clone(), e.qty)) else { continue };
        let entry = Draft { buyer, ..draft(Kind::Release, id, qty) };
        if tx.find(&key, Class::Release, id).is_none() {
            tx.append(&key, entry)?;
        } else if twice {
            tx.append_unchecked(&key, entry)?;
        }
    }
    let prev = tx.staged.get(&key).map(|s| s.prev).unwrap_or_default();
    let done = finish(&mut tx, [cell]);
    let entries = done.into_iter().next().map(|a| a.entries).unwrap_or_default();
    Ok(Appended { cell: cell.clone(), prev, entries })
}
