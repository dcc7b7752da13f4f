//! The port of lives: the same decisions as over SQL, on tables in memory.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::life::{
    DueAt, Life, LifeAnswer, LifeContext, LifeLine, LifeWish, Lives, OrderState, Payment,
    PaymentFate, PaymentKey, TaskDraft, Version, carry_out,
};
use domain::order::RejectReason;
use domain::{OfferId, OrderId, RowStatus};
use store::port::{
    DueRow, ExpiringOrder, GivebackRow, HistoryRow, LifeCall, LifeRead, LifeWrite, MAX_ORDERS,
    TaskEnd, TaskRow, TasksWanted,
};
use store::{StoreError, StoreResult};

use super::life_tables::{Due, OpenTask};
use super::mutant::StoreMutant;
use super::state::{Database, MemoryStore, Row, Tx};

/// The orders that payments name first, and those that they pay.
fn homes<'a>(payments: impl Iterator<Item = &'a Payment>) -> BTreeSet<OrderId> {
    let of = |p: &Payment| match p.fate {
        Some(PaymentFate::Order(order)) => vec![p.order, order],
        Some(PaymentFate::Late | PaymentFate::Back) | None => vec![p.order],
    };
    payments.flat_map(of).collect()
}

fn order_state(Row { row: r, anchor, came_from, .. }: &Row) -> OrderState {
    let line = |(offer, bucket, qty, unit): &(OfferId, u8, u32, i64)| LifeLine {
        cell: offer.cell(*bucket),
        qty: *qty,
        unit_minor: *unit,
    };
    let lines: Vec<LifeLine> = r.lines.iter().map(line).collect();
    OrderState {
        status: r.status,
        version: r.version,
        amount: r.amount,
        currency: r.currency.clone(),
        anchor: lines.iter().position(|l| l.cell == *anchor).unwrap_or(0),
        lines,
        expires_at: (r.expires_at > 0).then_some(r.expires_at),
        captured: r.captured,
        refunded: r.refunded,
        supersedes: r.supersedes,
        superseded_by: r.superseded_by,
        came_from: *came_from,
    }
}

/// The lives of these orders, with all payments of theirs.
fn load(db: &Database, orders: &BTreeSet<OrderId>) -> Lives {
    let mut lives = Lives::new();
    for id in orders {
        let mut life = Life { order: db.rows.get(id).map(order_state), ..Life::new(*id) };
        let own = |(_, p): &(&PaymentKey, &Payment)| {
            p.order == *id || p.fate == Some(PaymentFate::Order(*id))
        };
        let payments = db.life.payments.iter().filter(own);
        life.payments = payments.map(|(key, p)| (key.clone(), p.clone())).collect();
        let refunds = db.life.refunds.iter().filter(|((order, _), _)| order == id);
        life.refunds = refunds.map(|((_, key), r)| (key.clone(), r.clone())).collect();
        let sessions = db.life.sessions.iter().filter(|((order, _), _)| order == id);
        life.sessions = sessions.map(|((_, p), s)| (p.clone(), s.clone())).collect();
        lives.insert(*id, life);
    }
    lives
}

/// The lives of all orders that have a row, a payment or a refund.
pub(super) fn all(db: &Database) -> Lives {
    let mut orders = homes(db.life.payments.values());
    orders.extend(db.rows.keys());
    orders.extend(db.life.refunds.keys().map(|(order, _)| order));
    load(db, &orders)
}

/// Every order that a call locks: those that it names, those that its payments name and pay.
fn locked(db: &Database, call: &LifeCall) -> BTreeSet<OrderId> {
    let mut orders: BTreeSet<OrderId> = call.wishes.iter().flat_map(LifeWish::orders).collect();
    let named = call.wishes.iter().filter_map(LifeWish::payment);
    let named: Vec<PaymentKey> = named.collect();
    loop {
        let of = |(key, p): &(&PaymentKey, &Payment)| {
            named.contains(key) || homes(std::iter::once(*p)).iter().any(|o| orders.contains(o))
        };
        let payments = db.life.payments.iter().filter(of).map(|(_, p)| p);
        let more = homes(payments);
        if more.is_subset(&orders) {
            return orders;
        }
        orders.extend(more);
    }
}

