//! The verdict transaction.
//!
//! One verdict for each order and cell (INV-2) is the ledger's unique key. Existing verdicts are
//! read only when it turns one away, and then *after* the cell row is locked: a snapshot from
//! before the lock would not have them. A cell that somebody else has locked for too long, or
//! whose row is wrong, is left out, and the others of the batch go on.

use std::collections::{HashMap, HashSet};

use domain::frame::{Mode, Sealed};
use domain::ledger::Class;
use domain::{CellId, OrderId, decide, kept};
use sea_orm::{ActiveValue::Set, DatabaseTransaction};

use super::db::{LockWait, LookUp};
use super::find::{Existing, existing};
use super::lock::{FoundCells, Locked, lock, look_beyond, write};
use super::{Db, insert, reads};
use crate::entity::unrowed;
use crate::error::{StoreError, StoreResult};
use crate::port::{Ask, CellAsks, CellVerdicts, Skipped, UnrowedRange, Verdict};

/// The verdict transaction over the cells of one database.
pub(super) async fn run(db: &Db, batch: &[CellAsks], at_ms: u64) -> StoreResult<Vec<CellVerdicts>> {
    let attempt = |wait| {
        let once = move |look| async move {
            let tx = db.begin().await?;
            let done = within(db, &tx, VerdictRun { batch, at_ms, look, wait }).await;
            db.end(tx, done).await
        };
        db.insert_first(&db.met_verdicts, once)
    };
    match attempt(db.wait()).await {
        // Its neighbours must not wait with it: once more, without those that are locked.
        Err(StoreError::Busy { .. }) => {
            db.met_lock();
            attempt(LockWait::Skip).await
        }
        done => done,
    }
}

/// One run of the transaction.
struct VerdictRun<'a> {
    batch: &'a [CellAsks],
    at_ms: u64,
    look: LookUp,
    wait: LockWait,
}

/// The verdicts, and whether some were there.
async fn within(
    db: &Db,
    tx: &DatabaseTransaction,
    attempt: VerdictRun<'_>,
) -> StoreResult<(Vec<CellVerdicts>, bool)> {
    let VerdictRun { batch, at_ms, look, wait } = attempt;
    let mut found = lock(db, tx, batch.iter().map(|c| &c.cell), wait).await?;
    if look == LookUp::Beyond {
        look_beyond(db, tx, &mut found).await?;
    }
    let known = match look {
        LookUp::No => Existing::default(),
        LookUp::Known | LookUp::Beyond => {
            let orders = batch.iter().flat_map(|c| c.asks.iter().map(|a| a.order.into()));
            existing(db, tx, Class::Verdict, &orders.collect::<Vec<_>>()).await?
        }
    };
    let absent = absent(db, tx, batch, &found).await?;
    let mut out = Vec::with_capacity(batch.len());
    let mut unrowed = Vec::new();
    for c in batch {
        let Some(cell) = found.cells.get_mut(&c.cell) else {
            out.push(skipped(c, &found, &absent));
            continue;
        };
        let verdicts = decided(db, cell, c, &known, at_ms as i64)?;
        let pieces = anchors(db, c, &verdicts);
        let range = range(c, &pieces, at_ms);
        unrowed.extend(pieces.iter().map(|p| unrowed_row(cell.no, p, at_ms)));
        let (prev, entries) = (Some(cell.prev), cell.entries.clone());
        let cell = c.cell.clone();
        out.push(CellVerdicts { cell, prev, entries, verdicts, unrowed: range, skipped: None });
    }
    write(db, tx, &found.cells).await?;
    insert::many(db, tx, unrowed, None).await?;
    Ok((out, !known.is_empty()))
}

/// The cells of a batch that were not locked although they exist.
async fn absent(
    db: &Db,
    tx: &DatabaseTransaction,
    batch: &[CellAsks],
    found: &FoundCells,
) -> StoreResult<HashSet<CellId>> {
    let away = |c: &&CellId| !found.cells.contains_key(*c) && !found.broken.contains_key(*c);
    let away: Vec<&CellId> = batch.iter().map(|c| &c.cell).filter(away).collect();
    if away.is_empty() { Ok(HashSet::new()) } else { reads::existing_cells(db, tx, &away).await }
}

fn skipped(c: &CellAsks, found: &FoundCells, busy: &HashSet<CellId>) -> CellVerdicts {
    let why = if found.broken.contains_key(&c.cell) {
        Skipped::Broken
    } else if busy.contains(&c.cell) {
        Skipped::Busy
    } else {
        Skipped::NoCell
    };
    CellVerdicts {
        cell: c.cell.clone(),
        prev: None,
        entries: Vec::new(),
        verdicts: Vec::new(),
        unrowed: None,
        skipped: Some(why),
    }
}

fn decided(
    db: &Db,
    cell: &mut Locked,
    c: &CellAsks,
    known: &Existing,
    at_ms: i64,
) -> StoreResult<Vec<Verdict>> {
    let mut fresh: HashMap<OrderId, Verdict> = HashMap::new();
    let mut out = Vec::with_capacity(c.asks.len());
    for ask in &c.asks {
        if let Some(&(kind, seq, _)) = known.get(&(cell.no, ask.order.into())) {
            out.push(Verdict { kind, seq, fresh: false });
            continue;
        }
        if let Some(v) = fresh.get(&ask.order) {
            out.push(Verdict { fresh: false, ..*v });
            continue;
        }
        let draft =
            decide::verdict(&cell.now, ask.mode, ask.order.into(), ask.buyer.as_str(), ask.qty);
        let kind = draft.kind;
        let seq = cell.append(db, draft, at_ms)?;
        let verdict = Verdict { kind, seq, fresh: true };
        fresh.insert(ask.order, verdict);
        out.push(verdict);
    }
    Ok(out)
}

type Anchors<'a> = Vec<(u64, Mode, &'a Sealed)>;

/// The fresh verdicts of anchors with their orders, cut so that no statement grows too large.
fn anchors<'a>(db: &Db, c: &'a CellAsks, verdicts: &[Verdict]) -> Vec<Anchors<'a>> {
    let is_anchor = |(a, v): &(&Ask, &Verdict)| a.anchor && v.fresh;
    let mut pieces: Vec<Anchors<'a>> = Vec::new();
    let mut room = 0;
    for (ask, verdict) in c.asks.iter().zip(verdicts).filter(is_anchor) {
        let size = kept::size(&ask.sealed);
        if size > room {
            pieces.push(Vec::new());
            room = db.most_bytes;
        }
        room = room.saturating_sub(size);
        if let Some(piece) = pieces.last_mut() {
            piece.push((verdict.seq, ask.mode, &ask.sealed));
        }
    }
    pieces
}

fn range(c: &CellAsks, pieces: &[Anchors<'_>], at_ms: u64) -> Option<UnrowedRange> {
    let (first_seq, ..) = *pieces.first()?.first()?;
    let (last_seq, ..) = *pieces.last()?.last()?;
    Some(UnrowedRange { cell: c.cell.clone(), first_seq, last_seq, at_ms })
}

fn unrowed_row(cell_no: i32, piece: &Anchors<'_>, at_ms: u64) -> unrowed::ActiveModel {
    let seq = |at: Option<&(u64, Mode, &Sealed)>| Set(at.map_or(0, |(seq, ..)| *seq as i64));
    unrowed::ActiveModel {
        cell_no: Set(cell_no),
        first_seq: seq(piece.first()),
        last_seq: seq(piece.last()),
        at_ms: Set(at_ms as i64),
        orders: Set(kept::pack(piece.iter().copied())),
    }
}
