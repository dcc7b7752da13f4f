//! What a seed means: how many processes, which offers, who buys what, and which faults happen
//! when. Pure; the same seed gives the same plan for ever.
//!
//! Times are milliseconds of simulated time after the start. Everything in a plan can be left out
//! one by one ([`Tweaks`]), which is how a schedule is made shorter.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// Faults end here; what is broken then heals.
pub const HEAL_MS: u64 = 2100;

/// Which family of faults a schedule has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Latencies only.
    Calm,
    /// Processes die, stop and crawl; calls are lost, late and doubled; no store loses data.
    Process,
    /// As `Process`, and the log loses and repeats frames.
    Log,
    /// As `Process`, and Redis fails over to an older state.
    Failover,
    /// As `Process`, and Redis loses everything or comes back with an old snapshot.
    Loss,
    /// As `Process`, and databases are down for a while.
    Database,
    /// Hands falsify counters, operators rebuild living cells.
    Hand,
    /// As `Process`, few buyers, and the caches of verdicts are lost again and again.
    Forget,
    /// All of it.
    All,
}

impl Profile {
    /// All of them, with their share of a thousand schedules.
    pub const ALL: [(Profile, u64); 9] = [
        (Profile::Calm, 60),
        (Profile::Process, 200),
        (Profile::Log, 130),
        (Profile::Failover, 150),
        (Profile::Loss, 150),
        (Profile::Database, 100),
        (Profile::Hand, 80),
        (Profile::Forget, 60),
        (Profile::All, 70),
    ];

    fn of(seed: u64) -> Self {
        let mut at = Rng::new(seed).below(1000);
        for (profile, share) in Self::ALL {
            if at < share {
                return profile;
            }
            at -= share;
        }
        Profile::All
    }

    fn has(self, other: Profile) -> bool {
        self == other || self == Profile::All
    }
}

/// An offer for sale.
#[derive(Debug, Clone)]
pub struct OfferPlan {
    /// Its id.
    pub name: String,
    /// Units of each bucket.
    pub units: Vec<i64>,
    /// Per buyer; 0 = none.
    pub limit: u32,
    /// Window: opens and closes after the start.
    pub window: (Option<u64>, Option<u64>),
}

/// One thing a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Sends the request, again with the same key while the answer is lost or `unconfirmed`.
    Buy {
        /// Which of the client's keys.
        key: u8,
        /// Units.
        qty: u32,
        /// Tries in all.
        tries: u8,
    },
    /// Sends it to two gates at once.
    Race {
        /// Which of the client's keys.
        key: u8,
        /// Units.
        qty: u32,
    },
    /// Asks for the order of the last answer, with its link.
    Poll,
    /// Asks by idempotency key.
    PollKey {
        /// Which of the client's keys.
        key: u8,
    },
}

/// A client and what it does, one after another.
#[derive(Debug, Clone)]
pub struct ClientPlan {
    /// Number of its buyer.
    pub buyer: u64,
    /// Number of its offer.
    pub offer: usize,
    /// When it starts.
    pub at: u64,
    /// What it does, each after a pause.
    pub acts: Vec<(u64, Act)>,
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Adds (or takes) units.
    Supply(i64),
    /// Sends the same supply request twice, to two gates.
    SupplyTwice(i64),
    /// `pause`, `resume`, `open` or `close`.
    Flag(&'static str),
    /// Another price.
    Price(i64),
    /// Compares and repairs now.
    Reconcile,
    /// Rebuilds a cell.
    Rebuild,
}

/// Which process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A gate (with its operators' listener).
    Gate,
    /// A writer.
    Writer,
    /// A reconciler.
    Reconciler,
}

/// What answers calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All of Redis.
    Redis,
    /// A database.
    Db(u16),
    /// The log.
    Log,
}

/// A fault of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`; a new one starts after so many ms.
    Kill(Role, u64, u64),
    /// A writer dies, and the log loses what it had and had not acked.
    KillWithFrames(u64, u64),
    /// SIGSTOP for so many ms.
    Stop(Role, u64, u64),
    /// A process is so many times slower, for so many ms.
    Slow(Role, u64, (u64, u64)),
    /// A store is so many times slower, for so many ms.
    SlowTarget(Target, u64, u64),
    /// A store does not answer for so many ms.
    Down(Target, u64),
    /// Each slot loses up to so many of its last writes.
    Failover(u64),
    /// All cells are gone (`None`) or those of one offer.
    Lose(Option<usize>),
    /// Redis comes back with the state of so many ms ago.
    OldSnapshot(u64),
    /// The caches of verdicts are gone.
    Tombstones,
    /// A hand writes nonsense into a cell's counters.
    Falsify(usize),
}

