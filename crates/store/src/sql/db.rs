//! One database: its pool, its deadline, and how a transaction is run.
//!
//! The driver has no read timeout, so every transaction runs under a deadline. When it passes,
//! the outcome is unknown and the pool is replaced (at most once a second): a connection that hung,
//! or whose server refused, is never used again. Nothing is cancelled in the middle otherwise. What
//! such a connection has locked is freed by the server: see [`session`](super::session).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Secret;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::url::{self, DatabasePlace};
use super::{StoreConfig, insert, session};
use crate::error::{StoreError, StoreResult};

/// For how long after a lock that nobody released locked cells are left out at once. Whoever
/// vanished with a lock is found out by the server within that time.
const LOCKED: Duration = Duration::from_secs(6);

/// Between two lines in the log about one database.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// How often a transaction is run again within one call before the caller hears of it.
const ATTEMPTS: u32 = 4;

pub(crate) struct Db {
    pub no: u16,
    pub backend: DbBackend,
    /// Largest batch on the ladder, and the most bytes of an insert's values: small with TLS, where
    /// a statement over 16 KB costs 40 ms (two writes, and the driver does not turn Nagle's
    /// algorithm off).
    pub most: usize,
    pub room: usize,
    pub texts: insert::Texts,
    /// The most bytes of orders kept in one row of `unrowed`.
    pub most_bytes: usize,
    /// When a lock was last waited for in vain.
    locked: Mutex<Option<Instant>>,
    /// What the last verdict transaction met.
    pub met_verdicts: Met,
    /// What the last row transaction met.
    pub met_rows: Met,
    options: ConnectOptions,
    /// `host:port`, for people.
    name: String,
    tls: bool,
    password: Secret,
    timeout: Duration,
    /// As many as the pool has connections: each run takes one.
    free: Semaphore,
    pool: Mutex<Pool>,
}

/// How cells are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockWait {
    /// For as long as the session allows.
    Usual,
    /// Not at all: a cell that somebody else has is left out.
    Skip,
}

/// What a transaction looks for before it inserts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LookUp {
    /// Nothing: what a log delivers is new nearly always.
    No,
    /// What is there of the batch.
    Known,
    /// That too, and ledgers that go on beyond their cell's row.
    Beyond,
}

/// True when a transaction found that some of what it had to insert was there.
#[derive(Default)]
pub(crate) struct Met(AtomicBool);

struct Pool {
    conn: Option<Arc<DatabaseConnection>>,
    made: Option<Instant>,
    /// When the log last heard of it.
    told: Option<Instant>,
}

impl Db {
    pub(crate) fn new(no: u16, url: &str, cfg: &StoreConfig) -> StoreResult<Self> {
        let place = DatabasePlace::of(url).map_err(|e| StoreError::corrupt(no, e))?;
        let sqlite = place.backend == DbBackend::Sqlite;
        cfg.password.read().map_err(|e| StoreError::corrupt(no, e))?;
        Ok(Self {
            no,
            backend: place.backend,
            most: if place.tls { 32 } else { 512 },
            room: if place.tls { 14_000 } else { usize::MAX },
            most_bytes: if place.tls { 12_000 } else { 60_000 },
            name: place.name,
            tls: place.tls,
            password: cfg.password.clone(),
            locked: Mutex::new(None),
            texts: insert::Texts::default(),
            met_verdicts: Met::default(),
            met_rows: Met::default(),
            options: options(url, cfg, sqlite),
            timeout: cfg.timeout,
            free: Semaphore::new(if sqlite { 1 } else { cfg.connections as usize }),
            pool: Mutex::new(Pool { conn: None, made: None, told: None }),
        })
    }

    /// The pool; made lazily, so that a database that is down does not stop a start.
    pub(crate) async fn conn(&self) -> StoreResult<Arc<DatabaseConnection>> {
        if let Some(conn) = self.pool.lock().conn.clone() {
            return Ok(conn);
        }
        let fresh = connect(self.options()?).await.map_err(|e| self.err(e))?;
        let mut pool = self.pool.lock();
        let conn = pool.conn.get_or_insert_with(|| Arc::new(fresh)).clone();
        pool.made = Some(Instant::now());
        Ok(conn)
    }

