//! The verdict transaction and its list of verdicts whose rows may be missing.

use std::collections::BTreeMap;

use domain::frame::Mode;
use domain::kept::Kept;
use domain::ledger::{Class, Kind};
use domain::{CellId, OrderId, decide};
use store::StoreResult;
use store::port::{Ask, CellAsks, CellVerdicts, Skipped, UnrowedRange, Verdict};

use super::mutant::StoreMutant;
use super::state::{CellKey, Database, Tx, Unrowed};

/// Verdicts as somebody read them once.
pub(super) type Known = BTreeMap<(CellKey, OrderId), (Kind, u64)>;

/// What is there now, for the mutant that decides by what was there before.
pub(super) fn known(db: &Database, batch: &[CellAsks]) -> Known {
    let mut known = Known::new();
    for c in batch {
        let key = c.cell.to_string();
        let Some(cell) = db.cells.get(&key) else { continue };
        for ask in &c.asks {
            if let Some(e) = cell.find(Class::Verdict, ask.order.into()) {
                known.insert((key.clone(), ask.order), (e.kind, e.seq));
            }
        }
    }
    known
}

/// Decides a batch; `stale` replaces the read under the lock.
pub(super) fn run(
    mut tx: Tx<'_>,
    batch: &[CellAsks],
    stale: Option<&Known>,
) -> StoreResult<Vec<CellVerdicts>> {
    tx.lock(batch.iter().map(|c| &c.cell));
    let mut out = Vec::with_capacity(batch.len());
    let mut kept = Vec::new();
    for c in batch {
        let key = c.cell.to_string();
        let Some(prev) = tx.staged.get(&key).map(|s| s.prev) else {
            out.push(no_cell(&c.cell));
            continue;
        };
        let mut verdicts = Vec::with_capacity(c.asks.len());
        for ask in &c.asks {
            let old = existing(&tx, &key, ask.order, stale);
            verdicts.push(match old {
                Some(v) => v,
                None => decided(&mut tx, &key, ask)?,
            });
        }
        let unrowed = range(c, &verdicts, tx.at_ms);
        let entries = tx.staged.get(&key).map(|s| s.entries.clone()).unwrap_or_default();
        let cell = c.cell.clone();
        let prev = Some(prev);
        kept.extend(unrowed.clone().map(|range| with_orders(range, c, &verdicts)));
        out.push(CellVerdicts { cell, prev, entries, verdicts, unrowed, skipped: None });
    }
    tx.commit();
    if !tx.has(StoreMutant::NoUnrowed) {
        for u in kept {
            tx.db.unrowed.insert((u.range.cell.to_string(), u.range.first_seq), u);
        }
    }
    Ok(out)
}

fn no_cell(cell: &CellId) -> CellVerdicts {
    CellVerdicts {
        cell: cell.clone(),
        prev: None,
        entries: Vec::new(),
        verdicts: Vec::new(),
        unrowed: None,
        skipped: Some(Skipped::NoCell),
    }
}

fn with_orders(range: UnrowedRange, c: &CellAsks, verdicts: &[Verdict]) -> Unrowed {
    let fresh = c.asks.iter().zip(verdicts).filter(|(a, v)| a.anchor && v.fresh);
    let kept =
        |(a, v): (&Ask, &Verdict)| Kept { seq: v.seq, mode: a.mode, sealed: a.sealed.clone() };
    let orders = fresh.map(kept).collect();
    Unrowed { range, orders }
}

fn existing(tx: &Tx<'_>, key: &str, order: OrderId, stale: Option<&Known>) -> Option<Verdict> {
    let staged = || tx.staged.get(key)?.entries.iter().find(|e| e.id == order.into());
    let found = match stale {
        Some(known) => known
            .get(&(key.to_owned(), order))
            .copied()
            .or_else(|| staged().map(|e| (e.kind, e.seq))),
        None => tx.find(key, Class::Verdict, order.into()).map(|e| (e.kind, e.seq)),
    };
    found.map(|(kind, seq)| Verdict { kind, seq, fresh: false })
}

fn decided(tx: &mut Tx<'_>, key: &str, ask: &Ask) -> StoreResult<Verdict> {
    let now = tx.staged.get(key).map(|s| s.now).unwrap_or_default();
    let mut draft = decide::verdict(&now, ask.mode, ask.order.into(), ask.buyer.as_str(), ask.qty);
    let unguarded = ask.mode == Mode::Full && tx.has(StoreMutant::NoGuard);
    if draft.kind == Kind::Reject && unguarded {
        (draft.kind, draft.qty) = (Kind::Claim, i64::from(ask.qty));
    }
    let kind = draft.kind;
    if kind == Kind::Reject && tx.has(StoreMutant::RejectNotPersisted) {
        return Ok(Verdict { kind, seq: now.seq, fresh: true });
    }
    let seq = if kind == Kind::Claim && !now.fits(draft.qty) {
        tx.append_unchecked(key, draft)?
    } else {
        tx.append(key, draft)?
    };
    Ok(Verdict { kind, seq, fresh: true })
}

fn range(c: &CellAsks, verdicts: &[Verdict], at_ms: u64) -> Option<UnrowedRange> {
    let fresh = c.asks.iter().zip(verdicts).filter(|(a, v)| a.anchor && v.fresh);
    let seqs: Vec<u64> = fresh.map(|(_, v)| v.seq).collect();
    let (first_seq, last_seq) = (*seqs.iter().min()?, *seqs.iter().max()?);
    Some(UnrowedRange { cell: c.cell.clone(), first_seq, last_seq, at_ms })
}
