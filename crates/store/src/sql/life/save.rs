//! What a transaction of lives writes: the rows that differ, and what follows.

use std::collections::BTreeMap;

use domain::life::{
    DueAt, DueWork, IllegalMove, Life, LifeContext, Lives, PaySession, Payment, PaymentFate,
    PaymentKey, ProviderId, Refund, RefundKey, TaskDraft, Version,
};
use domain::order::RejectReason;
use domain::{CellId, Giveback, Gives, OrderId, RowStatus};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter,
};

use super::super::{Db, facts, insert};
use super::load::FoundLives;
use crate::entity::{
    due, fact, giveback, order_history, orders, pay_session, payment, refund, task,
};
use crate::error::StoreResult;

/// What a transaction was told, and which database has the cells of an offer.
pub(super) struct Said<'a> {
    pub cx: LifeContext<'a>,
    pub place: &'a (dyn Fn(&CellId) -> u16 + Sync),
}

/// All rows of a transaction, table by table.
#[derive(Default)]
struct LifeRows {
    orders: Vec<orders::ActiveModel>,
    history: Vec<order_history::ActiveModel>,
    new_payments: Vec<payment::ActiveModel>,
    payments: Vec<payment::ActiveModel>,
    new_refunds: Vec<refund::ActiveModel>,
    refunds: Vec<refund::ActiveModel>,
    sessions: Vec<pay_session::ActiveModel>,
    givebacks: Vec<giveback::ActiveModel>,
    due: Vec<due::ActiveModel>,
    /// By their new time.
    moved: BTreeMap<i64, Vec<(i8, String)>>,
    done: Vec<(i8, String)>,
    tasks: Vec<task::ActiveModel>,
    ended: Vec<(i8, String)>,
    facts: Vec<fact::ActiveModel>,
}

/// Writes what differs from `was`. Nothing may be kept of a move that there is not (INV-9).
pub(super) async fn lives(
    db: &Db,
    tx: &DatabaseTransaction,
    was: &Lives,
    now: FoundLives,
    said: Said<'_>,
) -> StoreResult<()> {
    if let Some(illegal) = now.lives.values().find_map(|l| l.illegal.as_ref()) {
        return Err(db.corrupt(IllegalMove::to_string(illegal)));
    }
    let mut rows = LifeRows::default();
    for (id, life) in &now.lives {
        let before = was.get(id);
        rows.order(life, before, now.rows.get(id), said.cx.now_ms);
        rows.money(life, before, said.cx.now_ms);
        rows.follows(life, &said);
    }
    rows.write(db, tx).await
}

impl LifeRows {
    fn order(
        &mut self,
        life: &Life,
        before: Option<&Life>,
        row: Option<&orders::Model>,
        now_ms: u64,
    ) {
        let Some((state, row)) = life.order.as_ref().zip(row) else { return };
        if before.is_some_and(|b| b.order.as_ref() == Some(state)) {
            return;
        }
        let bytes = |id: Option<OrderId>| id.map(|id| id.0.to_vec());
        // The one rejection after the row: see `domain::life::reject`.
        let rejected = state.status == RowStatus::Rejected;
        let sold_out = || RejectReason::SoldOut.as_str().to_owned();
        let changed = orders::Model {
            status: state.status as i8,
            reason: if rejected { Some(sold_out()) } else { row.reason.clone() },
            version: state.version as i32,
            captured: state.captured,
            refunded: state.refunded,
            superseded_by: bytes(state.superseded_by),
            came_from: state.came_from.map(|s| s as i8),
            updated_at: now_ms as i64,
            ..row.clone()
        };
        self.orders.push(all_set(changed.into_active_model()));
    }

    fn money(&mut self, life: &Life, before: Option<&Life>, now_ms: u64) {
        for (key, payment) in &life.payments {
            let row = || payment_row(key, payment, now_ms);
            match before.and_then(|b| b.payments.get(key)) {
                Some(known) if known == payment => {}
                Some(_) => self.payments.push(row()),
                // Its other order has it, from before or from this transaction.
                None if payment.order != life.id => {}
                None => self.new_payments.push(row()),
            }
        }
        for (key, refund) in &life.refunds {
            let row = || refund_row(life.id, key, refund, now_ms);
            match before.and_then(|b| b.refunds.get(key)) {
                Some(known) if known == refund => {}
                Some(_) => self.refunds.push(row()),
                None => self.new_refunds.push(row()),
            }
        }
        for (provider, session) in &life.sessions {
            if before.and_then(|b| b.sessions.get(provider)) != Some(session) {
                self.sessions.push(session_row(life.id, (provider, session), now_ms));
            }
        }
    }

