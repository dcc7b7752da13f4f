//! The verdict transaction, and the primitive every ledger write uses: lock, read, append.
//!
//! One verdict for each order and cell (INV-2) is the ledger's unique key. Existing verdicts are
//! read only when it turns one away, and then *after* the cell row is locked: a snapshot from
//! before the lock would not have them. Cells are locked in cell order, so two
//! transactions never wait for each other in a circle. The counters are computed by
//! `domain::Totals::append` and nowhere else (INV-1).

use std::collections::{BTreeMap, HashMap};

use domain::frame::Mode;
use domain::ledger::{Class, Draft, Kind};
use domain::{CellId, Entry, OrderId, Totals};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{Db, convert, insert};
use crate::entity::{cell, ledger, unrowed};
use crate::error::StoreResult;
use crate::ladder;
use crate::port::{CellAsks, CellVerdicts, UnrowedRange, Verdict};

/// A locked cell and what this transaction appends to it.
pub(super) struct Locked {
    pub key: Vec<u8>,
    pub prev: Totals,
    pub now: Totals,
    pub entries: Vec<Entry>,
}

impl Locked {
    pub fn append(&mut self, db: &Db, draft: Draft, at_ms: i64) -> StoreResult<u64> {
        let entry = self.now.append(draft, at_ms).map_err(|e| db.corrupt(e.to_string()))?;
        self.entries.push(entry);
        Ok(self.now.seq)
    }
}

