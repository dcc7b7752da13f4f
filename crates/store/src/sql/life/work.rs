//! Work at a time and givebacks: taken by moving their time forward, so that nobody holds a lock
//! while it is done, and whoever dies with it leaves it to others.

use domain::life::{DueWork, TaskDraft};
use domain::{CellId, Giveback, Gives, Kind, OrderId, RowStatus};
use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
};

use super::super::marks::db_now;
use super::super::{Db, convert, insert};
use super::save::{opened_again, task_row};
use crate::entity::{due, giveback, order_history, orders};
use crate::error::StoreResult;
use crate::port::{DueRow, ExpiringOrder, GivebackRow, HistoryRow};

/// Rows that somebody else has are left out: SQLite has one writer at a time anyway.
fn skipping<E: EntityTrait>(db: &Db, find: Select<E>) -> Select<E> {
    if db.backend == DbBackend::Sqlite {
        return find;
    }
    find.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
}

/// Work of one database that is due, moved forward.
pub(super) async fn take_due(db: &Db, limit: u64, lease_ms: u64) -> StoreResult<Vec<DueRow>> {
    let tx = db.begin().await?;
    let done = due_within(db, &tx, limit, lease_ms as i64).await;
    db.end(tx, done).await
}

async fn due_within(
    db: &Db,
    tx: &DatabaseTransaction,
    limit: u64,
    lease_ms: i64,
) -> StoreResult<Vec<DueRow>> {
    let now = db_now(db, tx).await?;
    let find = due::Entity::find()
        .filter(due::Column::AtMs.lte(now))
        .order_by_asc(due::Column::AtMs)
        .order_by_asc(due::Column::Kind)
        .limit(limit);
    let found = skipping(db, find).all(tx).await.map_err(|e| db.err(e))?;
    for piece in found.chunks(128) {
        let any = piece.iter().fold(Condition::any(), |c, row| {
            let subject = due::Column::Subject.eq(row.subject.clone());
            c.add(due::Column::Kind.eq(row.kind).and(subject))
        });
        due::Entity::update_many()
            .col_expr(due::Column::AtMs, Expr::value(now + lease_ms))
            .col_expr(due::Column::Attempts, Expr::col(due::Column::Attempts).add(1))
            .filter(any)
            .exec(tx)
            .await
            .map_err(|e| db.err(e))?;
    }
    Ok(readable(db, found, |db, row| due_row(db, row, now as u64)))
}

/// Rows that this program reads. One that a newer one wrote, or a hand has spoiled, holds up no
/// other: its lease brings it to somebody else.
fn readable<M, T>(db: &Db, rows: Vec<M>, read: impl Fn(&Db, M) -> StoreResult<T>) -> Vec<T> {
    let told = |row| read(db, row).inspect_err(|e| tracing::error!(error = %e, "left alone")).ok();
    rows.into_iter().filter_map(told).collect()
}

fn due_row(db: &Db, row: due::Model, taken_ms: u64) -> StoreResult<DueRow> {
    let subject = convert::text(db, row.subject, "due.subject")?;
    let work = DueWork::stored(row.kind, &subject)
        .ok_or_else(|| db.corrupt(format!("due work {} {subject:?}", row.kind)))?;
    Ok(DueRow {
        order: convert::order_id(db, &row.order_id)?,
        work,
        attempts: row.attempts as u32 + 1,
        started_ms: row.started_at as u64,
        taken_ms,
    })
}

/// Givebacks to cells of a database, moved forward.
pub(super) async fn take_givebacks(
    db: &Db,
    to: u16,
    limit: u64,
    lease_ms: u64,
) -> StoreResult<Vec<GivebackRow>> {
    let tx = db.begin().await?;
    let done = givebacks_within(db, &tx, (to as i16, limit), lease_ms as i64).await;
    db.end(tx, done).await
}

async fn givebacks_within(
    db: &Db,
    tx: &DatabaseTransaction,
    which: (i16, u64),
    lease_ms: i64,
) -> StoreResult<Vec<GivebackRow>> {
    let now = db_now(db, tx).await?;
    let find = giveback::Entity::find()
        .filter(giveback::Column::Db.eq(which.0))
        .filter(giveback::Column::NextAt.lte(now))
        .order_by_asc(giveback::Column::NextAt)
        .limit(which.1);
    let found = skipping(db, find).all(tx).await.map_err(|e| db.err(e))?;
    for piece in found.chunks(128) {
        giveback::Entity::update_many()
            .col_expr(giveback::Column::NextAt, Expr::value(now + lease_ms))
            .col_expr(giveback::Column::Attempts, Expr::col(giveback::Column::Attempts).add(1))
            .filter(these(piece.iter().map(|r| (&r.order_id, &r.cell, r.class))))
            .exec(tx)
            .await
            .map_err(|e| db.err(e))?;
    }
    Ok(readable(db, found, giveback_row))
}