    /// A connection of its own, outside the pool.
    pub(crate) async fn alone(&self) -> StoreResult<DatabaseConnection> {
        let mut options = self.options()?;
        options.max_connections(1).idle_timeout(None);
        connect(options).await.map_err(|e| self.err(e))
    }

    /// With the password as it is now.
    fn options(&self) -> StoreResult<ConnectOptions> {
        let mut options = self.options.clone();
        if self.backend == DbBackend::MySql {
            let password = self.password.read().map_err(|e| StoreError::Transient {
                db: self.no,
                what: format!("store.password_file: {e}"),
            })?;
            let url = options.get_url().to_owned();
            options.map_sqlx_mysql_opts(move |o| {
                let o = url::settled(&url, o);
                password.as_deref().map_or(o.clone(), |p| o.password(p))
            });
        }
        Ok(options)
    }

    pub(crate) fn err(&self, e: DbErr) -> StoreError {
        let mut e = StoreError::from_driver(self.no, &e);
        // What is a server's fault is looked for at the server.
        if let StoreError::Transient { what, .. } = &mut e
            && !self.name.is_empty()
        {
            // MariaDB refuses a connection without TLS in the words of a wrong password.
            let denied = !self.tls && what.contains("Access denied");
            let hint = if denied { " (without TLS: ssl-mode is not set)" } else { "" };
            *what = format!("{}: {what}{hint}", self.name);
        }
        e
    }

    pub(crate) fn corrupt(&self, what: impl Into<String>) -> StoreError {
        StoreError::corrupt(self.no, what)
    }

    /// Runs `work` under the deadline, again while it fails transiently and time is left. A lock
    /// that is held for too long is told at once: the caller has others to go on with.
    pub(crate) async fn run<T, F, Fut>(&self, work: F) -> StoreResult<T>
    where
        F: Fn() -> Fut + Send,
        Fut: Future<Output = StoreResult<T>> + Send,
    {
        // Who waits here has nothing that hangs: a server with more to do than it can is given no
        // new pool, whose connections would come on top of those that are at work.
        let permit = tokio::time::timeout(self.timeout / 2, self.free.acquire()).await;
        let _permit = permit.map_err(|_| {
            let ms = self.timeout.as_millis() / 2;
            let what = format!("all connections are in use for {ms} ms");
            self.tell(&mut self.pool.lock(), &what, "too slow for what it is asked");
            StoreError::Transient { db: self.no, what }
        })?;
        let until = Instant::now() + self.timeout;
        let mut attempt = 1;
        loop {
            let done = tokio::time::timeout_at(until, work()).await;
            if let Ok(Err(StoreError::Transient { what, .. })) = &done {
                // Whatever is wrong with this server may be right on a new connection: a password
                // that was changed, a primary that is a replica now and has a successor.
                self.abandon_pool(what);
            }
            match done {
                Ok(Err(e)) if again(&e) && attempt < ATTEMPTS => {
                    attempt += 1;
                    tokio::time::sleep(Duration::from_millis(3 << (2 * attempt))).await;
                }
                Ok(done) => return done,
                Err(_) => {
                    let what = format!("no answer within {} ms", self.timeout.as_millis());
                    self.abandon_pool(&what);
                    return Err(StoreError::Transient { db: self.no, what });
                }
            }
        }
    }

    /// Runs `attempt(look)`: without looking for what is there, and with a look when a key turns
    /// out to be taken, or when the transaction before met something, as in a redelivery. The
    /// attempt says whether it did. A key that is taken although all was looked for is a place in
    /// a ledger whose row is behind it.
    pub(crate) async fn insert_first<T, F, Fut>(&self, met: &Met, attempt: F) -> StoreResult<T>
    where
        F: Fn(LookUp) -> Fut + Send,
        Fut: Future<Output = StoreResult<(T, bool)>> + Send,
    {
        let mut look = if met.0.load(Ordering::Relaxed) { LookUp::Known } else { LookUp::No };
        loop {
            let next = match look {
                LookUp::No => LookUp::Known,
                LookUp::Known | LookUp::Beyond => LookUp::Beyond,
            };
            match attempt(look).await {
                Err(StoreError::Taken { .. }) if next != look => look = next,
                done => {
                    let (done, found) = done?;
                    met.0.store(found, Ordering::Relaxed);
                    return Ok(done);
                }
            }
        }
    }