    fn follows(&mut self, life: &Life, said: &Said<'_>) {
        let now_ms = said.cx.now_ms as i64;
        for version in &life.follows.versions {
            self.history.push(history_row(life.id, version, said.cx.now_ms));
            self.facts.push(fact_row(life.id, version, said.cx.now_ms));
        }
        for (cell, give) in &life.follows.givebacks {
            self.givebacks.push(giveback_row(cell, give, (said.place)(cell), now_ms));
        }
        for (work, at) in &life.follows.due {
            let named = (work.kind(), work.subject(life.id));
            let at_ms = match at {
                DueAt::New(at) => *at,
                DueAt::Moved(at) => {
                    self.moved.entry(*at as i64).or_default().push(named.clone());
                    *at
                }
            };
            self.due.push(due_row(named, life.id, at_ms as i64, now_ms));
        }
        let done = life.follows.done.iter().map(|w: &DueWork| (w.kind(), w.subject(life.id)));
        self.done.extend(done);
        self.tasks.extend(life.follows.tasks.iter().map(|t| task_row(t, life.id, now_ms)));
        self.ended.extend(life.follows.ended.iter().map(|t| (t.kind(), t.subject(life.id))));
    }

    async fn write(self, db: &Db, tx: &DatabaseTransaction) -> StoreResult<()> {
        insert::many(db, tx, self.orders, Some(changed_order())).await?;
        insert::many(db, tx, self.history, None).await?;
        insert::many(db, tx, self.new_payments, None).await?;
        insert::many(db, tx, self.payments, Some(changed_payment())).await?;
        insert::many(db, tx, self.new_refunds, None).await?;
        insert::many(db, tx, self.refunds, Some(changed_refund())).await?;
        insert::many(db, tx, self.sessions, Some(changed_session())).await?;
        insert::many(db, tx, self.givebacks, Some(known::<giveback::Entity>())).await?;
        forget(db, tx, &self.done).await?;
        insert::many(db, tx, self.due, Some(known::<due::Entity>())).await?;
        for (at_ms, named) in &self.moved {
            move_to(db, tx, *at_ms, named).await?;
        }
        end_tasks(db, tx, &self.ended).await?;
        insert::many(db, tx, self.tasks, Some(opened_again())).await?;
        facts::insert(db, tx, self.facts).await
    }
}

/// Every column set, as an insert of many rows wants it.
fn all_set(row: orders::ActiveModel) -> orders::ActiveModel {
    use sea_orm::{ActiveModelTrait, Iterable};
    orders::Column::iter().fold(row, |mut row, column| {
        if let Some(value) = row.get(column).into_value() {
            row.set(column, value);
        }
        row
    })
}

fn changed_order() -> OnConflict {
    use orders::Column::{
        CameFrom, Captured, Reason, Refunded, Status, SupersededBy, UpdatedAt, Version,
    };
    OnConflict::column(orders::Column::OrderId)
        .update_columns([
            Status,
            Reason,
            Version,
            Captured,
            Refunded,
            SupersededBy,
            CameFrom,
            UpdatedAt,
        ])
        .to_owned()
}

fn changed_payment() -> OnConflict {
    use payment::Column::{
        Asked, AtMs, Attempt, Captured, CapturedAt, Closed, Currency, Fate, FateOrder, Keep,
        PaymentId, Provider, State,
    };
    OnConflict::columns([Provider, PaymentId])
        .update_columns([
            State, Captured, CapturedAt, Currency, Fate, FateOrder, Keep, Closed, Attempt, Asked,
            AtMs,
        ])
        .to_owned()
}

