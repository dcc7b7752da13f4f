//! What a seed means: the crowd and the faults of one schedule. Pure; the same seed gives the same
//! plan on every machine, though not the same interleaving: real processes run as they like.

use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// A way to hurt the deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// kill -9 of a gate, started again at the end of the fault.
    GateKill,
    /// SIGSTOP of a gate: its buyers get no answer, its holds grow old.
    GatePause,
    /// kill -9 of a writer.
    WriterKill,
    /// SIGSTOP of a writer that goes on later, stale.
    WriterPause,
    /// kill -9 of a reconciler.
    ReconcilerKill,
    /// SIGSTOP of a reconciler.
    ReconcilerPause,
    /// kill -9 of a clerk.
    ClerkKill,
    /// SIGSTOP of a clerk: its work is taken by another one, and it goes on later, stale.
    ClerkPause,
    /// The payment provider is away: connections to it are cut and refused.
    ProviderCut,
    /// The payment provider takes what is asked of it and does not answer.
    ProviderHalfOpen,
    /// kill -9 of a Redis primary: a failover.
    RedisPrimaryKill,
    /// SIGSTOP of a Redis primary: a black hole, then a failover, then the old primary wakes up.
    RedisPrimaryPause,
    /// kill -9 of a Redis replica.
    RedisReplicaKill,
    /// Every client connection of every Redis node is cut.
    RedisCut,
    /// All Redis nodes come back empty.
    RedisEmpty,
    /// All Redis nodes come back with the data of some seconds ago.
    RedisOld,
    /// One process does not reach one Redis primary; both live and reach all others.
    AsymmetricRedis,
    /// kill -9 of a MariaDB server.
    MariadbKill,
    /// SIGSTOP of a MariaDB server.
    MariadbPause,
    /// The connections to a MariaDB server are cut and refused.
    MariadbCut,
    /// Every packet to and from a MariaDB server takes 200 ms more.
    MariadbDelay,
    /// The connections to a MariaDB server stay open and carry nothing.
    MariadbHalfOpen,
    /// One process does not reach one MariaDB server; both live and reach all others.
    AsymmetricCut,
    /// A writer vanishes in the middle of a transaction; the server keeps its session and locks.
    VanishedClient,
    /// Idle sessions have all connections of a MariaDB server, and the product's own are killed.
    MaxConnections,
    /// The disk of a MariaDB server is full.
    MariadbFull,
    /// A database comes back as it was when the fault began; an operator rewinds it at the end.
    LostCommits,
    /// kill -9 of the Pulsar broker.
    PulsarKill,
    /// SIGSTOP of the Pulsar broker.
    PulsarPause,
    /// The disk of Pulsar, broker and bookie, is full.
    PulsarFull,
    /// One process does not reach Pulsar; all others do.
    AsymmetricPulsar,
    /// The buyers' connections are cut and refused.
    ClientCut,
    /// Every packet between buyers and gates takes 300 ms more.
    ClientDelay,
    /// The buyers' connections stay open and carry nothing.
    ClientHalfOpen,
    /// Strangers send purchases of an offer of theirs and read no answer.
    SlowReader,
    /// Frames that nobody can read lie in every partition.
    BrokenFrame,
    /// The clock of one process is set by seconds to hours, and set right at the end.
    ClockStep,
    /// Twelve busy loops fight for the processors.
    CpuStarvation,
    /// Every process and every server stands still, as on a machine that is suspended or moved, and
    /// goes on later than it thinks.
    MachineSuspend,
}

impl Kind {
    /// The name in plans, tables and `--faults`.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    /// True for what is done to one copy of a service.
    pub(crate) fn is_of_a_service(self) -> bool {
        matches!(
            self,
            Kind::GateKill
                | Kind::GatePause
                | Kind::WriterKill
                | Kind::WriterPause
                | Kind::ReconcilerKill
                | Kind::ReconcilerPause
                | Kind::ClerkKill
                | Kind::ClerkPause
        )
    }

    /// True for what only orders feel that are paid, or should be.
    pub(crate) fn is_of_lives(self) -> bool {
        matches!(
            self,
            Kind::ClerkKill | Kind::ClerkPause | Kind::ProviderCut | Kind::ProviderHalfOpen
        )
    }

    /// True for what is done to one process of any service.
    pub(crate) fn is_of_a_process(self) -> bool {
        matches!(self, Kind::AsymmetricCut | Kind::ClockStep) || self.is_filtered()
    }

    /// True for what needs the system's packet filter.
    pub(crate) fn is_filtered(self) -> bool {
        matches!(self, Kind::AsymmetricRedis | Kind::AsymmetricPulsar)
    }

