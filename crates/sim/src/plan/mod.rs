//! What a seed means: how many processes, which offers, who buys what, and which faults happen
//! when. Pure; the same seed gives the same plan for ever.
//!
//! Times are milliseconds of simulated time after the start. Everything in a plan can be left out
//! one by one ([`Tweaks`]), which is how a schedule is made shorter.

use std::collections::BTreeSet;

use domain::life::OfferPolicy;

use crate::rng::Rng;

mod draw;
mod fault;
mod lives;

pub use fault::{Fault, Role, Row, Target, Who};
pub use lives::{Asking, LivesPlan, Parcelling, Part, Paying};

/// Faults end here; what is broken then heals.
pub const HEAL_MS: u64 = 2100;
/// They end here in a schedule that has lives: orders must have died and been bought again.
pub const LIVES_HEAL_MS: u64 = 4000;

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
    /// As `Process`, and databases are down for a while, break connections, keep rows locked, and
    /// replicas answer for them that are behind.
    Database,
    /// Hands falsify counters, operators rebuild living cells.
    Hand,
    /// As `Process`, few buyers, and the caches of verdicts are lost again and again.
    Forget,
    /// As `Process`, and a database comes back without its last commits, or with a falsified row.
    Fork,
    /// As `Process`; one writer or reconciler of two is cut from one store for good, both alive;
    /// clocks are hours off, and are set.
    Grey,
    /// All of it but `Fork`, after which little is promised, and `Grey`, which nobody repairs.
    All,
    /// Any of the others, and all that happens to orders after their rows: see [`LivesPlan`]. Of
    /// the others every fourth schedule has lives too.
    Lives,
}

impl Profile {
    /// All of them, with their share of a thousand schedules.
    pub const ALL: [(Profile, u64); 12] = [
        (Profile::Calm, 60),
        (Profile::Process, 160),
        (Profile::Log, 130),
        (Profile::Failover, 150),
        (Profile::Loss, 150),
        (Profile::Database, 100),
        (Profile::Hand, 80),
        (Profile::Forget, 60),
        (Profile::Fork, 40),
        (Profile::All, 40),
        (Profile::Grey, 30),
        (Profile::Lives, 0),
    ];

    /// The family of a seed.
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
    /// How long its orders may stay unpaid, seconds; 0 for ever.
    pub pays_within: u32,
    /// What operators decided for what comes after the row.
    pub policy: OfferPolicy,
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
    /// Pays the order of the last answer.
    Pay(Paying),
    /// Does not want the order of the last answer any more.
    Cancel,
    /// Wants money of the order of the last answer back, by the refund of this name.
    AskRefund(u8, Asking),
    /// A warehouse tells of its goods.
    Parcel(Parcelling),
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
    /// Moves units from one bucket to another.
    Transfer(Transfer),
}

/// Units that go from one bucket to another (PROTOCOL 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The bucket that they leave.
    pub from: u8,
    /// The bucket that gets them.
    pub to: u8,
    /// How many.
    pub units: u32,
    /// How far its coordinator comes.
    pub halt: Halt,
    /// Ms before its last step.
    pub then: u64,
}

/// Where the coordinator of a transfer dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halt {
    /// After the hold.
    Held,
    /// After the transaction, before its entries are applied.
    Committed,
    /// Nowhere.
    Done,
    /// Nowhere, and its hold call arrives once more when all is over.
    Again,
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
    /// Runs at a database, then the connection breaks.
    pub broken: u64,
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
        all.iter().chain([&c.broken, &c.frame_lost, &c.redelivered]).any(|n| *n > 0)
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
    /// What happens to orders after their rows; `None`: nothing, there are no clerks.
    pub lives: Option<LivesPlan>,
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
    /// Gates wait for the replicas (`reserve.wait_replicas`).
    pub waits: bool,
    /// What is left out.
    pub tweaks: Tweaks,
}

impl Plan {
    /// When its faults end, ms.
    pub fn heals_at(&self) -> u64 {
        if self.lives.is_some() { LIVES_HEAL_MS } else { HEAL_MS }
    }
}