fn save(tx: &mut Tx<'_>, lives: Lives) {
    let at_ms = tx.at_ms;
    let lost = tx.has(StoreMutant::FollowsElsewhere) && at_ms.is_multiple_of(4);
    for (id, life) in lives {
        if let (Some(state), Some(row)) = (&life.order, tx.db.rows.get_mut(&id))
            && order_state(row) != *state
        {
            row.row.status = state.status;
            if state.status == RowStatus::Rejected {
                row.row.reason = Some(RejectReason::SoldOut);
            }
            row.row.version = state.version;
            row.row.captured = state.captured;
            row.row.refunded = state.refunded;
            row.row.superseded_by = state.superseded_by;
            row.row.updated_at = at_ms;
            row.came_from = state.came_from;
        }
        let tables = &mut tx.db.life;
        // Where two lives have one payment, both have learned the same of it.
        tables.payments.extend(life.payments);
        tables.refunds.extend(life.refunds.into_iter().map(|(key, r)| ((id, key), r)));
        let sessions = life.sessions.into_iter().map(|(provider, s)| ((id, provider), s));
        tables.sessions.extend(sessions);
        let follows = life.follows;
        tables.history.extend(follows.versions.into_iter().map(|v| ((id, v.version), (v, at_ms))));
        if lost {
            continue;
        }
        for (cell, give) in follows.givebacks {
            let class = give.gives.class().number();
            tables.next.entry((id, cell.clone(), class)).or_insert((at_ms, 0));
            tables.givebacks.entry((id, cell, class)).or_insert(give);
        }
        for work in follows.done {
            tables.due.remove(&(work.kind(), work.subject(id)));
        }
        for (work, at) in follows.due {
            let key = (work.kind(), work.subject(id));
            let fresh = |at_ms| Due { order: id, at_ms, attempts: 0, started_ms: tx.at_ms };
            match at {
                DueAt::New(at) => drop(tables.due.entry(key).or_insert(fresh(at))),
                DueAt::Moved(at) => tables.due.entry(key).or_insert(fresh(at)).at_ms = at,
            }
        }
        for task in &follows.ended {
            if let Some(known) = tables.tasks.get_mut(&(task.kind(), task.subject(id))) {
                known.is_open = false;
            }
        }
        follows.tasks.iter().for_each(|task| tables.open(task, id, at_ms));
    }
}

#[async_trait]
impl LifeRead for MemoryStore {
    async fn life(&self, order: OrderId) -> StoreResult<Life> {
        self.read(self.db_of_order(order), |db| {
            let mut lives = load(db, &BTreeSet::from([order]));
            Ok(lives.remove(&order).unwrap_or_else(|| Life::new(order)))
        })
        .await
    }
    async fn lives(&self, db: u16, orders: &[OrderId]) -> StoreResult<Vec<Life>> {
        self.read(db, |db| {
            let found = load(db, &orders.iter().copied().collect());
            let life = |id: &OrderId| found.get(id).cloned().unwrap_or_else(|| Life::new(*id));
            Ok(orders.iter().map(life).collect())
        })
        .await
    }
    async fn history(&self, order: OrderId) -> StoreResult<Vec<HistoryRow>> {
        self.read(self.db_of_order(order), |db| {
            let own = db.life.history.range((order, 0)..=(order, u32::MAX));
            Ok(own.map(|(_, (version, at_ms))| history_row(version, *at_ms)).collect())
        })
        .await
    }
    async fn expiring(
        &self,
        db: u16,
        before_ms: u64,
        after: Option<&ExpiringOrder>,
        limit: u64,
    ) -> StoreResult<Vec<ExpiringOrder>> {
        self.read(db, |db| {
            let late = |r: &&Row| {
                r.row.status == RowStatus::Pending && (1..before_ms).contains(&r.row.expires_at)
            };
            let late = db.rows.values().filter(late).map(|r| (r.row.expires_at, r.row.order));
            let mut late: Vec<(u64, OrderId)> = late.collect();
            late.sort_unstable();
            let behind = late
                .into_iter()
                .filter(|one| after.is_none_or(|last| *one > (last.expires_at, last.order)));
            let row = |(expires_at, order)| ExpiringOrder { order, expires_at };
            Ok(behind.take(limit as usize).map(row).collect())
        })
        .await
    }
    async fn tasks(&self, db: u16, wanted: &TasksWanted) -> StoreResult<Vec<TaskRow>> {
        self.read(db, |db| {
            let is = |((kind, subject), t): &(&(i8, String), &OpenTask)| {
                let later = |after: &(i8, String)| (*kind, subject) > (after.0, &after.1);
                t.is_open == wanted.is_open
                    && wanted.kind.is_none_or(|only| only == *kind)
                    && wanted.after.as_ref().is_none_or(later)
            };
            let found = db.life.tasks.iter().filter(is).map(|(key, t)| t.row(key));
            Ok(found.take(wanted.limit as usize).collect())
        })
        .await
    }
    async fn task(&self, db: u16, kind: i8, subject: &str) -> StoreResult<Option<TaskRow>> {
        self.read(db, |db| {
            let key = (kind, subject.to_owned());
            Ok(db.life.tasks.get(&key).map(|t| t.row(&key)))
        })
        .await
    }
}

