//! Everything that the processes of one schedule share: time, stores, faults in force, the oracle,
//! the story.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use domain::Identity;
use parking_lot::Mutex;
use runtime::Clock;
use testkit::memory::{MemoryLog, MemoryStore};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::bank::Bank;
use crate::coverage::Coverage;
use crate::net::{Fate, Trip};
use crate::node::Node;
use crate::oracle::Oracle;
use crate::plan::{Plan, Profile, Role, Target};
use crate::redis::Redis;
use crate::rng::mix;
use crate::servers::Servers;

/// Simulated time starts here, UTC ms.
pub const START_MS: u64 = 1_700_000_000_000;

/// The deployment's identity secret.
pub const SECRET: &[u8] = b"the secret of every schedule";

/// Simulated wall time without any skew.
pub struct WorldClock(pub Instant);

impl Clock for WorldClock {
    fn now_ms(&self) -> u64 {
        START_MS + self.0.elapsed().as_millis() as u64
    }
}

/// How a store is now.
#[derive(Debug, Clone, Copy)]
struct Weather {
    down_until: Instant,
    slow: (u64, Instant),
}

/// One schedule's world.
pub struct World {
    /// What was planned.
    pub plan: Plan,
    /// The cells.
    pub redis: Arc<Redis>,
    /// The databases.
    pub store: MemoryStore,
    /// How the databases' servers are.
    pub servers: Servers,
    /// The log.
    pub log: MemoryLog,
    /// The payment provider.
    pub bank: Bank,
    /// The keyed functions.
    pub identity: Identity,
    /// What must hold.
    pub oracle: Mutex<Oracle>,
    /// What was met.
    pub cover: Mutex<Coverage>,
    /// Faults of calls that were met, for the shrinker.
    pub met: Mutex<Vec<u64>>,
    began: Instant,
    healed: AtomicBool,
    story: Option<Mutex<Vec<String>>>,
    weather: Mutex<BTreeMap<Target, Weather>>,
    /// What does not reach what, for good.
    cuts: Mutex<BTreeSet<(Role, u64, Target)>>,
    /// Until when some processes talk to deposed primaries, and the number that says which.
    split: Mutex<Option<(Instant, u64)>>,
    /// Calls that nobody waits for any more.
    strays: AtomicI64,
    /// Rung at the first violation.
    pub broken: Notify,
}

impl World {
    /// A world with nothing in it yet; `story` keeps a line per step.
    pub fn new(plan: Plan, redis: Arc<Redis>, story: bool) -> Arc<Self> {
        let began = Instant::now();
        let clock = Arc::new(WorldClock(began));
        let identity = Identity::new(SECRET);
        redis.reset();
        Arc::new(Self {
            store: MemoryStore::new(plan.databases, identity.clone(), clock.clone()),
            log: MemoryLog::new(plan.partitions, clock),
            oracle: Mutex::new(Oracle::new(&plan)),
            plan,
            servers: Servers::default(),
            bank: Bank::default(),
            redis,
            identity,
            cover: Mutex::default(),
            met: Mutex::default(),
            began,
            healed: AtomicBool::new(false),
            story: story.then(Mutex::default),
            weather: Mutex::default(),
            cuts: Mutex::default(),
            split: Mutex::default(),
            strays: AtomicI64::new(0),
            broken: Notify::new(),
        })
    }

    /// One more call on its way that nobody waits for, or one less.
    pub fn stray(&self, more: i64) {
        self.strays.fetch_add(more, Ordering::Relaxed);
    }

    /// Calls on their way that nobody waits for.
    pub fn strays(&self) -> i64 {
        self.strays.load(Ordering::Relaxed)
    }

    /// Milliseconds since the start.
    pub fn at(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Simulated wall time.
    pub fn now_ms(&self) -> u64 {
        START_MS + self.at()
    }

    /// Waits until so many ms after the start.
    pub async fn until(&self, at: u64) {
        tokio::time::sleep_until(self.began + Duration::from_millis(at)).await;
    }

    /// A line of the story; the text is only made when somebody reads it.
    pub fn tell(&self, who: &str, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.lock().push(format!("{:>6} {who:<9} {}", self.at(), what()));
        }
    }

    /// True when somebody reads the story.
    pub fn is_told(&self) -> bool {
        self.story.is_some()
    }

    /// The story so far.
    pub fn story(&self) -> Vec<String> {
        self.story.as_ref().map(|s| s.lock().clone()).unwrap_or_default()
    }

    /// Counts something that was met.
    pub fn met(&self, group: &'static str, name: &'static str) {
        self.cover.lock().count(group, name);
    }

    /// Lets the oracle look, and ends the schedule if it finds something.
    pub fn check<T>(&self, look: impl FnOnce(&mut Oracle, &World) -> T) -> T {
        let mut oracle = self.oracle.lock();
        let before = oracle.violation.is_some();
        let out = look(&mut oracle, self);
        if let (false, Some(v)) = (before, &oracle.violation) {
            self.tell("ORACLE", || format!("{}: {}", v.id, v.detail));
            self.broken.notify_one();
        }
        out
    }

