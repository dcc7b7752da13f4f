//! What the servers of the databases do to their clients: they break connections, they keep rows
//! locked for clients that vanished, and something between them and us sends plain reads to a
//! replica that is behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use testkit::memory::{MemoryStore, SavedDatabase};
use tokio::time::{Instant, sleep_until};

use crate::net::{Fate, spawn};
use crate::node::Node;
use crate::plan::Who;
use crate::rng::mix;
use crate::world::World;

/// Who waits for a row for longer is told so, ms: a tenth of `innodb_lock_wait_timeout`.
const LOCK_WAIT: u64 = 100;

/// A row that transactions lock: its database, and its name (a cell, or an offer of the catalog).
pub type Row = (u16, String);

#[derive(Clone, Copy)]
struct Lock {
    until: Instant,
    id: u64,
}

struct Replica {
    who: Who,
    until: Instant,
    has: Arc<SavedDatabase>,
}

#[derive(Default)]
struct State {
    breaks: BTreeMap<u16, (Who, Instant)>,
    locks: BTreeMap<Row, Lock>,
    replicas: BTreeMap<u16, Replica>,
    /// Grows with each lock and each read that a replica may answer.
    counter: u64,
}

/// How the servers are now.
#[derive(Default)]
pub struct Servers(Mutex<State>);

fn is(who: Who, node: &Node) -> bool {
    who.is_none_or(|w| w == (node.role, node.index))
}

fn after(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

impl Servers {
    /// All is well again.
    pub fn heal(&self) {
        *self.0.lock() = State::default();
    }

    /// Connections to a database break for so long.
    pub fn break_off(&self, db: u16, who: Who, ms: u64) {
        self.0.lock().breaks.insert(db, (who, after(ms)));
    }

    /// What becomes of a call meanwhile: most are refused, or carried out and not answered.
    pub fn fate(&self, db: u16, node: &Node, dice: u64) -> Fate {
        let state = self.0.lock();
        let in_force = |(who, until): &&(Who, Instant)| is(*who, node) && Instant::now() < *until;
        match state.breaks.get(&db).filter(in_force).map(|_| (dice >> 44) % 10) {
            Some(0..4) => Fate::Refused,
            Some(4..8) => Fate::Broken,
            _ => Fate::Fine,
        }
    }

    /// A client locks a row and vanishes; the server ends its session after so long.
    pub fn lock(&self, row: Row, ms: u64) {
        self.take(row, after(ms));
    }

    fn take(&self, row: Row, until: Instant) -> u64 {
        let mut state = self.0.lock();
        state.counter += 1;
        let id = state.counter;
        state.locks.insert(row, Lock { until, id });
        id
    }

    /// True while somebody has the row locked.
    pub fn is_locked(&self, row: &Row) -> bool {
        self.locked_until(row).is_some()
    }

    fn locked_until(&self, row: &Row) -> Option<Instant> {
        let state = self.0.lock();
        state.locks.get(row).map(|l| l.until).filter(|until| Instant::now() < *until)
    }

    /// Waits for rows as a transaction does: in their order, with those that it has locked. Answers
    /// the first that it did not get in time.
    pub async fn wait(&self, rows: &[Row]) -> Result<(), Row> {
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_unstable();
        let give_up = after(LOCK_WAIT);
        let mut mine = Waiting { servers: self, locks: Vec::new() };
        for row in sorted {
            while let Some(until) = self.locked_until(row) {
                if Instant::now() >= give_up {
                    return Err(row.clone());
                }
                sleep_until(until.min(give_up)).await;
            }
            mine.locks.push((row.clone(), self.take(row.clone(), give_up)));
        }
        Ok(())
    }

    /// From now on a replica answers plain reads of a database, one that gets what is committed
    /// every `lag` ms only.
    pub fn fall_behind(world: &Arc<World>, db: u16, who: Who, (lag, ms): (u64, u64)) {
        let (world, until) = (world.clone(), after(ms));
        spawn(async move {
            while Instant::now() < until && !world.is_healed() {
                let has = Arc::new(world.store.save(db));
                world.servers.0.lock().replicas.insert(db, Replica { who, until, has });
                sleep_until(until.min(after(lag))).await;
            }
        });
    }

    /// The replica is made anew, as after its primary lost commits.
    pub fn forget_replica(&self, db: u16) {
        self.0.lock().replicas.remove(&db);
    }

    /// The store as this call finds it: every second plain read goes to the replica.
    pub fn seen_by(&self, node: &Node, db: u16, store: &MemoryStore) -> MemoryStore {
        let mut state = self.0.lock();
        let in_force = |r: &&Replica| is(r.who, node) && Instant::now() < r.until;
        let Some(has) = state.replicas.get(&db).filter(in_force).map(|r| r.has.clone()) else {
            return store.clone();
        };
        state.counter += 1;
        let dice = mix(&[node.world.plan.seed, 31, state.counter]);
        drop(state);
        if dice.is_multiple_of(2) {
            return store.clone();
        }
        node.world.met("database", "from_behind");
        store.behind(db, has)
    }
}

/// Locks of a transaction that still waits for others, or has all and is about to run.
struct Waiting<'a> {
    servers: &'a Servers,
    locks: Vec<(Row, u64)>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.servers.0.lock();
        for (row, id) in &self.locks {
            if state.locks.get(row).is_some_and(|l| l.id == *id) {
                state.locks.remove(row);
            }
        }
    }
}