    /// The servers whose disk it fills: each must have a small one of its own.
    pub(crate) fn fills(self) -> &'static [&'static str] {
        let all: [(Kind, &[&str]); 2] =
            [(Kind::MariadbFull, &["mariadb-1", "mariadb-2"]), (Kind::PulsarFull, &["pulsar"])];
        all.into_iter().find(|(kind, _)| *kind == self).map_or(&[], |(_, servers)| servers)
    }

    /// These take long to come back from; a schedule has one of them at most.
    fn is_heavy(self) -> bool {
        let pulsar = matches!(self, Kind::PulsarKill | Kind::PulsarPause | Kind::PulsarFull);
        pulsar || matches!(self, Kind::RedisEmpty | Kind::RedisOld | Kind::LostCommits)
    }

    /// The least that it lasts, milliseconds.
    fn at_least(self) -> u64 {
        if matches!(self, Kind::VanishedClient | Kind::SlowReader) {
            PATIENT_MS
        } else if self == Kind::MaxConnections || self.is_filtered() {
            NOTICED_MS
        } else if self.fills().is_empty() {
            0
        } else {
            FULL_MS
        }
    }
}

/// The shortest that a disk is full: it is noticed when a file has to grow.
const FULL_MS: u64 = 8_000;
/// Longer than a server keeps a silent transaction and a gate answers that nobody reads (5 s).
const PATIENT_MS: u64 = 9_000;
/// Within this a process has something to say to every server.
const NOTICED_MS: u64 = 3_000;

/// One fault of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub kind: Kind,
    /// After the crowd began.
    pub at: Duration,
    /// Until it is undone.
    pub lasts: Duration,
    /// Chooses among several targets.
    pub pick: usize,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub seed: u64,
    pub requests: u32,
    pub rate: u32,
    pub units: u32,
    pub buyers: u32,
    pub limit: Option<u32>,
    pub duplicates: f64,
    /// The crowd pays, pays wrongly or late, cancels and wants money back, instead of only buying.
    pub lives: bool,
    pub faults: Vec<Fault>,
}

/// How long the crowd arrives.
const SALE_S: u32 = 14;

impl Plan {
    /// The plan of a seed, with faults of these kinds.
    pub(crate) fn of(seed: u64, kinds: &[Kind]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rate = rng.random_range(60..=160);
        let requests = rate * SALE_S;
        let mut faults: Vec<Fault> = Vec::new();
        // The first fault walks through the kinds, so that few schedules already meet them all.
        let first = kinds.get(seed as usize % kinds.len().max(1)).copied();
        let more = rng.random_range(0..=2);
        let others = (0..more).filter_map(|_| kinds.choose(&mut rng).copied()).collect::<Vec<_>>();
        for kind in first.into_iter().chain(others) {
            let heavy = faults.iter().any(|f| f.kind.is_heavy());
            if (heavy && kind.is_heavy()) || faults.iter().any(|f| f.kind == kind) {
                continue;
            }
            let lasts = rng.random_range(500..=6_000).max(kind.at_least());
            faults.push(Fault {
                kind,
                at: Duration::from_millis(rng.random_range(1_500..=8_000)),
                lasts: Duration::from_millis(lasts),
                pick: rng.random_range(0..64),
            });
        }
        faults.sort_by_key(|f| f.at);
        let lives = faults.iter().any(|f| f.kind.is_of_lives());
        // Payments of orders that a database forgot are not brought back by its rewind yet.
        faults.retain(|f| !lives || f.kind != Kind::LostCommits);
        Self {
            lives,
            seed,
            requests,
            rate,
            // Sold out before the end in most schedules, never in some.
            units: requests * rng.random_range(30..=130) / 100,
            buyers: requests * rng.random_range(40..=100) / 100,
            limit: rng.random_bool(0.4).then(|| rng.random_range(1..=3)),
            duplicates: f64::from(rng.random_range(0..=20)) / 100.0,
            faults,
        }
    }

    /// How many orders of a crowd that pays: it goes on as fast as it is answered.
    pub(crate) fn orders(&self) -> u32 {
        self.requests / 2
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|f| {
                let (at, lasts) = (f.at.as_secs_f64(), f.lasts.as_secs_f64());
                format!("{} at {at:.1} s for {lasts:.1} s", f.kind.name())
            })
            .collect();
        if self.lives {
            let orders = self.orders();
            return format!("{orders} orders with their payments: {}", faults.join(", "));
        }
        let limit = self.limit.map_or_else(|| "none".to_owned(), |l| l.to_string());
        format!(
            "{} requests at {}/s for {} units, {} buyers, limit {limit}: {}",
            self.requests,
            self.rate,
            self.units,
            self.buyers,
            faults.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let all = Kind::value_variants();
        for seed in 0..500 {
            let plan = Plan::of(seed, all);
            assert_eq!(plan, Plan::of(seed, all));
            assert!((1..=3).contains(&plan.faults.len()), "{plan:?}");
            let heavy = plan.faults.iter().filter(|f| f.kind.is_heavy()).count();
            assert!(heavy <= 1, "{plan:?}");
        }
    }

    #[test]
    fn a_fault_outlasts_the_patience_that_it_tries() {
        for kind in [Kind::VanishedClient, Kind::SlowReader, Kind::PulsarFull] {
            for seed in 0..50 {
                let fault = &Plan::of(seed, &[kind]).faults[0];
                assert!(fault.lasts > Duration::from_secs(6), "{fault:?}");
            }
        }
    }

    #[test]
    fn as_many_schedules_as_kinds_meet_them_all() {
        let all = Kind::value_variants();
        let mut met: Vec<Kind> =
            (0..all.len() as u64).flat_map(|s| Plan::of(s, all).faults).map(|f| f.kind).collect();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met, all);
    }
}
