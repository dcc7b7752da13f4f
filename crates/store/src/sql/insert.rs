//! Inserts of many rows.
//!
//! The text depends on nothing but the table and the number of rows, which is on the ladder: it is
//! built once. A writer that built it each time would drain 4 to 12 % less. Literals in place of
//! parameters, and statements of 128 or 32 rows, were tried: MariaDB's time stays as it is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, EntityName, EntityTrait, Iterable,
    QueryTrait, Statement, Value,
};

use super::Db;
use crate::error::StoreResult;
use crate::ladder;

/// Texts by table, number of rows, and whether it says what becomes of a row that is there.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<TextKey, Arc<str>>>);

type TextKey = (&'static str, usize, bool);

/// Inserts rows of which every column is set; `overwrite` says what becomes of a row that is there,
/// and is the same for all inserts into one table that say it.
pub(super) async fn many<A>(
    db: &Db,
    tx: &DatabaseTransaction,
    rows: Vec<A>,
    overwrite: Option<OnConflict>,
) -> StoreResult<()>
where
    A: ActiveModelTrait + Send,
{
    let table = A::Entity::default().table_name();
    let unset = || db.corrupt(format!("a column of {table} is not set"));
    let model = rows.first().cloned();
    let rows = rows.into_iter().map(|row| values(row).collect::<Option<Vec<Value>>>());
    let rows = rows.collect::<Option<Vec<_>>>().ok_or_else(unset)?;
    let bytes: Vec<usize> = rows.iter().map(|row| row.iter().map(size).sum()).collect();
    let sizes = ladder::sizes(&bytes, db.most, db.room);
    let overwrites = overwrite.is_some();
    let mut rows = rows.into_iter();
    for n in sizes {
        let known = db.texts.0.lock().get(&(table, n, overwrites)).cloned();
        let text = match (known, &model) {
            (Some(text), _) => text,
            (None, None) => continue,
            (None, Some(model)) => {
                let mut insert = A::Entity::insert_many(vec![model.clone(); n]);
                if let Some(overwrite) = overwrite.clone() {
                    insert = insert.on_conflict(overwrite);
                }
                let built = insert.build(db.backend);
                // A statement with fewer values than places is one that no driver answers.
                let places = built.values.map_or(0, |v| v.0.len());
                let columns = <A::Entity as EntityTrait>::Column::iter().count();
                if places != n * columns {
                    return Err(db.corrupt(format!("{table}: {places} values in a statement")));
                }
                let text: Arc<str> = built.sql.into();
                db.texts.0.lock().insert((table, n, overwrites), text.clone());
                text
            }
        };
        let values: Vec<Value> = rows.by_ref().take(n).flatten().collect();
        let statement = Statement::from_sql_and_values(db.backend, &*text, values);
        tx.execute_raw(statement).await.map_err(|e| db.err(e))?;
    }
    Ok(())
}

/// About the bytes of a value on its way.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
fn size(value: &Value) -> usize {
    match value {
        Value::String(Some(text)) => text.len() + 3,
        Value::Bytes(Some(bytes)) => bytes.len() + 3,
        _ => 8,
    }
}

/// The values in the order of the columns; `None` for one that is not set.
fn values<A: ActiveModelTrait>(mut row: A) -> impl Iterator<Item = Option<Value>> {
    <A::Entity as EntityTrait>::Column::iter().map(move |c| row.take(c).into_value())
}