    /// From now on nothing fails any more.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
        self.weather.lock().clear();
        self.split.lock().take();
        self.servers.heal();
        self.tell("WORLD", || "all faults end".to_owned());
    }

    /// True after [`World::heal`].
    pub fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    fn weather(&self, target: Target) -> Option<Weather> {
        self.weather.lock().get(&target).copied()
    }

    /// A store does not answer for so long.
    pub fn down(&self, target: Target, ms: u64) {
        let now = Instant::now();
        let until = now + Duration::from_millis(ms);
        let fresh = Weather { down_until: now, slow: (1, now) };
        self.weather.lock().entry(target).or_insert(fresh).down_until = until;
    }

    /// A store is slow for so long.
    pub fn slow(&self, target: Target, factor: u64, ms: u64) {
        let now = Instant::now();
        let slow = (factor, now + Duration::from_millis(ms));
        let fresh = Weather { down_until: now, slow: (1, now) };
        self.weather.lock().entry(target).or_insert(fresh).slow = slow;
    }

    /// True while the store does not answer.
    pub fn is_down(&self, target: Target) -> bool {
        self.weather(target).is_some_and(|w| Instant::now() < w.down_until)
    }

    /// From now on this process does not reach this store; [`World::heal`] does not mend that.
    pub fn cut(&self, role: Role, index: u64, target: Target) {
        self.cuts.lock().insert((role, index, target));
    }

    /// True when nothing of this process arrives there.
    pub fn is_cut(&self, node: &Node, target: Target) -> bool {
        self.is_down(target) || self.cuts.lock().contains(&(node.role, node.index, target))
    }

    /// About every second process talks to the deposed primaries for so long.
    pub fn split(&self, ms: u64, number: u64) {
        *self.split.lock() = Some((Instant::now() + Duration::from_millis(ms), number));
    }

    /// True while this process talks to the deposed primaries. Each incarnation does, as long as
    /// its host does.
    pub fn sees_old(&self, node: &Node) -> bool {
        let Some((until, number)) = *self.split.lock() else { return false };
        let dice = || mix(&[self.plan.seed, 19, number, node.role as u64, node.index]);
        Instant::now() < until && dice().is_multiple_of(2)
    }

    /// How long something of `base` ms takes the store now.
    pub fn stretched(&self, target: Target, base: u64) -> u64 {
        let Some(w) = self.weather(target) else { return base };
        let left = w.slow.1.saturating_duration_since(Instant::now()).as_millis() as u64;
        if left == 0 { base } else { (base * w.slow.0).min(left + base) }
    }

    /// Now and then a call takes long without any fault.
    pub fn hiccup(&self, dice: u64) -> u64 {
        let rare = (dice >> 16) % 1000 < self.plan.calls.slow && !self.is_healed();
        if rare { (dice >> 32) % 60 } else { 0 }
    }

    /// What happens to a call.
    pub fn fate(&self, node: &Node, trip: Trip, dice: u64) -> Fate {
        let c = &self.plan.calls;
        let broken = if matches!(trip.target, Target::Db(_)) { c.broken } else { 0 };
        let ladder = [c.lost_request, c.lost_reply, c.late, c.twice, c.refused, broken];
        let mut at = (dice >> 24) % 1000;
        if self.is_healed()
            || self.at() > self.plan.heals_at()
            || self.plan.tweaks.calls.contains(&dice)
        {
            return Fate::Fine;
        }
        // Few buyers, many late calls: soon enough that the deadline still lets them through.
        let most = if self.plan.profile == Profile::Forget { 140 } else { 900 };
        let by = 1 + (dice >> 40) % most;
        let fates = [
            Fate::LostRequest,
            Fate::LostReply,
            Fate::Late(by),
            Fate::Twice(by),
            Fate::Refused,
            Fate::Broken,
        ];
        for (share, fate) in ladder.into_iter().zip(fates) {
            if at < share {
                return self.allowed(node, trip, fate, dice);
            }
            at -= share;
        }
        match trip.target {
            Target::Db(db) => match self.servers.fate(db, node, dice) {
                Fate::Fine => Fate::Fine,
                fate @ (Fate::Refused
                | Fate::Broken
                | Fate::LostRequest
                | Fate::LostReply
                | Fate::Late(_)
                | Fate::Twice(_)) => self.allowed(node, trip, fate, dice),
            },
            Target::Redis | Target::Log | Target::Provider => Fate::Fine,
        }
    }

    /// A reserve is carried out twice only when its caller knows that it does not know
    /// (PROTOCOL 10.1: the client library never repeats by itself).
    fn allowed(&self, _node: &Node, trip: Trip, fate: Fate, dice: u64) -> Fate {
        if trip.name == "reserve" && matches!(fate, Fate::Twice(_)) {
            return Fate::Fine;
        }
        self.met.lock().push(dice);
        self.met("call", fate.name());
        fate
    }
}
