//! A range of seeds: one thread per core, each with a runtime and scripts of its own.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::invariant::Violation;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::coverage::Coverage;
use crate::plan::{Plan, Profile};
use crate::plant::{Plant, Spot};
use crate::run::Lab;

/// What is swept.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// How many schedules.
    pub schedules: u64,
    /// The first seed.
    pub first: u64,
    /// One family of faults only.
    pub profile: Option<Profile>,
    /// A planted fault.
    pub spot: Spot,
    /// Threads.
    pub threads: u64,
    /// Go on after the first violation.
    pub all: bool,
    /// Show how far it is.
    pub bar: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Schedules that ran.
    pub done: u64,
    /// (seed, what), by seed.
    pub bad: Vec<(u64, Violation)>,
    /// What was met.
    pub cover: Coverage,
    /// Seconds of wall time.
    pub seconds: f64,
}

struct Shared {
    range: Range,
    next: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    out: Mutex<Swept>,
}

/// Runs a range; `Err` when a planted fault cannot be planted.
pub fn sweep(range: Range) -> Result<Swept, String> {
    let began = Instant::now();
    let shared = Shared {
        range,
        next: AtomicU64::new(range.first),
        done: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        out: Mutex::default(),
    };
    let over = AtomicBool::new(false);
    let failed = std::thread::scope(|s| {
        if range.bar {
            s.spawn(|| bar(&shared, &over, began));
        }
        let workers: Vec<_> =
            (0..range.threads.max(1)).map(|_| s.spawn(|| worker(&shared))).collect();
        let ended: Vec<Result<(), String>> = workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
            .collect();
        over.store(true, Ordering::Relaxed);
        ended.into_iter().find_map(Result::err)
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let mut out = shared.out.into_inner();
    out.bad.sort_by_key(|b| b.0);
    out.done = shared.done.into_inner();
    out.seconds = began.elapsed().as_secs_f64();
    Ok(out)
}

fn worker(shared: &Shared) -> Result<(), String> {
    let range = &shared.range;
    let lab = Lab::new(Plant::at(range.spot))?;
    let mut cover = Coverage::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= range.first + range.schedules {
            break;
        }
        let outcome = lab.run(Plan::of(seed, range.profile), false)?;
        shared.done.fetch_add(1, Ordering::Relaxed);
        cover.add(&outcome.cover);
        if let Some(violation) = outcome.violation {
            if range.bar {
                eprintln!("seed {seed} breaks {}", violation.id);
            }
            shared.out.lock().bad.push((seed, violation));
            shared.stop.fetch_or(!range.all, Ordering::Relaxed);
        }
    }
    shared.out.lock().cover.add(&cover);
    Ok(())
}

/// A line that is written again and again on a terminal; elsewhere one every ten seconds.
fn bar(shared: &Shared, over: &AtomicBool, began: Instant) {
    let terminal = std::io::stderr().is_terminal();
    let mut said = 0.0;
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(200));
        let (done, all) = (shared.done.load(Ordering::Relaxed), shared.range.schedules);
        let seconds = began.elapsed().as_secs_f64();
        let bad = shared.out.lock().bad.len();
        let rate = done as f64 / seconds.max(0.001);
        let text = format!("{done} of {all} schedules, {rate:.0}/s, {bad} violations");
        if terminal {
            let part = (done * 30 / all.max(1)) as usize;
            eprint!("\r[{}{}] {text} ", "#".repeat(part), ".".repeat(30 - part.min(30)));
            let _ = std::io::stderr().flush();
        } else if seconds - said >= 10.0 {
            said = seconds;
            eprintln!("{text}");
        }
    }
    if terminal {
        eprintln!();
    }
}
