//! What init looks at in tables that are there: a server or a database has defaults of its own,
//! and a dump may have been restored with them. A text in another character set refuses what a
//! buyer may write, a collation that folds takes two names for one, another engine has no
//! transactions.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::Db;
use crate::error::StoreResult;
use crate::migrations::{CHARSET, COLLATION, ENGINE};

/// Every table of ours in this database, with what is wrong about it. Columns of bytes have no
/// collation.
const WRONG: &str = "SELECT t.table_name AS name, t.engine AS engine, \
     (SELECT MIN(CONCAT(c.column_name, ' ', c.collation_name)) FROM information_schema.columns c \
      WHERE c.table_schema = DATABASE() AND c.table_name = t.table_name \
      AND c.collation_name IS NOT NULL AND c.collation_name <> ?) AS texts \
     FROM information_schema.tables t WHERE t.table_schema = DATABASE() \
     AND t.table_type = 'BASE TABLE' AND t.table_name IN ('barrier_seen', 'campaign', 'cell', \
     'lease', 'ledger', 'meta', 'offer', 'order_line', 'orders', 'outbox', 'parked', \
     'parked_frame', 'progress', 'unrowed') \
     HAVING engine <> ? OR texts IS NOT NULL";

/// A table that is not as it has to be.
#[derive(Debug)]
struct WrongCharset {
    table: String,
    engine: String,
    /// A column with its collation.
    text: Option<String>,
}

impl WrongCharset {
    fn remedy(&self) -> String {
        let engine = if self.engine == ENGINE { "" } else { "ENGINE = InnoDB, " };
        let Self { table, .. } = self;
        format!(
            "ALTER TABLE `{table}` {engine}CONVERT TO CHARACTER SET {CHARSET} COLLATE {COLLATION}"
        )
    }
    fn told(&self) -> String {
        match &self.text {
            Some(text) => format!("table {}: column {text}, not {COLLATION}", self.table),
            None => format!("table {}: engine {}, not {ENGINE}", self.table, self.engine),
        }
    }
}

async fn wrong(db: &Db) -> StoreResult<Vec<WrongCharset>> {
    let conn = db.conn().await?;
    let values = [COLLATION.into(), ENGINE.into()];
    let query = Statement::from_sql_and_values(db.backend, WRONG, values);
    let rows = conn.query_all_raw(query).await.map_err(|e| db.err(e))?;
    let of = |row: &sea_orm::QueryResult| {
        let (table, engine) = (row.try_get("", "name")?, row.try_get("", "engine")?);
        Ok(WrongCharset { table, engine, text: row.try_get("", "texts")? })
    };
    rows.iter().map(|row| of(row).map_err(|e| db.err(e))).collect()
}

/// Sets right what is wrong; refuses when that is not possible.
pub(super) async fn settle(db: &Db) -> StoreResult<()> {
    if db.backend != DbBackend::MySql {
        return Ok(());
    }
    for found in wrong(db).await? {
        tracing::warn!(db = db.no, "{}; changing it", found.told());
        let conn = db.conn().await?;
        if let Err(e) = conn.execute_unprepared(&found.remedy()).await {
            let remedy = found.remedy();
            return Err(db.corrupt(format!("{}; `{remedy}` failed: {e}", found.told())));
        }
    }
    match wrong(db).await?.first() {
        Some(left) => Err(db.corrupt(format!("{}; it could not be changed", left.told()))),
        None => Ok(()),
    }
}
