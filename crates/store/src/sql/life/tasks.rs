//! What waits for a person.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::super::{Db, convert};
use crate::entity::task;
use crate::error::StoreResult;
use crate::port::{TaskEnd, TaskRow, TasksWanted};

fn row(db: &Db, m: task::Model) -> StoreResult<TaskRow> {
    Ok(TaskRow {
        kind: m.kind,
        subject: convert::text(db, m.subject, "task.subject")?,
        order: convert::order_id(db, &m.order_id)?,
        times: m.times as u32,
        at_ms: m.at_ms as u64,
        is_open: m.is_open != 0,
        resolved_by: m.resolved_by,
        note: m.note,
    })
}

/// Tasks by kind and subject.
pub(super) async fn page(db: &Db, wanted: &TasksWanted) -> StoreResult<Vec<TaskRow>> {
    let conn = db.conn().await?;
    let mut find = task::Entity::find().filter(task::Column::IsOpen.eq(i8::from(wanted.is_open)));
    if let Some(kind) = wanted.kind {
        find = find.filter(task::Column::Kind.eq(kind));
    }
    if let Some((kind, subject)) = &wanted.after {
        let later = task::Column::Subject.gt(subject.as_bytes().to_vec());
        let same = Condition::all().add(task::Column::Kind.eq(*kind)).add(later);
        find = find.filter(Condition::any().add(task::Column::Kind.gt(*kind)).add(same));
    }
    let find = find
        .order_by_asc(task::Column::Kind)
        .order_by_asc(task::Column::Subject)
        .limit(wanted.limit);
    let rows = find.all(&*conn).await.map_err(|e| db.err(e))?;
    rows.into_iter().map(|m| row(db, m)).collect()
}

fn this(kind: i8, subject: &str) -> Condition {
    let subject = task::Column::Subject.eq(subject.as_bytes().to_vec());
    Condition::all().add(task::Column::Kind.eq(kind).and(subject))
}

/// One of them.
pub(super) async fn one(db: &Db, kind: i8, subject: &str) -> StoreResult<Option<TaskRow>> {
    let conn = db.conn().await?;
    let found = task::Entity::find().filter(this(kind, subject)).one(&*conn).await;
    found.map_err(|e| db.err(e))?.map(|m| row(db, m)).transpose()
}

/// Ends it, whoever may have ended it before; false when there is none.
pub(super) async fn end(db: &Db, kind: i8, subject: &str, end: &TaskEnd) -> StoreResult<bool> {
    let conn = db.conn().await?;
    // MariaDB counts rows that change: one that is written a second time is there all the same.
    let found = task::Entity::find().filter(this(kind, subject)).one(&*conn).await;
    if found.map_err(|e| db.err(e))?.is_none() {
        return Ok(false);
    }
    task::Entity::update_many()
        .col_expr(task::Column::IsOpen, Expr::value(0))
        .col_expr(task::Column::ResolvedBy, Expr::value(end.by.clone()))
        .col_expr(task::Column::Note, Expr::value(end.note.clone()))
        .filter(this(kind, subject))
        .exec(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    Ok(true)
}