    /// Starts a write transaction: READ COMMITTED on MySQL (set for the session), and on SQLite
    /// the write lock at once, so that reads inside it cannot go stale.
    pub(crate) async fn begin(&self) -> StoreResult<DatabaseTransaction> {
        let mode = (self.backend == DbBackend::Sqlite).then_some(SqliteTransactionMode::Immediate);
        let how = TransactionOptions { sqlite_transaction_mode: mode, ..Default::default() };
        self.conn().await?.begin_with_options(how).await.map_err(|e| self.err(e))
    }

    /// Commits what went well, rolls back what did not, at once: the next attempt wants its locks.
    pub(crate) async fn end<T>(
        &self,
        tx: DatabaseTransaction,
        done: StoreResult<T>,
    ) -> StoreResult<T> {
        match done {
            Ok(done) => self.commit(tx).await.map(|()| done),
            Err(e) => {
                // A connection that cannot even do that is broken, and the server rolls back.
                let _ = tx.rollback().await;
                Err(e)
            }
        }
    }

    pub(crate) async fn commit(&self, tx: DatabaseTransaction) -> StoreResult<()> {
        tx.commit().await.map_err(|e| self.err(e))
    }

    /// How long the next verdict transaction waits for locks.
    pub(crate) fn wait(&self) -> LockWait {
        match *self.locked.lock() {
            Some(at) if at.elapsed() < LOCKED => LockWait::Skip,
            _ => LockWait::Usual,
        }
    }

    /// A lock was waited for in vain.
    pub(crate) fn met_lock(&self) {
        *self.locked.lock() = Some(Instant::now());
    }

    /// Says why, not more often than every [`TELL_EVERY`]: callers only wait and try again.
    fn tell(&self, pool: &mut Pool, why: &str, what: &'static str) {
        if pool.told.is_none_or(|at| at.elapsed() > TELL_EVERY) {
            pool.told = Some(Instant::now());
            tracing::warn!(db = self.no, why, "a database: {what}");
        }
    }

    fn abandon_pool(&self, why: &str) {
        let mut pool = self.pool.lock();
        self.tell(&mut pool, why, "connections are made anew");
        if pool.made.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            pool.conn = None;
        }
    }

    pub(crate) async fn ping(&self) -> bool {
        let probe = || async {
            self.conn().await?.execute_unprepared("SELECT 1").await.map_err(|e| self.err(e))
        };
        self.run(probe).await.is_ok()
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<DatabaseConnection, DbErr>> + Send>>;

/// The driver's future behind a pointer: within each of our own it would be proven `Send` again,
/// with all of a connection's set-up, which took the compiler longer than all the rest of us.
fn connect(options: ConnectOptions) -> Connecting {
    Box::pin(Database::connect(options))
}

fn again(e: &StoreError) -> bool {
    match e {
        StoreError::Transient { .. } | StoreError::Taken { .. } => true,
        StoreError::Busy { .. } | StoreError::Broken { .. } | StoreError::Permanent { .. } => false,
    }
}

fn options(url: &str, cfg: &StoreConfig, sqlite: bool) -> ConnectOptions {
    let mut o = ConnectOptions::new(url);
    o.sqlx_logging(false)
        .connect_lazy(true)
        .acquire_timeout(cfg.timeout)
        .connect_timeout(cfg.timeout)
        .test_before_acquire(false)
        .idle_timeout(session::IDLE)
        // SQLite has one writer; a second connection would only wait for the first.
        .max_connections(if sqlite { 1 } else { cfg.connections })
        .min_connections(0);
    if sqlite {
        o.map_sqlx_sqlite_opts(|s| {
            s.create_if_missing(true)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("busy_timeout", "1000")
        });
    } else {
        o.map_sqlx_mysql_pool_opts(|p| p.after_connect(|conn, _| Box::pin(session::set(conn))));
    }
    o
}
