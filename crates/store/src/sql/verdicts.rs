//! The verdict transaction.
//!
//! One verdict for each order and cell (INV-2) is the ledger's unique key. Existing verdicts are
//! read only when it turns one away, and then *after* the cell row is locked: a snapshot from
//! before the lock would not have them. A cell that somebody else has locked for too long, or
//! whose row is wrong, is left out, and the others of the batch go on.

use std::collections::{HashMap, HashSet};

use domain::frame::{Mode, Sealed};
use domain::ledger::{Class, Kind};
use domain::{CellId, EntryId, OrderId, decide, kept};
use sea_orm::sea_query::extension::mysql::{IndexHintScope, MySqlSelectStatementExt};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
    QueryTrait,
};

use super::db::Look;
use super::lock::{Found, Locked, Wait, lock, look_beyond, write};
use super::{Db, convert, insert, reads};
use crate::entity::{ledger, unrowed};
use crate::error::{StoreError, StoreResult};
use crate::ladder;
use crate::port::{Ask, CellAsks, CellVerdicts, Skipped, UnrowedRange, Verdict};

/// (cell's number, order) -> (kind, position, units).
pub(super) type Known = HashMap<(i32, EntryId), (Kind, u64, i64)>;

type KnownRow = (i32, Vec<u8>, i8, i64, i64);

/// Existing entries of one class for some orders, in any cell.
pub(super) async fn existing(
    db: &Db,
    tx: &DatabaseTransaction,
    class: Class,
    ids: &[EntryId],
) -> StoreResult<Known> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|o| o.0.to_vec()).collect();
    let mut found = HashMap::new();
    for piece in ladder::padded(&keys, ladder::STEPS[0]) {
        let mut find = ledger::Entity::find()
            .select_only()
            .columns([ledger::Column::CellNo, ledger::Column::OrderId, ledger::Column::Kind])
            .columns([ledger::Column::Seq, ledger::Column::Qty])
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::Class.eq(class as i8));
        by_order(&mut find);
        let rows: Vec<KnownRow> = find.into_tuple().all(tx).await.map_err(|e| db.err(e))?;
        for (cell, id, kind, seq, qty) in rows {
            let id = convert::entry_id(db, &id)?;
            found.insert((cell, id), (convert::kind_of(db, class, kind)?, seq as u64, qty));
        }
    }
    Ok(found)
}

/// Names the index: with more than 200 ids a server guesses from statistics, which lag behind a
/// table that grows, and may read all of it instead.
pub(super) fn by_order(find: &mut sea_orm::Select<ledger::Entity>) {
    forced(find, "ledger_order");
}

/// Names the index of a look-up of many keys. SQLite needs no such word and gets none.
pub(super) fn forced<E: EntityTrait>(find: &mut sea_orm::Select<E>, index: &'static str) {
    QueryTrait::query(find).force_index(index, IndexHintScope::All);
}

/// The verdict transaction over the cells of one database.
pub(super) async fn run(db: &Db, batch: &[CellAsks], at_ms: u64) -> StoreResult<Vec<CellVerdicts>> {
    let attempt = |wait| {
        let once = move |look| async move {
            let tx = db.begin().await?;
            let done = within(db, &tx, (batch, at_ms), (look, wait)).await;
            db.end(tx, done).await
        };
        db.insert_first(&db.met_verdicts, once)
    };
    match attempt(db.wait()).await {
        // Its neighbours must not wait with it: once more, without those that are locked.
        Err(StoreError::Busy { .. }) => {
            db.met_lock();
            attempt(Wait::Skip).await
        }
        done => done,
    }
}

/// The verdicts, and whether some were there.
async fn within(
    db: &Db,
    tx: &DatabaseTransaction,
    (batch, at_ms): (&[CellAsks], u64),
    (look, wait): (Look, Wait),
) -> StoreResult<(Vec<CellVerdicts>, bool)> {
    let mut found = lock(db, tx, batch.iter().map(|c| &c.cell), wait).await?;
    if look == Look::Beyond {
        look_beyond(db, tx, &mut found).await?;
    }
    let known = match look {
        Look::No => Known::default(),
        Look::Known | Look::Beyond => {
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
    found: &Found,
) -> StoreResult<HashSet<CellId>> {
    let away = |c: &&CellId| !found.cells.contains_key(*c) && !found.broken.contains_key(*c);
    let away: Vec<&CellId> = batch.iter().map(|c| &c.cell).filter(away).collect();
    if away.is_empty() { Ok(HashSet::new()) } else { reads::existing_cells(db, tx, &away).await }
}

fn skipped(c: &CellAsks, found: &Found, busy: &HashSet<CellId>) -> CellVerdicts {
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
    known: &Known,
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
        let line = (ask.buyer.as_str(), ask.qty);
        let draft = decide::verdict(&cell.now, ask.mode, ask.order.into(), line);
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
