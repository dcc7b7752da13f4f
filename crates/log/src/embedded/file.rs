//! The file: its lock, its connection settings, its tables.
//!
//! A position is never used twice (`AUTOINCREMENT`), so a late ack can only mean its own frame.
//! `synchronous=FULL` in WAL mode: a commit returns after the fsync.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::time::Instant;

use crate::port::{LogError, Partition};

/// What a file already holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileState {
    /// Retry partitions, and partitions of lives.
    pub databases: u16,
    /// True when init ran.
    pub ready: bool,
    /// Frames not acked.
    pub frames: u64,
    /// The last position ever given.
    pub tail: i64,
    /// The latest publish time, UTC ms.
    pub last_ms: u64,
}

/// Takes the folder's lock; waits a little for a predecessor that is going down.
pub(super) async fn own(dir: &Path, patience: Duration) -> Result<File, LogError> {
    let failed = |e: std::io::Error| LogError::Unavailable(format!("{}: {e}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    let lock = File::options().create(true).truncate(false).write(true).open(dir.join("log.lock"));
    let lock = lock.map_err(failed)?;
    let until = Instant::now() + patience;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                let what = format!("{} is in use by another process", dir.display());
                return Err(LogError::Unavailable(what));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A connection with the durable settings.
pub(super) async fn connect(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        .pragma("journal_size_limit", "67108864")
        .disable_statement_logging();
    options.connect().await
}

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS frame (seq INTEGER PRIMARY KEY AUTOINCREMENT, \
     part INTEGER NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS frame_part ON frame (part, seq)",
    "CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
];

/// Makes the tables and reads what is there; refuses a file made for another number of main
/// partitions, because an order's home would move.
pub(super) async fn prepare(
    conn: &mut SqliteConnection,
    partitions: u16,
) -> Result<FileState, LogError> {
    let failed = |e: sqlx::Error| LogError::Unavailable(format!("log.sqlite: {e}"));
    for sql in TABLES {
        sqlx::query(sql).execute(&mut *conn).await.map_err(failed)?;
    }
    let found = read(conn).await.map_err(failed)?;
    let made_for = fact(conn, "partitions").await.map_err(failed)?;
    match made_for {
        Some(n) if n != i64::from(partitions) => Err(LogError::Unavailable(format!(
            "log.sqlite was made with {n} partitions, the configuration says {partitions}"
        ))),
        Some(_) => Ok(found),
        None => {
            let tables = put_fact(conn, "partitions", i64::from(partitions));
            tables.await.map_err(failed)?;
            Ok(found)
        }
    }
}

/// Reads what the file holds.
pub(super) async fn read(conn: &mut SqliteConnection) -> Result<FileState, sqlx::Error> {
    let frames: i64 = sqlx::query_scalar("SELECT count(*) FROM frame WHERE part >= 0")
        .fetch_one(&mut *conn)
        .await?;
    // Times never go back.
    let last_ms: Option<i64> =
        sqlx::query_scalar("SELECT at_ms FROM frame ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *conn)
            .await?;
    let last: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'frame'")
            .fetch_optional(&mut *conn)
            .await?;
    let databases = fact(conn, "databases").await?;
    Ok(FileState {
        databases: databases.unwrap_or(0) as u16,
        ready: databases.is_some(),
        frames: frames as u64,
        tail: last.unwrap_or(0),
        last_ms: last_ms.unwrap_or(0) as u64,
    })
}

async fn fact(conn: &mut SqliteConnection, name: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("SELECT value FROM fact WHERE name = ?")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Stores a number for good.
pub(super) async fn put_fact(
    conn: &mut SqliteConnection,
    name: &str,
    value: i64,
) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO fact (name, value) VALUES (?, ?) \
               ON CONFLICT DO UPDATE SET value = excluded.value";
    sqlx::query(sql).bind(name).bind(value).execute(conn).await.map(|_| ())
}

/// How a partition is written in the table; of a frame that was acked, [`acked`] of it.
pub(super) fn number(p: Partition) -> i64 {
    match p {
        Partition::Main(n) => i64::from(n),
        Partition::Retry(n) => 0x1_0000 + i64::from(n),
        Partition::Life(n) => 0x2_0000 + i64::from(n),
    }
}

/// The number of a partition's acked frames, and the other way round.
pub(super) fn acked(part: i64) -> i64 {
    -1 - part
}

/// Closes a connection in order; an error changes nothing any more.
pub(super) async fn close(conn: SqliteConnection) {
    if let Err(e) = conn.close().await {
        tracing::debug!(error = %e, "closing log.sqlite");
    }
}
