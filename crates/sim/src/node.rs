//! One incarnation of one process: whether it lives, is stopped or crawls, and what it sees of the
//! world.
//!
//! A dead incarnation never gets an answer again, so nothing it still has in memory can act. A
//! stopped one finds, when it goes on, that the world has moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use runtime::Clock;
use runtime::unique::Unique;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::Role;
use crate::rng::mix;
use crate::world::World;

/// How it stands with a process.
#[derive(Debug, Clone, Copy)]
struct Condition {
    stopped_until: Instant,
    slow: (u64, Instant),
}

/// One incarnation.
pub struct Node {
    /// Everything around it.
    pub world: Arc<World>,
    /// What it is.
    pub role: Role,
    /// Which of its role.
    pub index: u64,
    /// 0 for the first.
    pub life: u64,
    /// In the story.
    pub name: String,
    skew_ms: AtomicI64,
    calls: AtomicU64,
    uniques: AtomicU64,
    condition: Mutex<Condition>,
    state: Mutex<State>,
    /// A watch channel would wake its receivers in any order, this one in theirs.
    bell: Notify,
}

/// What its consumers must know at once.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    dead: bool,
    version: u64,
}

impl Node {
    /// A process that has just started.
    pub fn new(world: &Arc<World>, role: Role, index: u64, life: u64) -> Arc<Self> {
        let letter = match role {
            Role::Gate => "gate",
            Role::Writer => "writer",
            Role::Reconciler => "recon",
            Role::Clerk => "clerk",
            Role::Coordinator => "mover",
        };
        let skew = i64::try_from(world.plan.skew).unwrap_or(0);
        let dice = mix(&[world.plan.seed, 7, role as u64, index]);
        let skew_ms = (dice % (2 * skew as u64 + 1)) as i64 - skew;
        let now = Instant::now();
        Arc::new(Self {
            world: world.clone(),
            role,
            index,
            life,
            name: format!("{letter}-{index}{}", "'".repeat(life as usize)),
            skew_ms: AtomicI64::new(skew_ms),
            calls: AtomicU64::new(0),
            uniques: AtomicU64::new(0),
            condition: Mutex::new(Condition { stopped_until: now, slow: (1, now) }),
            state: Mutex::default(),
            bell: Notify::new(),
        })
    }

    /// A number that is the same in every run of the seed.
    pub fn dice(&self) -> u64 {
        let n = self.calls.fetch_add(1, Ordering::Relaxed);
        mix(&[self.world.plan.seed, self.role as u64, self.index, self.life, n])
    }

    /// Never acts again.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        (state.dead, state.version) = (true, state.version + 1);
        drop(state);
        self.bell.notify_waiters();
    }

    /// True after [`Node::kill`].
    pub fn is_dead(&self) -> bool {
        self.state.lock().dead
    }

    /// Waits for its death.
    pub async fn died(&self) {
        let mut seen = self.version();
        while !self.is_dead() {
            self.changed(&mut seen).await;
        }
    }

    /// Stops it for so long.
    pub fn stop(&self, ms: u64) {
        self.condition.lock().stopped_until = Instant::now() + Duration::from_millis(ms);
        self.state.lock().version += 1;
        self.bell.notify_waiters();
    }

    /// Tells of its death and of its stops.
    pub async fn changed(&self, seen: &mut u64) {
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            rung.as_mut().enable();
            let now = self.version();
            if now != *seen {
                *seen = now;
                return;
            }
            rung.await;
        }
    }

    /// Grows with its death and with each stop.
    pub fn version(&self) -> u64 {
        self.state.lock().version
    }

    /// When it goes on, if it is stopped now.
    pub fn stopped_until(&self) -> Option<Instant> {
        let until = self.condition.lock().stopped_until;
        (until > Instant::now()).then_some(until)
    }

    /// Sets its clock.
    pub fn step(&self, ms: i64) {
        self.skew_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// Makes it crawl for so long.
    pub fn slow(&self, factor: u64, ms: u64) {
        self.condition.lock().slow = (factor, Instant::now() + Duration::from_millis(ms));
    }

    /// Ends what [`Node::stop`] and [`Node::slow`] began.
    pub fn heal(&self) {
        let now = Instant::now();
        *self.condition.lock() = Condition { stopped_until: now, slow: (1, now) };
    }

    /// How long something of `base` ms takes it now.
    pub fn stretched(&self, base: u64) -> u64 {
        let (factor, until) = self.condition.lock().slow;
        let left = until.saturating_duration_since(Instant::now()).as_millis() as u64;
        if left == 0 { base } else { (base * factor).min(left + base) }
    }

    /// Goes on when the process runs: at once, after its stop, or never.
    pub async fn running(&self) {
        loop {
            if self.is_dead() {
                return std::future::pending().await;
            }
            match self.stopped_until() {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }
}

impl Clock for Node {
    fn now_ms(&self) -> u64 {
        self.world.now_ms().saturating_add_signed(self.skew_ms.load(Ordering::Relaxed))
    }
}

impl Unique for Node {
    fn next(&self) -> u64 {
        let n = self.uniques.fetch_add(1, Ordering::Relaxed);
        mix(&[self.world.plan.seed, 11, self.role as u64, self.index, self.life, n])
    }
}
