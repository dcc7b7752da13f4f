//! Money beyond one order: pages of payments, and what moved at a provider in a time.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{MoneyTotals, PaymentKey, RefundState};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder};
use sea_orm::{QuerySelect, Select};

use super::super::find::forced;
use super::super::marks::db_now;
use super::super::{Db, SqlStore, convert, insert};
use super::load;
use crate::entity::{money_total, payment, refund};
use crate::error::StoreResult;
use crate::port::{MoneyMoved, MoneyRead, MoneyRow, MoneyWanted, MoneyWay, MoneyWrite};

type NamedRow = (String, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

fn named(db: &Db, row: &NamedRow) -> StoreResult<(PaymentKey, OrderId)> {
    let (provider, payment, named, pays) = row;
    let home = pays.as_ref().unwrap_or(named);
    Ok((load::payment_key(db, provider, payment)?, convert::order_id(db, home)?))
}

/// A page of payments, in the order of their keys.
async fn payments_after(
    db: &Db,
    after: Option<&PaymentKey>,
    limit: u64,
) -> StoreResult<Vec<(PaymentKey, OrderId)>> {
    use payment::Column::{FateOrder, OrderId as Named, PaymentId, Provider};
    let conn = db.conn().await?;
    let page = |only: Condition, left: u64| {
        let mut find: Select<payment::Entity> = payment::Entity::find()
            .select_only()
            .columns([Provider, PaymentId, Named, FateOrder])
            .filter(only)
            .limit(left);
        forced(&mut find, "PRIMARY");
        find
    };
    // Two plain ranges: one condition over both columns would read a provider's payments from the
    // first one on, page after page.
    let mut rows: Vec<NamedRow> = Vec::new();
    let mut others = Condition::all();
    if let Some(last) = after {
        let (provider, id) = (last.provider.as_str(), last.payment.as_str().as_bytes().to_vec());
        let own = Condition::all().add(Provider.eq(provider)).add(PaymentId.gt(id));
        // MariaDB sorts the whole range when the order names a column that is held by `=` and a
        // text of another collation, as a connection's is.
        let find = page(own, limit).order_by_asc(PaymentId);
        rows = find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
        others = others.add(Provider.gt(provider));
    }
    let left = limit.saturating_sub(rows.len() as u64);
    if left > 0 {
        let find = page(others, left).order_by_asc(Provider).order_by_asc(PaymentId);
        let more: Vec<NamedRow> = find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
        rows.extend(more);
    }
    rows.iter().map(|row| named(db, row)).collect()
}

/// Where a page begins; what did not move has 0.
fn first_ms(wanted: &MoneyWanted) -> i64 {
    let from = wanted.after.as_ref().map_or(wanted.from_ms, |last| last.at_ms);
    Ord::max(from, 1) as i64
}

type CapturedRow = (i64, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

/// Captured payments of a time.
async fn came_in(db: &Db, wanted: &MoneyWanted) -> StoreResult<Vec<MoneyMoved>> {
    use payment::Column::{CapturedAt, FateOrder, OrderId as Named, PaymentId, Provider};
    let conn = db.conn().await?;
    let from = first_ms(wanted);
    let mut find = payment::Entity::find()
        .select_only()
        .columns([CapturedAt, PaymentId, Named, FateOrder])
        .filter(Provider.eq(wanted.provider.as_str()))
        .filter(CapturedAt.gte(from))
        .filter(CapturedAt.lt(wanted.to_ms as i64))
        .order_by_asc(CapturedAt)
        .order_by_asc(PaymentId)
        .limit(wanted.limit);
    if let Some(last) = &wanted.after {
        let id = last.payment.payment.as_str().as_bytes().to_vec();
        find = find.filter(Condition::any().add(CapturedAt.gt(from)).add(PaymentId.gt(id)));
    }
    forced(&mut find, "payment_captured");
    let rows: Vec<CapturedRow> = find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
    let row = |(at, id, named, pays): &CapturedRow| {
        Ok(MoneyMoved {
            at_ms: *at as u64,
            order: convert::order_id(db, pays.as_ref().unwrap_or(named))?,
            refund: None,
            payment: load::payment_key(db, wanted.provider.as_str(), id)?,
        })
    };
    rows.iter().map(row).collect()
}

type MovedRow = (i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// Refunds of a time.
async fn went_back(db: &Db, wanted: &MoneyWanted) -> StoreResult<Vec<MoneyMoved>> {
    use refund::Column::{MovedAt, OrderId as Of, PaymentId, Provider, RefundId as Id, State};
    let conn = db.conn().await?;
    let from = first_ms(wanted);
    let mut find = refund::Entity::find()
        .select_only()
        .columns([MovedAt, Of, Id, PaymentId])
        .filter(Provider.eq(wanted.provider.as_str()))
        .filter(MovedAt.gte(from))
        .filter(MovedAt.lt(wanted.to_ms as i64))
        // One that bounced did not move.
        .filter(State.eq(RefundState::Succeeded as i8))
        .order_by_asc(MovedAt)
        .order_by_asc(Of)
        .order_by_asc(Id)
        .order_by_asc(PaymentId)
        .limit(wanted.limit);
    if let Some((last, name)) = wanted.after.as_ref().and_then(|l| Some((l, l.refund.as_ref()?))) {
        let (order, id) = (last.order.0.to_vec(), name.as_str().as_bytes().to_vec());
        let payment = last.payment.payment.as_str().as_bytes().to_vec();
        let part = Of.eq(order.clone()).and(Id.eq(id.clone())).and(PaymentId.gt(payment));
        let behind = Condition::any().add(MovedAt.gt(from)).add(Of.gt(order.clone()));
        find = find.filter(behind.add(Of.eq(order).and(Id.gt(id))).add(part));
    }
    forced(&mut find, "refund_moved");
    let rows: Vec<MovedRow> = find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
    let row = |(at, order, id, payment): MovedRow| {
        Ok(MoneyMoved {
            at_ms: at as u64,
            order: convert::order_id(db, &order)?,
            refund: Some(convert::parse(db, id, "refund.refund_id")?),
            payment: load::payment_key(db, wanted.provider.as_str(), &payment)?,
        })
    };
    rows.into_iter().map(row).collect()
}

async fn totals(db: &Db) -> StoreResult<Vec<MoneyRow>> {
    let conn = db.conn().await?;
    let find = money_total::Entity::find().order_by_asc(money_total::Column::Currency);
    let rows = find.all(&*conn).await.map_err(|e| db.err(e))?;
    let row = |m: money_total::Model| MoneyRow {
        currency: m.currency,
        totals: MoneyTotals {
            captured: m.captured,
            refunded: m.refunded,
            under_way: m.under_way,
            manual: m.manual,
            broken: m.broken as u64,
        },
        at_ms: m.at_ms as u64,
    };
    Ok(rows.into_iter().map(row).collect())
}

async fn put(db: &Db, rows: &[MoneyRow]) -> StoreResult<()> {
    let tx = db.begin().await?;
    let work = async {
        let now = db_now(db, &tx).await?;
        money_total::Entity::delete_many().exec(&tx).await.map_err(|e| db.err(e))?;
        let row = |r: &MoneyRow| money_total::ActiveModel {
            currency: Set(r.currency.clone()),
            captured: Set(r.totals.captured),
            refunded: Set(r.totals.refunded),
            under_way: Set(r.totals.under_way),
            manual: Set(r.totals.manual),
            broken: Set(r.totals.broken as i64),
            at_ms: Set(if r.at_ms == 0 { now } else { r.at_ms as i64 }),
        };
        insert::many(db, &tx, rows.iter().map(row).collect(), None).await
    };
    let done = work.await;
    db.end(tx, done).await
}

#[async_trait]
impl MoneyRead for SqlStore {
    async fn payments_after(
        &self,
        db: u16,
        after: Option<&PaymentKey>,
        limit: u64,
    ) -> StoreResult<Vec<(PaymentKey, OrderId)>> {
        let db = self.db(db)?;
        db.run(|| payments_after(db, after, limit)).await
    }
    async fn payments_named(
        &self,
        db: u16,
        keys: &[PaymentKey],
    ) -> StoreResult<Vec<(PaymentKey, OrderId)>> {
        let db = self.db(db)?;
        let keys: BTreeSet<PaymentKey> = keys.iter().cloned().collect();
        db.run(|| async {
            let conn = db.conn().await?;
            let found = load::by_key(db, &*conn, &keys, false).await?;
            Ok(found.into_iter().map(|(key, payment)| (key, payment.home())).collect())
        })
        .await
    }
    async fn moved(&self, db: u16, wanted: &MoneyWanted) -> StoreResult<Vec<MoneyMoved>> {
        let db = self.db(db)?;
        match wanted.way {
            MoneyWay::In => db.run(|| came_in(db, wanted)).await,
            MoneyWay::Back => db.run(|| went_back(db, wanted)).await,
        }
    }
    async fn money(&self, db: u16) -> StoreResult<Vec<MoneyRow>> {
        let db = self.db(db)?;
        db.run(|| totals(db)).await
    }
}

#[async_trait]
impl MoneyWrite for SqlStore {
    async fn put_money(&self, db: u16, rows: &[MoneyRow]) -> StoreResult<()> {
        let db = self.db(db)?;
        db.run(|| put(db, rows)).await
    }
}