fn these<'a>(keys: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>, i8)>) -> Condition {
    keys.fold(Condition::any(), |c, (order, cell, class)| {
        let of = giveback::Column::OrderId.eq(order.clone());
        let at = giveback::Column::Cell.eq(cell.clone());
        c.add(of.and(at).and(giveback::Column::Class.eq(class)))
    })
}

fn giveback_row(db: &Db, row: giveback::Model) -> StoreResult<GivebackRow> {
    let order = convert::order_id(db, &row.order_id)?;
    let cell: CellId = convert::parse(db, row.cell, "giveback.cell")?;
    let kind = [Kind::Release.number(), 7].into_iter().find_map(|n| Kind::stored(n, row.class));
    let gives = match kind {
        Some(Kind::Release) => Gives::Release,
        Some(Kind::Return(ordinal)) => {
            let (units, frees_limit) = (row.units as u32, row.frees_limit != 0);
            Gives::Return { ordinal, units, frees_limit }
        }
        _ => return Err(db.corrupt(format!("a giveback of class {}", row.class))),
    };
    let give = Giveback { order, gives };
    Ok(GivebackRow { cell, give, attempts: row.attempts as u32 + 1 })
}

/// Givebacks that are done go; those that were refused leave a task.
pub(super) async fn end_givebacks(
    db: &Db,
    done: &[GivebackRow],
    refused: &[GivebackRow],
) -> StoreResult<()> {
    let tx = db.begin().await?;
    let work = async {
        let now = db_now(db, &tx).await?;
        let all: Vec<(Vec<u8>, Vec<u8>, i8)> = done.iter().chain(refused).map(key).collect();
        for piece in all.chunks(128) {
            giveback::Entity::delete_many()
                .filter(these(piece.iter().map(|(order, cell, class)| (order, cell, *class))))
                .exec(&tx)
                .await
                .map_err(|e| db.err(e))?;
        }
        let tasks = refused.iter().map(|row| {
            let task = TaskDraft::Giveback(row.cell.clone(), row.give.gives.class().number());
            task_row(&task, row.give.order, now)
        });
        insert::many(db, &tx, tasks.collect(), Some(opened_again())).await
    };
    let done = work.await;
    db.end(tx, done).await
}

fn key(row: &GivebackRow) -> (Vec<u8>, Vec<u8>, i8) {
    let class = row.give.gives.class().number();
    (row.give.order.0.to_vec(), row.cell.to_string().into_bytes(), class)
}

/// Pending orders whose time was over before then, the oldest first; an order without a time has 0.
pub(super) async fn expiring(
    db: &Db,
    before_ms: u64,
    after: Option<&ExpiringOrder>,
    limit: u64,
) -> StoreResult<Vec<ExpiringOrder>> {
    use orders::Column::{ExpiresAt, OrderId as Id, Status};
    let conn = db.conn().await?;
    // Two bounds of one range of the index, and the place within its first value.
    let from = after.map_or(1, |last| last.expires_at as i64);
    let mut find = orders::Entity::find()
        .select_only()
        .column(Id)
        .column(ExpiresAt)
        .filter(Status.eq(RowStatus::Pending as i8))
        .filter(ExpiresAt.gte(from))
        .filter(ExpiresAt.lt(before_ms as i64))
        .order_by_asc(ExpiresAt)
        .order_by_asc(Id)
        .limit(limit);
    if let Some(last) = after {
        let behind = Condition::any().add(ExpiresAt.gt(from)).add(Id.gt(last.order.0.to_vec()));
        find = find.filter(behind);
    }
    super::super::find::forced(&mut find, "orders_expiry");
    let rows: Vec<(Vec<u8>, i64)> = find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
    let row = |(id, at): &(Vec<u8>, i64)| {
        Ok(ExpiringOrder { order: convert::order_id(db, id)?, expires_at: *at as u64 })
    };
    rows.iter().map(row).collect()
}

/// Versions of an order, ascending.
pub(super) async fn history(db: &Db, order: OrderId) -> StoreResult<Vec<HistoryRow>> {
    let conn = db.conn().await?;
    let rows = order_history::Entity::find()
        .filter(order_history::Column::OrderId.eq(order.0.to_vec()))
        .order_by_asc(order_history::Column::Version)
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let row = |m: order_history::Model| {
        let cause = domain::moves::Cause::parse(&m.cause);
        Ok(HistoryRow {
            version: m.version as u32,
            from: convert::status(db, m.from_status)?,
            to: convert::status(db, m.to_status)?,
            cause: cause.ok_or_else(|| db.corrupt(format!("order_history.cause {:?}", m.cause)))?,
            actor: m.actor,
            at_ms: m.at_ms as u64,
        })
    };
    rows.into_iter().map(row).collect()
}