fn changed_session() -> OnConflict {
    use pay_session::Column::{AtMs, Attempt, OrderId, PaymentId, Provider, Redirect};
    OnConflict::columns([OrderId, Provider])
        .update_columns([Attempt, PaymentId, Redirect, AtMs])
        .to_owned()
}

fn changed_refund() -> OnConflict {
    use refund::Column::{
        Amount, AtMs, FirstSent, MovedAt, OrderId, PaymentId, Provider, RefundId, Restocks, State,
        Tries,
    };
    OnConflict::columns([OrderId, RefundId, Provider, PaymentId])
        .update_columns([State, Amount, Tries, FirstSent, MovedAt, Restocks, AtMs])
        .to_owned()
}

pub(super) fn opened_again() -> OnConflict {
    use task::Column::{AtMs, IsOpen, Kind, Note, ResolvedBy, Subject, Times};
    let again = Expr::cust("task.times + 1");
    OnConflict::columns([Kind, Subject])
        .update_columns([IsOpen, AtMs, ResolvedBy, Note])
        .value(Times, again)
        .to_owned()
}

/// A row that is there stays as it is.
fn known<E: EntityTrait>() -> OnConflict {
    use sea_orm::{Iterable, PrimaryKeyToColumn};
    let keys: Vec<E::Column> = E::PrimaryKey::iter().map(|k| k.into_column()).collect();
    OnConflict::columns(keys.clone()).do_nothing_on(keys).to_owned()
}

fn work_of(piece: &[(i8, String)]) -> Condition {
    piece.iter().fold(Condition::any(), |c, (kind, subject)| {
        let subject = due::Column::Subject.eq(subject.as_bytes().to_vec());
        c.add(due::Column::Kind.eq(*kind).and(subject))
    })
}

async fn forget(db: &Db, tx: &DatabaseTransaction, done: &[(i8, String)]) -> StoreResult<()> {
    for piece in done.chunks(128) {
        let gone = due::Entity::delete_many().filter(work_of(piece)).exec(tx).await;
        gone.map_err(|e| db.err(e))?;
    }
    Ok(())
}

/// Gives work another time; how often it was taken, and since when it is due, stays.
async fn move_to(
    db: &Db,
    tx: &DatabaseTransaction,
    at_ms: i64,
    named: &[(i8, String)],
) -> StoreResult<()> {
    for piece in named.chunks(128) {
        let moved = due::Entity::update_many()
            .col_expr(due::Column::AtMs, Expr::value(at_ms))
            .filter(work_of(piece))
            .exec(tx)
            .await;
        moved.map_err(|e| db.err(e))?;
    }
    Ok(())
}

async fn end_tasks(db: &Db, tx: &DatabaseTransaction, ended: &[(i8, String)]) -> StoreResult<()> {
    for piece in ended.chunks(128) {
        let any = piece.iter().fold(Condition::any(), |c, (kind, subject)| {
            let subject = task::Column::Subject.eq(subject.as_bytes().to_vec());
            c.add(task::Column::Kind.eq(*kind).and(subject))
        });
        task::Entity::update_many()
            .col_expr(task::Column::IsOpen, Expr::value(0))
            .filter(any)
            .exec(tx)
            .await
            .map_err(|e| db.err(e))?;
    }
    Ok(())
}

fn payment_row(key: &PaymentKey, p: &Payment, now_ms: u64) -> payment::ActiveModel {
    let (fate, fate_order) = match p.fate {
        None => (None, None),
        Some(PaymentFate::Order(order)) => (Some(1), Some(order.0.to_vec())),
        Some(PaymentFate::Late) => (Some(2), None),
        Some(PaymentFate::Back) => (Some(3), None),
    };
    payment::ActiveModel {
        provider: Set(key.provider.as_str().to_owned()),
        payment_id: Set(key.payment.as_str().as_bytes().to_vec()),
        order_id: Set(p.order.0.to_vec()),
        state: Set(p.state as i8),
        captured: Set(p.captured),
        currency: Set(p.currency.clone()),
        fate: Set(fate),
        fate_order: Set(fate_order),
        keep: Set(p.keep),
        closed: Set(i8::from(p.closed)),
        attempt: Set(p.attempt as i32),
        asked: Set(p.asked as i32),
        captured_at: Set(p.captured_ms as i64),
        at_ms: Set(now_ms as i64),
    }
}

