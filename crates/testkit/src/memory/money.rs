//! Money beyond one order, over the tables in memory.

use std::ops::Bound;

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{PaymentKey, RefundState};
use store::StoreResult;
use store::port::{MoneyMoved, MoneyRead, MoneyRow, MoneyWanted, MoneyWay, MoneyWrite};

use super::life_tables::LifeTables;
use super::state::MemoryStore;

fn moved(tables: &LifeTables, way: MoneyWay) -> Vec<MoneyMoved> {
    let came = |(key, p): (&PaymentKey, &domain::life::Payment)| MoneyMoved {
        at_ms: p.captured_ms,
        order: p.home(),
        refund: None,
        payment: key.clone(),
    };
    match way {
        MoneyWay::In => tables.payments.iter().map(came).collect(),
        MoneyWay::Back => tables
            .refunds
            .iter()
            .filter(|(_, refund)| refund.state == RefundState::Succeeded)
            .map(|((order, key), refund)| MoneyMoved {
                at_ms: refund.moved_ms,
                order: *order,
                refund: Some(key.refund.clone()),
                payment: key.payment.clone(),
            })
            .collect(),
    }
}

/// The order of pages: that of the index which SQL reads them from.
fn place(m: &MoneyMoved) -> (u64, Option<OrderId>, Option<domain::life::RefundId>, PaymentKey) {
    let order = m.refund.as_ref().map(|_| m.order);
    (m.at_ms, order, m.refund.clone(), m.payment.clone())
}

#[async_trait]
impl MoneyRead for MemoryStore {
    async fn payments_after(
        &self,
        db: u16,
        after: Option<&PaymentKey>,
        limit: u64,
    ) -> StoreResult<Vec<(PaymentKey, OrderId)>> {
        self.read(db, |db| {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let found = db.life.payments.range::<PaymentKey, _>((from, Bound::Unbounded));
            Ok(found.map(|(key, p)| (key.clone(), p.home())).take(limit as usize).collect())
        })
        .await
    }
    async fn payments_named(
        &self,
        db: u16,
        keys: &[PaymentKey],
    ) -> StoreResult<Vec<(PaymentKey, OrderId)>> {
        self.read(db, |db| {
            let found = |key: &PaymentKey| Some((key.clone(), db.life.payments.get(key)?.home()));
            Ok(keys.iter().filter_map(found).collect())
        })
        .await
    }
    async fn moved(&self, db: u16, wanted: &MoneyWanted) -> StoreResult<Vec<MoneyMoved>> {
        self.read(db, |db| {
            let times = wanted.from_ms.max(1)..wanted.to_ms;
            let mut found = moved(&db.life, wanted.way);
            found.retain(|m| {
                let behind = wanted.after.as_ref().is_none_or(|last| place(m) > place(last));
                m.payment.provider == wanted.provider && times.contains(&m.at_ms) && behind
            });
            found.sort_by_key(place);
            found.truncate(wanted.limit as usize);
            Ok(found)
        })
        .await
    }
    async fn money(&self, db: u16) -> StoreResult<Vec<MoneyRow>> {
        self.read(db, |db| Ok(db.life.money.clone())).await
    }
}

#[async_trait]
impl MoneyWrite for MemoryStore {
    async fn put_money(&self, db: u16, rows: &[MoneyRow]) -> StoreResult<()> {
        self.tx(db, |tx| {
            let now = tx.at_ms;
            let at = |r: &MoneyRow| if r.at_ms == 0 { now } else { r.at_ms };
            let row = |r: &MoneyRow| MoneyRow { at_ms: at(r), ..r.clone() };
            tx.db.life.money = rows.iter().map(row).collect();
            tx.db.life.money.sort_by(|a, b| a.currency.cmp(&b.currency));
            Ok(())
        })
        .await
    }
}
