//! What every session on a MySQL or MariaDB server sets for itself, because a server's defaults are
//! its administrator's and not ours.
//!
//! A client that vanished without closing its connection (a cable, a frozen machine, a firewall)
//! leaves a session with a transaction and its locks, and by default the server waits eight hours
//! for its next word. Here it waits seconds: whoever vanished in the middle has its transaction
//! rolled back before the patience of the others ends.

use std::time::Duration;

use sqlx::{Executor, MySqlConnection};

/// A pool closes a connection that was idle for this long, well before the server does.
pub(super) const IDLE: Duration = Duration::from_secs(8);

/// Every variable exists on MySQL 8 and MariaDB 10.6.
///
/// - `autocommit`, `completion_type`, `sql_select_limit`: a server may have others as defaults, and
///   then a statement would never commit, or a page would silently be a part of one.
/// - `sql_mode`: without the strict mode a value that does not fit is stored as another one.
/// - `innodb_lock_wait_timeout`: below the deadline of a transaction, so that a lock is told from a
///   silent server; `lock_wait_timeout` is for a table that somebody alters.
/// - `wait_timeout`: how long a vanished client keeps its locks; a pool's connections are younger.
/// - `net_*_timeout`: the same for a client that vanished while it was sent an answer.
const SETTINGS: &str = "SET SESSION autocommit = 1, completion_type = 'NO_CHAIN', \
    sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
    sql_select_limit = 18446744073709551615, innodb_lock_wait_timeout = 1, \
    lock_wait_timeout = 5, wait_timeout = 20, net_read_timeout = 5, net_write_timeout = 5";

/// MariaDB can tell a session in the middle of a transaction from one that only waits for work.
/// MySQL does not know the variable and says so.
const IN_TRANSACTION: &str = "SET SESSION idle_transaction_timeout = 5";

/// For a connection that waits on purpose.
pub(super) const LONG: &str = "SET SESSION wait_timeout = 28800";

/// ER_UNKNOWN_SYSTEM_VARIABLE.
const UNKNOWN_VARIABLE: u16 = 1193;

/// Settles a fresh connection. The isolation level has a grammar of its own, and its variable has
/// another name on MariaDB.
pub(super) async fn set(conn: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    conn.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE").await?;
    conn.execute(SETTINGS).await?;
    match conn.execute(IN_TRANSACTION).await {
        Err(sqlx::Error::Database(e)) if number(&*e) == Some(UNKNOWN_VARIABLE) => Ok(()),
        done => done.map(drop),
    }
}

fn number(e: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    e.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(|e| e.number())
}