/// How often calls go wrong, of a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallFaults {
    /// Never arrives; the caller waits in vain.
    pub lost_request: u64,
    /// Runs; the answer is lost.
    pub lost_reply: u64,
    /// Runs long after its caller gave up.
    pub late: u64,
    /// Runs twice.
    pub twice: u64,
    /// Refused at once.
    pub refused: u64,
    /// Takes up to 60 ms more.
    pub slow: u64,
    /// The log gives a receipt and loses the frame.
    pub frame_lost: u64,
    /// The log delivers a frame again that was acked long ago.
    pub redelivered: u64,
}

impl CallFaults {
    /// True when some call may go wrong.
    pub fn any(&self) -> bool {
        let c = self;
        let all = [c.lost_request, c.lost_reply, c.late, c.twice, c.refused, c.slow];
        all.iter().chain([&c.frame_lost, &c.redelivered]).any(|n| *n > 0)
    }
}

/// What is left out of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tweaks {
    /// Faults of the world, by their number.
    pub faults: BTreeSet<usize>,
    /// Clients, by their number.
    pub clients: BTreeSet<usize>,
    /// Operators' calls, by their number.
    pub orders: BTreeSet<usize>,
    /// Faults of calls, by what [`crate::rng::mix`] made of them.
    pub calls: BTreeSet<u64>,
}

/// A whole schedule before it runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// Its family.
    pub profile: Profile,
    /// Processes of each role.
    pub gates: u64,
    /// See `gates`.
    pub writers: u64,
    /// See `gates`.
    pub reconcilers: u64,
    /// Databases.
    pub databases: u16,
    /// Main partitions.
    pub partitions: u16,
    /// What is sold.
    pub offers: Vec<OfferPlan>,
    /// Who buys.
    pub clients: Vec<ClientPlan>,
    /// (when, offer, what).
    pub orders: Vec<(u64, usize, Order)>,
    /// (when, what).
    pub faults: Vec<(u64, Fault)>,
    /// Faults of calls.
    pub calls: CallFaults,
    /// The most a clock is off, ms.
    pub skew: u64,
    /// What is left out.
    pub tweaks: Tweaks,
}

impl Plan {
    /// The plan of a seed; `profile` overrides the family.
    pub fn of(seed: u64, profile: Option<Profile>) -> Self {
        let mut r = Rng::new(seed ^ 0xabcd);
        let profile = profile.unwrap_or_else(|| Profile::of(seed));
        let offers = offers(&mut r);
        let faulty = profile != Profile::Calm;
        let mut plan = Plan {
            seed,
            profile,
            gates: 2,
            writers: r.range(1, 2),
            reconcilers: r.range(1, 2),
            databases: r.range(1, 2) as u16 + u16::from(profile.has(Profile::Database)),
            partitions: r.range(1, 2) as u16,
            clients: clients(&mut r, offers.len() as u64, profile),
            orders: orders(&mut r, offers.len(), profile),
            offers,
            faults: Vec::new(),
            calls: CallFaults::default(),
            skew: if faulty { r.pick(&[0, 0, 20, 80]) } else { 0 },
            tweaks: Tweaks::default(),
        };
        if faulty {
            plan.calls = call_faults(&mut r, profile);
            plan.faults = faults(&mut r, &plan);
        }
        plan
    }
}

fn offers(r: &mut Rng) -> Vec<OfferPlan> {
    let n = r.range(1, 2);
    (0..n)
        .map(|i| {
            let buckets = if r.chance(250) { 2 } else { 1 };
            let opens = r.chance(60).then(|| r.range(50, 400));
            let closes = r.chance(60).then(|| r.range(800, 2000));
            OfferPlan {
                name: format!("o{i}"),
                units: (0..buckets).map(|_| r.range(1, 5) as i64).collect(),
                limit: r.pick(&[0, 1, 2, 2]),
                window: (opens, closes),
            }
        })
        .collect()
}

fn clients(r: &mut Rng, offers: u64, profile: Profile) -> Vec<ClientPlan> {
    let buyers = if profile == Profile::Forget { 2 } else { 7 };
    // After a loss it takes a while until there is a cell to buy from again.
    let late = if profile.has(Profile::Loss) { 1900 } else { 900 };
    let n = r.range(5, 11);
    (0..n)
        .map(|_| {
            let acts = r.range(1, 3);
            ClientPlan {
                buyer: r.below(buyers),
                offer: r.below(offers) as usize,
                at: r.below(late),
                acts: (0..acts).map(|i| (r.below(500), act(r, i == 0))).collect(),
            }
        })
        .collect()
}

fn act(r: &mut Rng, first: bool) -> Act {
    let (key, qty) = (r.below(2) as u8, if r.chance(800) { 1 } else { 2 });
    let dice = if first { r.below(65) } else { r.below(100) };
    match dice {
        0..52 => Act::Buy { key, qty, tries: r.range(1, 4) as u8 },
        52..65 => Act::Race { key, qty },
        65..88 => Act::Poll,
        _ => Act::PollKey { key },
    }
}