fn session_row(
    order: OrderId,
    of: (&ProviderId, &PaySession),
    now_ms: u64,
) -> pay_session::ActiveModel {
    let (provider, session) = of;
    let payment = session.payment.as_ref().map(|p| p.as_str().as_bytes().to_vec());
    pay_session::ActiveModel {
        order_id: Set(order.0.to_vec()),
        provider: Set(provider.as_str().to_owned()),
        attempt: Set(session.attempt as i32),
        payment_id: Set(payment),
        redirect: Set(session.redirect.as_bytes().to_vec()),
        at_ms: Set(now_ms as i64),
    }
}

fn refund_row(order: OrderId, key: &RefundKey, r: &Refund, now_ms: u64) -> refund::ActiveModel {
    let parts: Vec<String> = r.lines.iter().map(|(c, units)| format!("{c} {units}")).collect();
    refund::ActiveModel {
        order_id: Set(order.0.to_vec()),
        refund_id: Set(key.refund.as_str().as_bytes().to_vec()),
        provider: Set(key.payment.provider.as_str().to_owned()),
        payment_id: Set(key.payment.payment.as_str().as_bytes().to_vec()),
        sort: Set(r.sort as i8),
        amount: Set(r.amount),
        asked: Set(r.asked),
        parts: Set(parts.join(",").into_bytes()),
        is_whole: Set(i8::from(r.is_whole)),
        restocks: Set(i8::from(r.restocks)),
        ordinal: Set(r.ordinal.map(|n| n.number() as i8)),
        state: Set(r.state as i8),
        tries: Set(r.tries as i32),
        first_sent: Set(r.first_sent_ms as i64),
        moved_at: Set(r.moved_ms as i64),
        at_ms: Set(now_ms as i64),
    }
}

fn history_row(order: OrderId, v: &Version, now_ms: u64) -> order_history::ActiveModel {
    order_history::ActiveModel {
        order_id: Set(order.0.to_vec()),
        version: Set(v.version as i32),
        from_status: Set(v.from as i8),
        to_status: Set(v.to as i8),
        cause: Set(v.cause.as_str().to_owned()),
        actor: Set(v.actor.to_string()),
        at_ms: Set(now_ms as i64),
    }
}

fn fact_row(order: OrderId, v: &Version, now_ms: u64) -> fact::ActiveModel {
    let data = v.refund.as_ref().map(|r| r.as_str().as_bytes().to_vec()).unwrap_or_default();
    let row = facts::row(order.0.to_vec(), v.version, v.fact.to_owned(), now_ms as i64);
    fact::ActiveModel { data: Set(data), ..row }
}

fn giveback_row(cell: &CellId, give: &Giveback, db: u16, now_ms: i64) -> giveback::ActiveModel {
    let (units, frees_limit) = match give.gives {
        Gives::Release => (0, true),
        Gives::Return { units, frees_limit, .. } => (units, frees_limit),
    };
    giveback::ActiveModel {
        order_id: Set(give.order.0.to_vec()),
        cell: Set(cell.to_string().into_bytes()),
        class: Set(give.gives.class().number()),
        units: Set(units as i32),
        frees_limit: Set(i8::from(frees_limit)),
        db: Set(db as i16),
        next_at: Set(now_ms),
        attempts: Set(0),
    }
}

pub(super) fn task_row(task: &TaskDraft, order: OrderId, now_ms: i64) -> task::ActiveModel {
    task::ActiveModel {
        kind: Set(task.kind()),
        subject: Set(task.subject(order).into_bytes()),
        order_id: Set(order.0.to_vec()),
        is_open: Set(1),
        times: Set(1),
        at_ms: Set(now_ms),
        resolved_by: Set(String::new()),
        note: Set(String::new()),
    }
}

fn due_row(named: (i8, String), order: OrderId, at_ms: i64, now_ms: i64) -> due::ActiveModel {
    due::ActiveModel {
        kind: Set(named.0),
        subject: Set(named.1.into_bytes()),
        order_id: Set(order.0.to_vec()),
        at_ms: Set(at_ms),
        attempts: Set(0),
        started_at: Set(now_ms),
    }
}
