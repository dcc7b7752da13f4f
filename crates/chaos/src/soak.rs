//! Endurance: constant load, a fault each minute, and nothing that grows but what was sold.
//!
//! Processes must keep their memory and their file handles; Redis and the tables may grow with the
//! live orders and with nothing else. The faults are those that leave every process in place, and
//! kills, in turn.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::deployment::Deployment;
use crate::faults::Faults;
use crate::plan::{Fault, Kind, Plan};
use crate::sample::{self, Sample};
use crate::{schedule, svg};

/// A minute of the crowd: arrivals per second.
const RATE: u32 = 100;
/// How long the crowd of a minute arrives; the rest is for its verdict.
const ARRIVALS_S: u32 = 40;

/// What a run came to.
pub(crate) struct Endured {
    pub samples: Vec<Sample>,
    /// Why it failed; empty when all stayed flat and everything was conserved.
    pub wrong: Vec<String>,
}

/// Kinds of fault in turn; a heavy one every tenth minute.
fn kind(minute: u64) -> Kind {
    const LIGHT: [Kind; 12] = [
        Kind::WriterKill,
        Kind::RedisCut,
        Kind::GatePause,
        Kind::MariadbCut,
        Kind::RedisPrimaryKill,
        Kind::ClientHalfOpen,
        Kind::ReconcilerKill,
        Kind::BrokenFrame,
        Kind::MariadbHalfOpen,
        Kind::VanishedClient,
        Kind::MaxConnections,
        Kind::SlowReader,
    ];
    const HEAVY: [Kind; 3] = [Kind::PulsarKill, Kind::RedisEmpty, Kind::RedisOld];
    if minute % 10 == 9 {
        HEAVY[(minute / 10) as usize % HEAVY.len()]
    } else {
        LIGHT[(minute - minute / 10) as usize % LIGHT.len()]
    }
}

fn plan(minute: u64) -> Plan {
    let requests = RATE * ARRIVALS_S;
    let fault = Fault {
        kind: kind(minute),
        at: Duration::from_secs(10),
        lasts: Duration::from_secs(3),
        pick: minute as usize,
    };
    Plan {
        seed: minute,
        requests,
        rate: RATE,
        units: requests * 9 / 10,
        buyers: requests,
        limit: None,
        duplicates: 0.05,
        lives: false,
        faults: vec![fault],
    }
}

/// Runs for this many minutes; the plot goes to `page`.
pub(crate) fn run(
    d: &mut Deployment,
    faults: &Faults,
    minutes: u64,
    (dir, page): (&Path, &Path),
) -> Result<Endured> {
    let began = Instant::now();
    let mut endured = Endured { samples: Vec::new(), wrong: Vec::new() };
    let mut minute = 0;
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        let plan = plan(minute);
        eprintln!("[{:.1} min of {minutes}] {}", began.elapsed().as_secs_f64() / 60.0, plan.line());
        let ran = schedule::run(d, faults, &plan, &dir.join(format!("minute-{minute}")))?;
        endured.wrong.extend(ran.outcome.violations);
        let backlog = faults.threads.block_on(faults.log.backlog()).unwrap_or(0);
        let at = began.elapsed().as_secs_f64() / 60.0;
        let sample = faults.threads.block_on(sample::take(d, at, backlog))?;
        eprintln!(
            "  {} live orders, {} Redis keys, {} MiB in tables, {} unfinished",
            sample.live_orders,
            sample.redis_keys,
            sample.table_bytes >> 20,
            sample.unfinished
        );
        endured.samples.push(sample);
        // Written each minute: a run that is broken off has its plot all the same.
        std::fs::write(page, svg::page(&endured.samples))?;
        minute += 1;
    }
    endured.wrong.extend(grown(&endured.samples));
    Ok(endured)
}

/// What grew in the second half although it should not have; young processes are left out, since
/// a kill starts them anew.
fn grown(samples: &[Sample]) -> Vec<String> {
    let mut wrong = Vec::new();
    let halves = samples.split_at(samples.len() / 2);
    let mut check = |what: &str, value: &dyn Fn(&Sample) -> Option<f64>, slack: f64| {
        let largest = |half: &[Sample]| half.iter().filter_map(value).fold(0.0, f64::max);
        let (first, second) = (largest(halves.0), largest(halves.1));
        // A first half without a value says nothing.
        if first > 0.0 && second > first * 1.3 + slack {
            wrong.push(format!("{what} grew: at most {first:.0}, then {second:.0}"));
        }
    };
    let names: Vec<String> = samples
        .last()
        .map(|s| s.processes.iter().map(|p| p.name.clone()).collect())
        .unwrap_or_default();
    for name in &names {
        let find = |s: &Sample| s.processes.iter().find(|p| p.name == *name).cloned();
        let database = name.starts_with("redis") || name.starts_with("mariadb");
        if !database {
            check(
                &format!("memory of {name} (KiB)"),
                &|s| find(s).map(|p| p.memory_kib as f64),
                8192.0,
            );
        }
        check(&format!("handles of {name}"), &|s| find(s).map(|p| p.handles as f64), 20.0);
    }
    let per_order =
        |n: u64, s: &Sample| (s.live_orders > 0).then(|| n as f64 / s.live_orders as f64);
    check("Redis bytes per live order", &|s| per_order(s.redis_bytes, s), 10.0);
    check("table bytes per live order", &|s| per_order(s.table_bytes, s), 10.0);
    check("unfinished work", &|s| Some(s.unfinished as f64 + 1.0), 10.0);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::ProcessUse;

    fn sample(memory_kib: u64, handles: u64, table_bytes: u64) -> Sample {
        Sample {
            minute: 1.0,
            processes: vec![ProcessUse { name: "gate-1".to_owned(), memory_kib, handles }],
            live_orders: 10,
            redis_keys: 1,
            redis_bytes: 1,
            table_bytes,
            unfinished: 0,
        }
    }

    #[test]
    fn growth_is_told_and_a_plateau_is_not() {
        let flat = vec![sample(50_000, 40, 9000); 6];
        assert_eq!(grown(&flat), Vec::<String>::new());
        let mut leak = flat.clone();
        leak.push(sample(90_000, 40, 9000));
        assert!(grown(&leak)[0].starts_with("memory of gate-1"), "{:?}", grown(&leak));
        let mut handles = flat.clone();
        handles.push(sample(50_000, 90, 9000));
        assert!(grown(&handles)[0].starts_with("handles"), "{:?}", grown(&handles));
        let mut table = flat;
        table.push(sample(50_000, 40, 19_000));
        assert!(grown(&table)[0].starts_with("table bytes"), "{:?}", grown(&table));
    }

    #[test]
    fn every_tenth_minute_is_heavy() {
        let heavy: Vec<Kind> = [9, 19, 29].map(kind).to_vec();
        assert_eq!(heavy, [Kind::PulsarKill, Kind::RedisEmpty, Kind::RedisOld]);
        // All others are met in turn.
        let mut light: Vec<Kind> = (0..13).filter(|m| m % 10 != 9).map(kind).collect();
        light.sort_unstable();
        light.dedup();
        assert_eq!(light.len(), 12);
        assert_eq!(kind(0), kind(13));
    }
}