fn history_row(v: &Version, at_ms: u64) -> HistoryRow {
    HistoryRow {
        version: v.version,
        from: v.from,
        to: v.to,
        cause: v.cause,
        actor: v.actor.to_string(),
        at_ms,
    }
}

#[async_trait]
impl LifeWrite for MemoryStore {
    async fn take_due(&self, db: u16, limit: u64, lease_ms: u64) -> StoreResult<Vec<DueRow>> {
        self.tx(db, |tx| {
            let gone = tx.has(StoreMutant::WorkTaken);
            let taken = tx.db.life.take_due(tx.at_ms, limit, lease_ms);
            for row in taken.iter().filter(|_| gone) {
                tx.db.life.due.remove(&(row.work.kind(), row.work.subject(row.order)));
            }
            Ok(taken)
        })
        .await
    }
    async fn take_givebacks(
        &self,
        db: u16,
        to: u16,
        limit: u64,
        lease_ms: u64,
    ) -> StoreResult<Vec<GivebackRow>> {
        self.tx(db, |tx| {
            let (now, tables) = (tx.at_ms, &mut tx.db.life);
            let due = tables.next.iter_mut().filter(|((_, cell, _), (at, _))| {
                *at <= now && self.db_of_offer(&cell.offer) == to
            });
            let mut due: Vec<_> = due.collect();
            due.sort_by_key(|(_, (at, _))| *at);
            let mut out = Vec::new();
            for (key, (at, attempts)) in due.into_iter().take(limit as usize) {
                *at = now + lease_ms;
                *attempts += 1;
                if let Some(give) = tables.givebacks.get(key) {
                    let (cell, attempts) = (key.1.clone(), *attempts);
                    out.push(GivebackRow { cell, give: *give, attempts });
                }
            }
            Ok(out)
        })
        .await
    }
    async fn end_givebacks(
        &self,
        db: u16,
        done: &[GivebackRow],
        refused: &[GivebackRow],
    ) -> StoreResult<()> {
        self.tx(db, |tx| {
            for row in done.iter().chain(refused) {
                let class = row.give.gives.class().number();
                let key = (row.give.order, row.cell.clone(), class);
                tx.db.life.next.remove(&key);
                tx.db.life.givebacks.remove(&key);
            }
            for row in refused {
                let task = TaskDraft::Giveback(row.cell.clone(), row.give.gives.class().number());
                tx.db.life.open(&task, row.give.order, tx.at_ms);
            }
            Ok(())
        })
        .await
    }
    async fn end_task(&self, db: u16, kind: i8, subject: &str, end: &TaskEnd) -> StoreResult<bool> {
        self.tx(db, |tx| {
            let found = tx.db.life.tasks.get_mut(&(kind, subject.to_owned()));
            let is_there = found.is_some();
            if let Some(task) = found {
                (task.is_open, task.end) = (false, Some(end.clone()));
            }
            Ok(is_there)
        })
        .await
    }
    async fn live(&self, call: &LifeCall) -> StoreResult<Vec<LifeAnswer>> {
        if call.wishes.len() > MAX_ORDERS {
            let what = format!("{} wishes in one call", call.wishes.len());
            return Err(StoreError::corrupt(call.db, what));
        }
        let mut orders = call.wishes.iter().flat_map(LifeWish::orders);
        if let Some(other) = orders.find(|o| self.db_of_order(*o) != call.db) {
            return Err(StoreError::corrupt(call.db, format!("{other} is of another database")));
        }
        let identity = self.shared.identity.clone();
        self.tx(call.db, |mut tx| {
            let mut lives = load(tx.db, &locked(tx.db, call));
            let cx = LifeContext {
                now_ms: tx.at_ms,
                actor: &call.actor,
                policies: &call.policies,
                identity: &identity,
            };
            let wishes = call.wishes.iter();
            let answers = wishes.map(|wish| carry_out(&mut lives, cx, wish)).collect();
            if let Some(illegal) = lives.values().find_map(|l| l.illegal.as_ref()) {
                return Err(StoreError::corrupt(call.db, illegal.to_string()));
            }
            save(&mut tx, lives);
            Ok(answers)
        })
        .await
    }
}
