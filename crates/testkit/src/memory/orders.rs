//! The port's `Orders`: rows are inserted where they are absent and never updated.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use domain::frame::Sealed;
use domain::life::{Actor, LifeAnswer, LifeWish, Policies};
use domain::order::RejectReason;
use domain::{Buyer, IdempotencyKey, Line, OfferId, OrderId, Payload, RowStatus};
use store::port::{
    KeptRow, KeptRows, LifeCall, LifeWrite, MAX_ORDERS, OrderRow, OrdersRead, OrdersWrite, RowAsk,
    RowPage, RowState,
};
use store::{StoreError, StoreResult};

use super::mutant::StoreMutant;
use super::state::{Database, MemoryStore, Row, Tx};

fn state(row: &OrderRow) -> RowState {
    RowState { order: row.order, status: row.status, reason: row.reason, fresh: false }
}

fn row(ask: &RowAsk, rejected: Option<RejectReason>, owns_key: bool, now_ms: u64) -> Row {
    let p = &ask.payload;
    let line = |l: &domain::Line| (l.cell.offer.clone(), l.cell.bucket, l.qty, l.unit_minor);
    let row = OrderRow {
        order: p.order,
        buyer: p.buyer.clone(),
        key: p.key.clone().filter(|_| owns_key),
        status: if rejected.is_some() { RowStatus::Rejected } else { RowStatus::Pending },
        reason: rejected,
        version: 1,
        lines: p.lines.iter().map(line).collect(),
        currency: p.currency.clone(),
        amount: p.amount_minor(),
        metadata: p.metadata.clone(),
        created_at: ask.t_ms,
        updated_at: now_ms,
        expires_at: p.expires_in_row(ask.t_ms, now_ms, ask.least_ms),
        captured: 0,
        refunded: 0,
        supersedes: p.supersedes,
        superseded_by: None,
    };
    let (anchor, window_ms) = (p.anchor_line().cell.clone(), p.window_ms);
    Row { row, anchor, came_from: None, window_ms }
}

fn kept(Row { row: r, anchor, window_ms, .. }: &Row) -> KeptRow {
    let line = |(offer, bucket, qty, unit): &(OfferId, u8, u32, i64)| Line {
        cell: offer.cell(*bucket),
        qty: *qty,
        unit_minor: *unit,
    };
    let lines: Vec<Line> = r.lines.iter().map(line).collect();
    let cells: Vec<_> = lines.iter().map(|l| l.cell.clone()).collect();
    let has_bytes = r.key.is_some() || r.supersedes.is_some();
    let payload = has_bytes.then(|| Payload {
        order: r.order,
        buyer: r.buyer.clone(),
        key: r.key.clone(),
        anchor: cells.iter().position(|c| c == anchor).unwrap_or(0),
        lines,
        metadata: r.metadata.clone(),
        currency: r.currency.clone(),
        campaign: r.order.campaign(),
        window_ms: *window_ms,
        supersedes: r.supersedes,
    });
    let sealed = payload.map(|p| Sealed { t_ms: r.created_at, payload: p.encode().into() });
    KeptRow {
        order: r.order,
        status: r.status,
        cells,
        updated_ms: r.updated_at,
        refunded: r.refunded,
        sealed,
    }
}

fn insert(tx: &mut Tx<'_>, ask: &RowAsk) {
    let p = &ask.payload;
    let key = p.key.clone().map(|key| (p.buyer.clone(), key));
    let gone = ask.rejected == Some(RejectReason::KeyConflict);
    let is_owner =
        !gone && key.is_none_or(|key| *tx.db.keys.entry(key).or_insert(p.order) == p.order);
    let owns_key = is_owner || tx.has(StoreMutant::NoKeyUnique);
    let lost = (!owns_key && !tx.has(StoreMutant::KeyConflictLeavesLive))
        .then_some(RejectReason::KeyConflict);
    let row = row(ask, lost.or(ask.rejected), owns_key, tx.at_ms);
    tx.db.rows.insert(p.order, row);
}