/// Locks cell rows in cell order; cells without a row are absent from the answer.
pub(super) async fn lock(
    db: &Db,
    tx: &DatabaseTransaction,
    cells: impl Iterator<Item = &CellId>,
) -> StoreResult<BTreeMap<Vec<u8>, Locked>> {
    let mut keys: Vec<Vec<u8>> = cells.map(convert::cell_key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut locked = BTreeMap::new();
    for piece in ladder::padded(&keys) {
        let rows = cell::Entity::find()
            .filter(cell::Column::CellId.is_in(piece))
            .order_by_asc(cell::Column::CellId)
            .lock_exclusive()
            .all(tx)
            .await
            .map_err(|e| db.err(e))?;
        for row in rows {
            let now = convert::totals(db, &row)?;
            let key = row.cell_id;
            locked.insert(key.clone(), Locked { key, prev: now, now, entries: Vec::new() });
        }
    }
    Ok(locked)
}

/// Writes what was appended: ledger rows, cell rows.
pub(super) async fn write(
    db: &Db,
    tx: &DatabaseTransaction,
    locked: &BTreeMap<Vec<u8>, Locked>,
) -> StoreResult<()> {
    let changed: Vec<&Locked> = locked.values().filter(|l| !l.entries.is_empty()).collect();
    let rows: Vec<ledger::ActiveModel> = changed
        .iter()
        .flat_map(|l| l.entries.iter().map(|e| convert::entry_row(&l.key, e)))
        .collect();
    insert::many(db, tx, rows, None).await?;
    let cells: Vec<cell::ActiveModel> =
        changed.iter().map(|l| convert::cell_row(l.key.clone(), &l.now)).collect();
    let overwrite = OnConflict::column(cell::Column::CellId)
        .update_columns([
            cell::Column::Supply,
            cell::Column::Net,
            cell::Column::Seq,
            cell::Column::Open,
            cell::Column::Tok,
        ])
        .to_owned();
    insert::many(db, tx, cells, Some(overwrite)).await
}

/// (cell key, order) -> (kind, position, units).
pub(super) type Known = HashMap<(Vec<u8>, OrderId), (Kind, u64, i64)>;

type KnownRow = (Vec<u8>, Vec<u8>, i8, i64, i64);

/// Existing entries of one class for some orders, in any cell.
pub(super) async fn existing(
    db: &Db,
    tx: &DatabaseTransaction,
    class: Class,
    orders: &[OrderId],
) -> StoreResult<Known> {
    let keys: Vec<Vec<u8>> = orders.iter().map(|o| o.0.to_vec()).collect();
    let mut found = HashMap::new();
    for piece in ladder::padded(&keys) {
        let rows: Vec<KnownRow> = ledger::Entity::find()
            .select_only()
            .columns([ledger::Column::CellId, ledger::Column::OrderId, ledger::Column::Kind])
            .columns([ledger::Column::Seq, ledger::Column::Qty])
            .filter(ledger::Column::OrderId.is_in(piece))
            .filter(ledger::Column::Class.eq(class as i8))
            .into_tuple()
            .all(tx)
            .await
            .map_err(|e| db.err(e))?;
        for (cell, order, kind, seq, qty) in rows {
            let order = convert::order_id(db, &order)?;
            found.insert((cell, order), (convert::kind(db, kind)?, seq as u64, qty));
        }
    }
    Ok(found)
}

/// The verdict transaction over the cells of one database.
pub(super) async fn run(db: &Db, batch: &[CellAsks], at_ms: u64) -> StoreResult<Vec<CellVerdicts>> {
    let attempt = async |look| {
        let tx = db.begin().await?;
        let done = within(db, &tx, (batch, at_ms), look).await;
        db.end(tx, done).await
    };
    db.insert_first(&db.met_verdicts, attempt).await
}

/// The verdicts, and whether some were there.
async fn within(
    db: &Db,
    tx: &DatabaseTransaction,
    (batch, at_ms): (&[CellAsks], u64),
    look: bool,
) -> StoreResult<(Vec<CellVerdicts>, bool)> {
    let mut locked = lock(db, tx, batch.iter().map(|c| &c.cell)).await?;
    let orders: Vec<OrderId> = batch.iter().flat_map(|c| c.asks.iter().map(|a| a.order)).collect();
    let orders = if look { &orders[..] } else { &[] };
    let known = existing(db, tx, Class::Verdict, orders).await?;
    let mut out = Vec::with_capacity(batch.len());
    for c in batch {
        let key = convert::cell_key(&c.cell);
        let Some(cell) = locked.get_mut(&key) else {
            out.push(no_cell(c));
            continue;
        };
        let verdicts = decide(db, cell, c, &known, at_ms as i64)?;
        let unrowed = range(c, &verdicts, at_ms);
        let (prev, entries) = (Some(cell.prev), cell.entries.clone());
        out.push(CellVerdicts { cell: c.cell.clone(), prev, entries, verdicts, unrowed });
    }
    write(db, tx, &locked).await?;
    write_unrowed(db, tx, &out).await?;
    Ok((out, !known.is_empty()))
}

fn no_cell(c: &CellAsks) -> CellVerdicts {
    CellVerdicts {
        cell: c.cell.clone(),
        prev: None,
        entries: Vec::new(),
        verdicts: Vec::new(),
        unrowed: None,
    }
}

fn decide(
    db: &Db,
    cell: &mut Locked,
    c: &CellAsks,
    known: &Known,
    at_ms: i64,
) -> StoreResult<Vec<Verdict>> {
    let mut fresh: HashMap<OrderId, Verdict> = HashMap::new();
    let mut out = Vec::with_capacity(c.asks.len());
    for ask in &c.asks {
        let old = known.get(&(cell.key.clone(), ask.order));
        if let Some(&(kind, seq, _)) = old {
            out.push(Verdict { kind, seq, fresh: false });
            continue;
        }
        if let Some(v) = fresh.get(&ask.order) {
            out.push(Verdict { fresh: false, ..*v });
            continue;
        }
        let qty = i64::from(ask.qty);
        let claim = ask.mode == Mode::Full && cell.now.fits(qty);
        let draft = Draft {
            kind: if claim { Kind::Claim } else { Kind::Reject },
            order: ask.order,
            buyer: ask.buyer.as_str().to_owned(),
            qty: if claim { qty } else { 0 },
            payload: ask.sealed.to_ledger(),
        };
        let kind = draft.kind;
        let seq = cell.append(db, draft, at_ms)?;
        let verdict = Verdict { kind, seq, fresh: true };
        fresh.insert(ask.order, verdict);
        out.push(verdict);
    }
    Ok(out)
}

fn range(c: &CellAsks, verdicts: &[Verdict], at_ms: u64) -> Option<UnrowedRange> {
    let anchors =
        || c.asks.iter().zip(verdicts).filter(|(a, v)| a.anchor && v.fresh).map(|(_, v)| v.seq);
    let (first_seq, last_seq) = (anchors().min()?, anchors().max()?);
    Some(UnrowedRange { cell: c.cell.clone(), first_seq, last_seq, at_ms })
}

async fn write_unrowed(db: &Db, tx: &DatabaseTransaction, out: &[CellVerdicts]) -> StoreResult<()> {
    let rows: Vec<unrowed::ActiveModel> = out
        .iter()
        .filter_map(|c| c.unrowed.as_ref())
        .map(|r| unrowed::ActiveModel {
            cell_id: Set(convert::cell_key(&r.cell)),
            first_seq: Set(r.first_seq as i64),
            last_seq: Set(r.last_seq as i64),
            at_ms: Set(r.at_ms as i64),
        })
        .collect();
    insert::many(db, tx, rows, None).await
}
