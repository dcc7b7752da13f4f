//! Draws a plan: each part from the seed's stream, in the order of the functions here.
//!
//! What came later ([`later`]) has a stream of its own, so that it moves nothing else.

use super::lives;
use super::{
    Act, CallFaults, ClientPlan, Fault, HEAL_MS, Halt, OfferPlan, Order, Plan, Profile, Role, Row,
    Target, Transfer, Tweaks, Who,
};
use crate::rng::Rng;

/// The stream of what servers of databases do.
const SERVERS: u64 = 0x5e55;
/// The stream of what happens after the rows.
const LIVES: u64 = 0x11fe;

impl Plan {
    /// The plan of a seed; `profile` overrides the family.
    pub fn of(seed: u64, profile: Option<Profile>) -> Self {
        let mut r = Rng::new(seed ^ 0xabcd);
        let lives = profile == Some(Profile::Lives) || lives::has(seed);
        let family = profile.filter(|p| *p != Profile::Lives);
        let profile = family.unwrap_or_else(|| Profile::of(seed));
        let offers = offers(&mut r);
        let faulty = profile != Profile::Calm;
        let mut plan = Plan {
            seed,
            profile,
            gates: 2,
            writers: r.range(1, 2),
            reconcilers: r.range(1, 2),
            lives: None,
            databases: r.range(1, 2) as u16 + u16::from(profile.has(Profile::Database)),
            partitions: r.range(1, 2) as u16,
            clients: clients(&mut r, offers.len() as u64, profile),
            orders: orders(&mut r, offers.len(), profile),
            offers,
            faults: Vec::new(),
            calls: CallFaults::default(),
            skew: if faulty { r.pick(&[0, 0, 20, 80]) } else { 0 },
            waits: profile == Profile::Failover && Rng::new(seed ^ 0x3a17).chance(500),
            tweaks: Tweaks::default(),
        };
        if faulty {
            plan.calls = call_faults(&mut r, profile);
            plan.faults = faults(&mut r, &plan);
        }
        later(&mut Rng::new(seed ^ 0x1a7e), &mut plan);
        servers(&mut Rng::new(seed ^ SERVERS), &mut plan);
        if lives {
            lives::add(&mut Rng::new(seed ^ LIVES), &mut plan);
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
                pays_within: 900,
                policy: Default::default(),
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
        broken: 0,
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

/// Transfers between buckets, old primaries, forks.
fn later(r: &mut Rng, plan: &mut Plan) {
    for (_, fault) in &mut plan.faults {
        if let Fault::Failover(most) = *fault
            && r.chance(400)
        {
            *fault = Fault::OldPrimary(most, r.range(50, 900));
        }
    }
    for (n, offer) in plan.offers.iter().enumerate().filter(|(_, o)| o.units.len() > 1) {
        for _ in 0..r.range(1, 3) {
            plan.orders.push((r.below(1800), n, Order::Transfer(transfer(r, offer))));
        }
    }
    if plan.profile == Profile::Fork {
        forks(r, plan);
    }
    if plan.profile == Profile::Grey {
        grey(r, plan);
    }
}

/// Broken connections, locked rows and replicas that are behind: many in their own family, now and
/// then one in the others.
fn servers(r: &mut Rng, plan: &mut Plan) {
    let own = plan.profile.has(Profile::Database);
    let share = match plan.profile {
        Profile::Calm => 0,
        Profile::Loss | Profile::Log | Profile::Failover | Profile::Fork => 250,
        _ if own => 1000,
        Profile::Process
        | Profile::Database
        | Profile::Hand
        | Profile::Forget
        | Profile::Grey
        | Profile::Lives
        | Profile::All => 150,
    };
    if !r.chance(share) {
        return;
    }
    plan.calls.broken = if own { r.pick(&[0, 10, 30]) } else { 0 };
    for _ in 0..r.range(1, if own { 4 } else { 2 }) {
        let db = r.below(u64::from(plan.databases)) as u16;
        let who = who(r, plan);
        let (at, fault) = match r.below(10) {
            0..3 => (r.range(30, HEAL_MS - 300), Fault::Break(db, who, r.range(50, 900))),
            3..6 => {
                let lock = Fault::Locked(row(r, plan), r.pick(&[40, 150, 500, 500]));
                (r.range(30, HEAL_MS - 300), lock)
            }
            _ => {
                let times = (r.pick(&[20, 100, 500, 1500]), r.range(500, 2000));
                (r.range(30, 1400), Fault::Behind(db, who, times))
            }
        };
        plan.faults.push((at, fault));
    }
    plan.faults.sort_by_key(|f| f.0);
}

fn who(r: &mut Rng, plan: &Plan) -> Who {
    let one = process(r, plan);
    r.chance(500).then_some(one)
}

fn row(r: &mut Rng, plan: &Plan) -> Row {
    let offer = r.below(plan.offers.len() as u64) as usize;
    let bucket = r.below(plan.offers[offer].units.len() as u64) as u8;
    if r.chance(850) { Row::Cell(offer, bucket) } else { Row::Offer(offer) }
}

/// One process of two that must be left alone, and clocks that nobody should believe.
fn grey(r: &mut Rng, plan: &mut Plan) {
    const HOUR: u64 = 3_600_000;
    (plan.writers, plan.reconcilers) = (2, 2);
    plan.skew = r.pick(&[0, 5000, HOUR, 3 * HOUR]);
    for _ in 0..r.below(4) {
        let (role, n) = process(r, plan);
        let ms = r.pick(&[2000, 60_000, HOUR]) as i64;
        let by = if r.chance(500) { ms } else { -ms };
        plan.faults.push((r.below(HEAL_MS - 300), Fault::Step(role, n, by)));
    }
    let dbs = u64::from(plan.databases);
    let target = if r.chance(300) { Target::Redis } else { Target::Db(r.below(dbs) as u16) };
    let role = r.pick(&[Role::Writer, Role::Reconciler]);
    plan.faults.push((r.below(HEAL_MS - 300), Fault::Cut(role, r.below(2), target)));
    plan.faults.sort_by_key(|f| f.0);
}

fn transfer(r: &mut Rng, offer: &OfferPlan) -> Transfer {
    let from = r.below(offer.units.len() as u64) as u8;
    let (units, then) = (r.range(1, 2) as u32, r.range(20, 900));
    let halt = r.pick(&[Halt::Held, Halt::Held, Halt::Committed, Halt::Done, Halt::Again]);
    Transfer { from, to: 1 - from.min(1), units, halt, then }
}

fn forks(r: &mut Rng, plan: &mut Plan) {
    for _ in 0..r.range(1, 2) {
        let db = r.below(u64::from(plan.databases)) as u16;
        let fault = Fault::Fork(db, r.pick(&[100, 300, 600]));
        plan.faults.push((r.range(100, 1400), fault));
    }
    if r.chance(400) {
        // Without losses: what is broken then is broken by the hand alone.
        let offer = r.below(plan.offers.len() as u64) as usize;
        let row = Fault::FalsifyRow(offer, r.range(1, 4) as i64);
        plan.faults.retain(|(_, f)| !matches!(f, Fault::Fork(..)));
        plan.faults.push((r.range(100, 1700), row));
    }
    plan.faults.sort_by_key(|f| f.0);
}
