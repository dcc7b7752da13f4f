//! How long a batch waits for a database: patiently the first time, hardly at all while it is known
//! to be silent.
//!
//! Orders of the living databases share batches with those of a dead one. The first call that gets
//! no answer takes the whole patience; after that the database counts as silent, calls to it fail
//! at once, and one call every few seconds tries it again. Nothing is decided by this: an order
//! whose database is silent waits in a retry partition, whether the database is dead or only slow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::{StoreError, StoreResult};
use tokio::time::Instant;

/// Between two tries of a silent database.
const PROBE: Duration = Duration::from_secs(1);
/// Between two runs of a transaction that failed transiently.
const AGAIN: Duration = Duration::from_millis(20);

/// What the partitions of a process know of its databases; its clones share it.
#[derive(Clone)]
pub struct DatabasePatience {
    most: Duration,
    /// Which are silent, and when each is tried next.
    silent: Arc<Mutex<HashMap<u16, Instant>>>,
}

impl DatabasePatience {
    /// No database is known to be silent; each may take this long.
    pub fn new(most: Duration) -> Self {
        Self { most, silent: Arc::default() }
    }

    /// Runs a store call again while it fails transiently, for the time its database is given.
    pub async fn call<T, F, Fut>(&self, db: u16, call: F) -> StoreResult<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = StoreResult<T>>,
    {
        let Some(most) = self.turn(db) else {
            let what = "silent, tried again soon".to_owned();
            return Err(StoreError::Transient { db, what });
        };
        let until = Instant::now() + most;
        loop {
            match call().await {
                Err(e @ (StoreError::Transient { .. } | StoreError::Taken { .. }))
                    if Instant::now() < until =>
                {
                    tracing::debug!(error = %e, "running a transaction again");
                    tokio::time::sleep(AGAIN).await;
                }
                done => {
                    // A lock that somebody holds is an answer: only its own rows have to wait.
                    let answered = done.as_ref().err().is_none_or(StoreError::is_answer);
                    self.note(db, answered);
                    return done;
                }
            }
        }
    }

    /// How long this call may try; `None` while the database is silent and another call tries it.
    fn turn(&self, db: u16) -> Option<Duration> {
        let now = Instant::now();
        match self.silent.lock().get_mut(&db) {
            None => Some(self.most),
            Some(next) if *next <= now => {
                *next = now + PROBE;
                Some(Duration::ZERO)
            }
            Some(_) => None,
        }
    }

    fn note(&self, db: u16, answered: bool) {
        let mut silent = self.silent.lock();
        if answered {
            silent.remove(&db);
        } else {
            silent.insert(db, Instant::now() + PROBE);
        }
    }
}