fn run(mut tx: Tx<'_>, asks: &[RowAsk]) -> StoreResult<Vec<RowState>> {
    let upsert = tx.has(StoreMutant::RowUpsert);
    let mut fresh: BTreeSet<OrderId> = BTreeSet::new();
    for ask in asks {
        let is_new = !tx.db.rows.contains_key(&ask.payload.order);
        if is_new || upsert {
            insert(&mut tx, ask);
        }
        if is_new {
            fresh.insert(ask.payload.order);
        }
    }
    let answer = |ask: &RowAsk| {
        let found = tx.db.rows.get(&ask.payload.order).map(|r| state(&r.row))?;
        Some(RowState { fresh: fresh.remove(&found.order), ..found })
    };
    Ok(asks.iter().filter_map(answer).collect())
}

fn by_key(db: &Database, key: &(Buyer, IdempotencyKey)) -> Option<OrderRow> {
    db.keys.get(key).and_then(|id| db.rows.get(id)).map(|r| r.row.clone())
}

#[async_trait]
impl OrdersRead for MemoryStore {
    async fn kept_rows(
        &self,
        db: u16,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<KeptRows> {
        self.read(db, |d| {
            let later = d.rows.iter().filter(|(id, _)| after.is_none_or(|a| **id > a));
            let rows: Vec<_> = later.take(limit as usize).map(|(_, r)| kept(r)).collect();
            let next = rows.last().filter(|_| rows.len() as u64 == limit).map(|r| r.order);
            Ok(KeptRows { rows, unreadable: 0, next })
        })
        .await
    }
    async fn statuses(&self, db: u16, ids: &[OrderId]) -> StoreResult<Vec<Option<RowState>>> {
        self.read(db, |d| Ok(ids.iter().map(|id| d.rows.get(id).map(|r| state(&r.row))).collect()))
            .await
    }
    async fn order(&self, order: OrderId) -> StoreResult<Option<OrderRow>> {
        let db = self.db_of_order(order);
        self.read(db, |d| Ok(d.rows.get(&order).map(|r| r.row.clone()))).await
    }
    async fn order_of_key(
        &self,
        buyer: &Buyer,
        key: &IdempotencyKey,
    ) -> StoreResult<Option<OrderRow>> {
        let pair = (buyer.clone(), key.clone());
        self.read(self.db_of_buyer(buyer), |d| Ok(by_key(d, &pair))).await
    }
    async fn scan_rows(
        &self,
        db: u16,
        offer: &OfferId,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<RowPage> {
        self.read(db, |d| {
            let later = d.rows.iter().filter(|(id, _)| after.is_none_or(|a| **id > a));
            let seen: Vec<_> = later.take(limit as usize).collect();
            let last = seen.last().filter(|_| seen.len() as u64 == limit);
            let next = last.map(|(id, _)| **id);
            let of_offer = seen.iter().filter(|(_, r)| r.anchor.offer == *offer);
            let shown = |r: &Row| (state(&r.row), r.row.key.clone());
            Ok(RowPage { rows: of_offer.map(|(_, r)| shown(r)).collect(), next })
        })
        .await
    }
}

#[async_trait]
impl OrdersWrite for MemoryStore {
    async fn rows(&self, db: u16, asks: &[RowAsk]) -> StoreResult<Vec<RowState>> {
        if asks.len() > MAX_ORDERS {
            return Err(StoreError::corrupt(db, format!("{} orders in one call", asks.len())));
        }
        self.tx(db, |tx| run(tx, asks)).await
    }
    async fn reject(&self, db: u16, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        let ids: BTreeSet<OrderId> = orders.iter().copied().collect();
        let wishes = ids.iter().map(|order| LifeWish::Reject(*order)).collect();
        let (actor, policies) = (Actor::Writer, Policies::default());
        let answers = self.live(&LifeCall { db, actor, policies, wishes }).await?;
        let done = ids.into_iter().zip(answers).filter(|(_, a)| *a == LifeAnswer::Done);
        Ok(done.map(|(order, _)| order).collect())
    }
}

/// Rows by order, as the oracle sees them.
pub(super) fn all(dbs: &[Database]) -> BTreeMap<OrderId, OrderRow> {
    dbs.iter().flat_map(|d| d.rows.iter().map(|(id, r)| (*id, r.row.clone()))).collect()
}
