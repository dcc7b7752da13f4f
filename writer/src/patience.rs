//! How long a batch waits for a database: patiently the first time, hardly at all while it is known
//! to be silent.
//!
//! Orders of the living databases share batches with those of a dead one. The first call that gets
//! no answer takes the whole patience; after that the database counts as silent, calls to it fail
//! at once, and one call every few seconds tries it again. Nothing is decided by this: an order
//! whose database is silent waits in a retry partition, whether the database is dead or only slow.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use store::{StoreError, StoreResult};
use tokio::time::Instant;

use crate::process::Processor;

/// Between two tries of a silent database.
const PROBE: Duration = Duration::from_secs(1);
/// Between two runs of a transaction that failed transiently.
const AGAIN: Duration = Duration::from_millis(20);

/// Which databases are silent, and when each is tried next. Shared by the partitions of a process.
#[derive(Default)]
pub(crate) struct Silent(Mutex<HashMap<u16, Instant>>);

enum Turn {
    /// It answered last time.
    Patient,
    /// It is silent; this call tries it.
    Probe,
    /// It is silent; another call tries it soon.
    Skip,
}

impl Silent {
    fn turn(&self, db: u16) -> Turn {
        let now = Instant::now();
        match self.0.lock().get_mut(&db) {
            None => Turn::Patient,
            Some(next) if *next <= now => {
                *next = now + PROBE;
                Turn::Probe
            }
            Some(_) => Turn::Skip,
        }
    }

    fn note(&self, db: u16, answered: bool) {
        let mut silent = self.0.lock();
        if answered {
            silent.remove(&db);
        } else {
            silent.insert(db, Instant::now() + PROBE);
        }
    }
}

impl Processor {
    /// Runs a store call again while it fails transiently, for the time its database is given.
    pub(crate) async fn patiently<T, F, Fut>(&self, db: u16, call: F) -> StoreResult<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = StoreResult<T>>,
    {
        let patience = match self.silent.turn(db) {
            Turn::Patient => self.settings.patience,
            Turn::Probe => Duration::ZERO,
            Turn::Skip => {
                let what = "silent, tried again soon".to_owned();
                return Err(StoreError::Transient { db, what });
            }
        };
        let until = Instant::now() + patience;
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
                    self.silent.note(db, answered);
                    return done;
                }
            }
        }
    }
}
