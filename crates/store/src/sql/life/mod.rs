//! The one transaction of an order's life: lock the orders, then their payments, decide, write what
//! differs and what follows. What is decided is `domain::life`'s.

mod load;
mod money;
mod save;
mod tasks;
mod work;

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::OrderId;
use domain::life::{Life, LifeAnswer, LifeContext, LifeWish, PaymentKey, carry_out};
use load::{Locks, homes};
use sea_orm::DatabaseTransaction;

use super::marks::db_now;
use super::{Db, SqlStore};
use crate::error::StoreResult;
use crate::port::{
    DueRow, ExpiringOrder, GivebackRow, HistoryRow, LifeCall, LifeRead, LifeWrite, MAX_ORDERS,
    TaskEnd, TaskRow, TasksWanted,
};

/// How often a transaction is begun again because a payment pays another order than it did when its
/// orders were locked.
const TURNS: u32 = 4;

impl SqlStore {
    async fn live_in(&self, db: &Db, call: &LifeCall) -> StoreResult<Vec<LifeAnswer>> {
        let keys: BTreeSet<PaymentKey> = call.wishes.iter().filter_map(LifeWish::payment).collect();
        let mut orders: BTreeSet<OrderId> = call.wishes.iter().flat_map(LifeWish::orders).collect();
        if !keys.is_empty() {
            let conn = db.conn().await?;
            orders.extend(homes(&load::by_key(db, &*conn, &keys, false).await?));
        }
        for _ in 0..TURNS {
            let tx = db.begin().await?;
            let done = self.within(db, &tx, call, Locks { orders: &orders, keys: &keys }).await;
            match db.end(tx, done).await? {
                LockTurn::Done(answers) => return Ok(answers),
                LockTurn::Again(more) => orders.extend(more),
            }
        }
        Err(db.corrupt("a payment changes its order again and again"))
    }

    async fn within(
        &self,
        db: &Db,
        tx: &DatabaseTransaction,
        call: &LifeCall,
        locks: Locks<'_>,
    ) -> StoreResult<LockTurn> {
        let mut found = load::lives(db, tx, locks.orders, true).await?;
        let payments = load::payments(db, tx, locks, true).await?;
        let more: Vec<OrderId> = homes(&payments).filter(|o| !locks.orders.contains(o)).collect();
        if !more.is_empty() {
            return Ok(LockTurn::Again(more));
        }
        found.take(payments);
        load::refunds(db, tx, locks.orders, &mut found).await?;
        if call.wishes.iter().any(LifeWish::is_of_sessions) {
            load::sessions(db, tx, locks.orders, &mut found).await?;
        }
        let was = found.lives.clone();
        let cx = LifeContext {
            now_ms: db_now(db, tx).await? as u64,
            actor: &call.actor,
            policies: &call.policies,
            identity: &self.identity,
        };
        let wishes = call.wishes.iter();
        let answers = wishes.map(|wish| carry_out(&mut found.lives, cx, wish)).collect();
        let place = |cell: &domain::CellId| self.db_of_offer(&cell.offer);
        save::lives(db, tx, &was, found, save::Said { cx, place: &place }).await?;
        Ok(LockTurn::Done(answers))
    }
}

enum LockTurn {
    Done(Vec<LifeAnswer>),
    /// These have to be locked too.
    Again(Vec<OrderId>),
}

impl SqlStore {
    async fn lives_in(&self, db: &Db, wanted: &[OrderId]) -> StoreResult<Vec<Life>> {
        let orders: BTreeSet<OrderId> = wanted.iter().copied().collect();
        let conn = db.conn().await?;
        let mut found = load::lives(db, &*conn, &orders, false).await?;
        let locks = Locks { orders: &orders, keys: &BTreeSet::new() };
        found.take(load::payments(db, &*conn, locks, false).await?);
        load::refunds(db, &*conn, &orders, &mut found).await?;
        let life = |id: &OrderId| found.lives.get(id).cloned().unwrap_or_else(|| Life::new(*id));
        Ok(wanted.iter().map(life).collect())
    }
}

#[async_trait]
impl LifeRead for SqlStore {
    async fn life(&self, order: OrderId) -> StoreResult<Life> {
        let db = self.db(self.db_of_order(order))?;
        let only = [order];
        let mut one = db.run(|| self.lives_in(db, &only)).await?;
        Ok(one.pop().unwrap_or_else(|| Life::new(order)))
    }
    async fn lives(&self, db: u16, orders: &[OrderId]) -> StoreResult<Vec<Life>> {
        let db = self.db(db)?;
        db.run(|| self.lives_in(db, orders)).await
    }
    async fn history(&self, order: OrderId) -> StoreResult<Vec<HistoryRow>> {
        let db = self.db(self.db_of_order(order))?;
        db.run(|| work::history(db, order)).await
    }
    async fn expiring(
        &self,
        db: u16,
        before_ms: u64,
        after: Option<&ExpiringOrder>,
        limit: u64,
    ) -> StoreResult<Vec<ExpiringOrder>> {
        let db = self.db(db)?;
        db.run(|| work::expiring(db, before_ms, after, limit)).await
    }
    async fn tasks(&self, db: u16, wanted: &TasksWanted) -> StoreResult<Vec<TaskRow>> {
        let db = self.db(db)?;
        db.run(|| tasks::page(db, wanted)).await
    }
    async fn task(&self, db: u16, kind: i8, subject: &str) -> StoreResult<Option<TaskRow>> {
        let db = self.db(db)?;
        db.run(|| tasks::one(db, kind, subject)).await
    }
}

#[async_trait]
impl LifeWrite for SqlStore {
    async fn take_due(&self, db: u16, limit: u64, lease_ms: u64) -> StoreResult<Vec<DueRow>> {
        let db = self.db(db)?;
        db.run(|| work::take_due(db, limit, lease_ms)).await
    }
    async fn take_givebacks(
        &self,
        db: u16,
        to: u16,
        limit: u64,
        lease_ms: u64,
    ) -> StoreResult<Vec<GivebackRow>> {
        let db = self.db(db)?;
        db.run(|| work::take_givebacks(db, to, limit, lease_ms)).await
    }
    async fn end_givebacks(
        &self,
        db: u16,
        done: &[GivebackRow],
        refused: &[GivebackRow],
    ) -> StoreResult<()> {
        let db = self.db(db)?;
        db.run(|| work::end_givebacks(db, done, refused)).await
    }
    async fn end_task(&self, db: u16, kind: i8, subject: &str, end: &TaskEnd) -> StoreResult<bool> {
        let db = self.db(db)?;
        db.run(|| tasks::end(db, kind, subject, end)).await
    }
    async fn live(&self, call: &LifeCall) -> StoreResult<Vec<LifeAnswer>> {
        let db = self.db(call.db)?;
        if call.wishes.len() > MAX_ORDERS {
            return Err(db.corrupt(format!("{} wishes in one call", call.wishes.len())));
        }
        let mut orders = call.wishes.iter().flat_map(LifeWish::orders);
        if let Some(other) = orders.find(|o| self.db_of_order(*o) != call.db) {
            return Err(db.corrupt(format!("{other} is of another database")));
        }
        db.run(|| self.live_in(db, call)).await
    }
}
