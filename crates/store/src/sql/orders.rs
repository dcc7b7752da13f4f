//! The port's `Orders`: one shard per question.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::life::{Actor, LifeAnswer, LifeWish, Policies};
use domain::{Buyer, IdempotencyKey, OfferId, OrderId};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Db, SqlStore, convert, kept_rows, rows};
use crate::entity::{order_line, orders};
use crate::error::StoreResult;
use crate::port::{
    KeptRows, LifeCall, LifeWrite, MAX_ORDERS, OrderRow, OrdersRead, OrdersWrite, RowAsk, RowPage,
    RowState,
};

type Lines = Vec<(OfferId, u8, u32, i64)>;

/// The lines of a cart; the one line of another order is in its row.
async fn lines_of(db: &Db, row: &orders::Model) -> StoreResult<Lines> {
    if row.more_lines == 0 {
        let offer = convert::parse(db, row.offer.clone(), "orders.offer")?;
        return Ok(vec![(offer, row.bucket as u8, row.qty as u32, row.unit_minor)]);
    }
    let conn = db.conn().await?;
    let lines = order_line::Entity::find()
        .filter(order_line::Column::OrderId.eq(row.order_id.clone()))
        .order_by_asc(order_line::Column::Line)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let mut out = Vec::with_capacity(lines.len());
    for l in lines {
        let offer: OfferId = convert::parse(db, l.offer, "order_line.offer")?;
        out.push((offer, l.bucket as u8, l.qty as u32, l.unit_minor));
    }
    Ok(out)
}

async fn with_lines(db: &Db, row: orders::Model) -> StoreResult<OrderRow> {
    let lines = lines_of(db, &row).await?;
    let key = row.idem_key.map(|k| convert::parse(db, k, "orders.idem_key")).transpose()?;
    Ok(OrderRow {
        order: convert::order_id(db, &row.order_id)?,
        buyer: convert::buyer(db, &row.buyer)?,
        key,
        status: convert::status(db, row.status)?,
        reason: convert::reason(db, row.reason)?,
        version: row.version as u32,
        lines,
        currency: row.currency,
        amount: row.amount,
        metadata: row.metadata,
        created_at: row.created_at as u64,
        updated_at: row.updated_at as u64,
        expires_at: row.expires_at as u64,
        captured: row.captured,
        refunded: row.refunded,
        supersedes: convert::other_order(db, row.supersedes.as_deref())?,
        superseded_by: convert::other_order(db, row.superseded_by.as_deref())?,
    })
}

async fn one(db: &Db, by: sea_orm::sea_query::SimpleExpr) -> StoreResult<Option<OrderRow>> {
    let conn = db.conn().await?;
    let row = orders::Entity::find().filter(by).one(&*conn).await.map_err(|e| db.err(e))?;
    match row {
        Some(row) => with_lines(db, row).await.map(Some),
        None => Ok(None),
    }
}

async fn scan(
    db: &Db,
    offer: &OfferId,
    after: Option<OrderId>,
    limit: u64,
) -> StoreResult<RowPage> {
    type Found = (Vec<u8>, i8, Option<String>, Vec<u8>, Option<Vec<u8>>);
    let conn = db.conn().await?;
    let from = after.map(|o| o.0.to_vec()).unwrap_or_default();
    let found: Vec<Found> = orders::Entity::find()
        .select_only()
        .columns([orders::Column::OrderId, orders::Column::Status, orders::Column::Reason])
        .columns([orders::Column::Offer, orders::Column::IdemKey])
        .filter(orders::Column::OrderId.gt(from))
        .order_by_asc(orders::Column::OrderId)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let last = found.last().filter(|_| found.len() as u64 == limit);
    let next = last.map(|l| convert::order_id(db, &l.0)).transpose()?;
    let mut of_offer = Vec::new();
    for (id, status, reason, of, key) in found {
        if of == offer.as_str().as_bytes() {
            let (order, status) = (convert::order_id(db, &id)?, convert::status(db, status)?);
            let reason = convert::reason(db, reason)?;
            let key = key.map(|k| convert::parse(db, k, "orders.idem_key")).transpose()?;
            of_offer.push((RowState { order, status, reason, fresh: false }, key));
        }
    }
    Ok(RowPage { rows: of_offer, next })
}

#[async_trait]
impl OrdersRead for SqlStore {
    async fn kept_rows(
        &self,
        db: u16,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<KeptRows> {
        let db = self.db(db)?;
        db.run(|| kept_rows::page(db, after, limit)).await
    }
    async fn statuses(&self, db: u16, ids: &[OrderId]) -> StoreResult<Vec<Option<RowState>>> {
        let db = self.db(db)?;
        let read = || async {
            let conn = db.conn().await?;
            rows::states(db, &*conn, ids).await
        };
        let found = db.run(read).await?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }
    async fn order(&self, order: OrderId) -> StoreResult<Option<OrderRow>> {
        let db = self.db(self.db_of_order(order))?;
        db.run(|| one(db, orders::Column::OrderId.eq(order.0.to_vec()))).await
    }
    async fn order_of_key(
        &self,
        buyer: &Buyer,
        key: &IdempotencyKey,
    ) -> StoreResult<Option<OrderRow>> {
        let db = self.db(self.db_of_buyer(buyer))?;
        let by = || {
            orders::Column::Buyer
                .eq(buyer.scoped().into_owned())
                .and(orders::Column::IdemKey.eq(key.as_str().as_bytes().to_vec()))
        };
        db.run(|| one(db, by())).await
    }
    async fn scan_rows(
        &self,
        db: u16,
        offer: &OfferId,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<RowPage> {
        let db = self.db(db)?;
        db.run(|| scan(db, offer, after, limit)).await
    }
}

#[async_trait]
impl OrdersWrite for SqlStore {
    async fn rows(&self, db: u16, asks: &[RowAsk]) -> StoreResult<Vec<RowState>> {
        let db = self.db(db)?;
        if asks.len() > MAX_ORDERS {
            return Err(db.corrupt(format!("{} orders in one call", asks.len())));
        }
        db.run(|| rows::run(db, asks, self.clock.now_ms() as i64)).await
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