fn orders(r: &mut Rng, offers: usize, profile: Profile) -> Vec<(u64, usize, Order)> {
    let mut out = Vec::new();
    let rebuilds = profile.has(Profile::Hand) || r.chance(30);
    for _ in 0..r.below(4) {
        let what = match r.below(10) {
            0 | 1 => Order::Supply(r.range(1, 3) as i64),
            2 => Order::Supply(-(r.range(1, 2) as i64)),
            3 => Order::SupplyTwice(r.pick(&[-1, 1, 2])),
            4 => Order::Flag("pause"),
            5 => Order::Flag("resume"),
            6 => Order::Flag(r.pick(&["close", "open"])),
            7 | 8 => Order::Price(r.range(1, 9) as i64 * 100),
            _ => Order::Reconcile,
        };
        out.push((r.below(1800), r.below(offers as u64) as usize, what));
    }
    if rebuilds {
        for _ in 0..r.range(1, 2) {
            out.push((r.range(200, 1500), r.below(offers as u64) as usize, Order::Rebuild));
        }
    }
    out
}

fn call_faults(r: &mut Rng, profile: Profile) -> CallFaults {
    let level = r.pick(&[0, 5, 10, 25]);
    let log = profile.has(Profile::Log);
    CallFaults {
        lost_request: level / 2,
        lost_reply: level,
        late: if profile == Profile::Forget { 60 } else { level / 2 },
        twice: level,
        refused: level / 2,
        slow: r.pick(&[0, 20, 60]),
        frame_lost: if log { r.pick(&[0, 30, 120]) } else { 0 },
        redelivered: r.pick(&[0, 60, if log { 300 } else { 100 }]),
    }
}

fn faults(r: &mut Rng, plan: &Plan) -> Vec<(u64, Fault)> {
    let mut out = Vec::new();
    for _ in 0..r.below(5) {
        let (role, n) = process(r, plan);
        let fault = match r.below(10) {
            0..4 => Fault::Kill(role, n, r.range(20, 600)),
            4..7 => Fault::Stop(role, n, r.pick(&[60, 300, 900, 2000])),
            7 | 8 => Fault::Slow(role, n, (r.pick(&[10, 100, 1000]), r.range(100, 900))),
            _ => {
                let target = r.pick(&[Target::Redis, Target::Log, Target::Db(0)]);
                Fault::SlowTarget(target, r.pick(&[10, 30, 100]), r.range(100, 700))
            }
        };
        out.push((r.below(HEAL_MS - 300), fault));
    }
    let p = plan.profile;
    let mut add = |r: &mut Rng, most: u64, make: &dyn Fn(&mut Rng) -> Fault| {
        for _ in 0..r.range(1, most) {
            out.push((r.range(50, HEAL_MS - 300), make(r)));
        }
    };
    if p.has(Profile::Failover) {
        add(r, 3, &|r| Fault::Failover(r.range(1, 20)));
    }
    if p.has(Profile::Loss) {
        add(r, 3, &|r| match r.below(6) {
            0..3 => Fault::Lose(None),
            3 | 4 => Fault::Lose(Some(0)),
            _ => Fault::OldSnapshot(r.range(50, 800)),
        });
    }
    if p.has(Profile::Database) {
        let dbs = u64::from(plan.databases);
        add(r, 2, &|r| Fault::Down(Target::Db(r.below(dbs) as u16), r.range(100, 1200)));
    }
    if p.has(Profile::Hand) {
        add(r, 2, &|r| Fault::Falsify(r.below(3) as usize));
    }
    if p.has(Profile::Log) {
        let writers = plan.writers;
        add(r, 3, &|r| Fault::KillWithFrames(r.below(writers), r.range(20, 300)));
    }
    if p.has(Profile::Log) && r.chance(500) {
        out.push((r.below(1500), Fault::Down(Target::Log, r.range(50, 800))));
    }
    if r.chance(200) {
        out.push((r.below(1500), Fault::Down(Target::Redis, r.range(30, 400))));
    }
    let forgets = if p == Profile::Forget { 14 } else { u64::from(r.chance(300)) };
    for _ in 0..forgets {
        out.push((r.range(100, HEAL_MS - 100), Fault::Tombstones));
    }
    out.sort_by_key(|f| f.0);
    out
}

fn process(r: &mut Rng, plan: &Plan) -> (Role, u64) {
    match r.below(10) {
        0..5 => (Role::Gate, r.below(plan.gates)),
        5..8 => (Role::Writer, r.below(plan.writers)),
        _ => (Role::Reconciler, r.below(plan.reconcilers)),
    }
}
