//! The command line: what is run, and what is printed.

use std::process::ExitCode;

use clap::Parser;

use crate::mutants::{self, Case, Known};
use crate::plan::{Plan, Profile};
use crate::plant::{Plant, Spot};
use crate::run::Lab;
use crate::shrink::shrink;
use crate::sweep::{Range, Swept, sweep};

/// Schedules of `--long`.
const LONG: u64 = 1_000_000;
/// From so many schedules on, what was never met fails the run.
const COVERED: u64 = 5000;

const HELP: &str = "Examples:
  cargo xtask sim                                20,000 schedules from seed 0
  cargo xtask sim --schedules 500 --first-seed 7 a range of seeds
  cargo xtask sim --seed 42                      the story of one schedule, a line per step
  cargo xtask sim --seed 42 --shrink             the shortest schedule that still violates
  cargo xtask sim --mutants                      which check finds which planted fault

A schedule is a function of its seed: the same seed is the same story on any machine.
A line of a story: simulated ms, who, the call, what came back. Orders are 8 hex digits of their id.
Exit codes: 0 nothing found; 1 a violation, a surviving mutant, or something never met in 5,000
schedules or more; 64 bad arguments.";

/// Runs production gates, writers, reconcilers and clerks through seeded schedules of faults.
#[derive(Debug, Parser)]
#[command(name = "sluicegate-sim", bin_name = "cargo xtask sim", version, after_help = HELP)]
pub struct Args {
    /// How many schedules.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    schedules: u64,
    /// The first seed of the range.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    first_seed: u64,
    /// Prints the story of one seed.
    #[arg(long, conflicts_with_all = ["schedules", "first_seed", "long", "mutants"])]
    seed: Option<u64>,
    /// With --seed: leaves out everything that the violation does not need.
    #[arg(long, requires = "seed")]
    shrink: bool,
    /// A million schedules.
    #[arg(long, conflicts_with = "schedules")]
    long: bool,
    /// Prints which check finds which planted fault.
    #[arg(long, conflicts_with_all = ["first_seed", "long"])]
    mutants: bool,
    /// With --mutants: only this one; with --seed: a story with this fault planted.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["first_seed", "schedules", "long"])]
    #[arg(value_parser = mutant)]
    mutant: Option<Case>,
    /// Only one family of faults.
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// Threads; as many as there are cores by default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Option<u64>,
}

fn profile(text: &str) -> Result<Profile, String> {
    let name = |p: &Profile| format!("{p:?}").to_lowercase();
    let all: Vec<Profile> = Profile::ALL.iter().map(|p| p.0).collect();
    let names: Vec<String> = all.iter().map(name).collect();
    let found = all.into_iter().find(|p| name(p) == text);
    found.ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn mutant(text: &str) -> Result<Case, String> {
    let found = mutants::all().into_iter().find(|c| c.name == text);
    found.ok_or_else(|| "not in the table of --mutants, or not in this build".to_owned())
}

/// Runs what was asked for.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    if args.mutants {
        return table(args);
    }
    let lab = || Lab::new(args.mutant.map_or(Plant::none(), |m| Plant::at(m.spot)));
    match args.seed {
        Some(seed) if args.shrink => shorter(&lab()?, seed, args.profile),
        Some(seed) => story(&lab()?, seed, args.profile),
        None => range(args),
    }
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u64)
}

fn range(args: &Args) -> Result<ExitCode, String> {
    let swept = sweep(Range {
        schedules: if args.long { LONG } else { args.schedules },
        first: args.first_seed,
        profile: args.profile,
        spot: Spot::None,
        threads: args.threads.unwrap_or_else(cores),
        all: true,
        bar: true,
    })?;
    let rate = swept.done as f64 / swept.seconds.max(0.001);
    println!("{} schedules in {:.1} s, {rate:.0} per second", swept.done, swept.seconds);
    println!("met:\n{}", swept.cover.table());
    for (group, name, why) in crate::coverage::IMPOSSIBLE {
        println!("  not asked for: {group} {name}: {why}");
    }
    let uncovered = uncovered(args, &swept);
    for (seed, v) in swept.bad.iter().take(20) {
        println!("seed {seed} breaks {}: {}", v.id, v.detail);
    }
    if let Some((seed, _)) = swept.bad.first() {
        println!("{} violations; its story: cargo xtask sim --seed {seed}", swept.bad.len());
    }
    let fine = swept.bad.is_empty() && !uncovered;
    println!("{}", if fine { "no violation" } else { "FAILED" });
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints what a long enough run should have met.
fn uncovered(args: &Args, swept: &Swept) -> bool {
    let missing = swept.cover.missing();
    if missing.is_empty() || swept.done < COVERED || args.profile.is_some() {
        return false;
    }
    println!("never met in {} schedules: {}", swept.done, missing.join(", "));
    true
}

fn story(lab: &Lab, seed: u64, profile: Option<Profile>) -> Result<ExitCode, String> {
    let plan = Plan::of(seed, profile);
    println!("{}", summary(&plan));
    let outcome = lab.run(plan, true)?;
    outcome.story.iter().for_each(|line| println!("{line}"));
    Ok(match outcome.violation {
        Some(v) => {
            println!("seed {seed} breaks {}: {}", v.id, v.detail);
            ExitCode::FAILURE
        }
        None => {
            println!("seed {seed}: no violation");
            ExitCode::SUCCESS
        }
    })
}

fn summary(plan: &Plan) -> String {
    let offers = plan
        .offers
        .iter()
        .map(|o| format!("{} with {:?} units, limit {}", o.name, o.units, o.limit));
    let waits = if plan.waits { ", waiting" } else { "" };
    let clerks = plan.lives.map(|l| format!(", {} clerks", l.clerks)).unwrap_or_default();
    format!(
        "seed {}: {:?}{waits}; {} gates, {} writers, {} reconcilers{clerks}, {} databases, \
         {} partitions; {}",
        plan.seed,
        plan.profile,
        plan.gates,
        plan.writers,
        plan.reconcilers,
        plan.databases,
        plan.partitions,
        offers.collect::<Vec<_>>().join("; ")
    )
}

fn shorter(lab: &Lab, seed: u64, profile: Option<Profile>) -> Result<ExitCode, String> {
    let plan = Plan::of(seed, profile);
    println!("{}", summary(&plan));
    let (clients, faults) = (plan.clients.len(), plan.faults.len());
    let Some(found) = shrink(lab, plan)? else {
        println!("seed {seed}: no violation, nothing to shrink");
        return Ok(ExitCode::SUCCESS);
    };
    found.outcome.story.iter().for_each(|line| println!("{line}"));
    let left = |all: usize, gone: usize| format!("{} of {all}", all - gone);
    println!(
        "{} schedules tried; left: {} clients, {} faults, {} faults of calls",
        found.tried,
        left(clients, found.tweaks.clients.len()),
        left(faults, found.tweaks.faults.len()),
        found.outcome.met.len(),
    );
    if let Some(v) = found.outcome.violation {
        println!("seed {seed} breaks {}: {}", v.id, v.detail);
    }
    Ok(ExitCode::FAILURE)
}

fn table(args: &Args) -> Result<ExitCode, String> {
    if !cfg!(feature = "mutants") {
        eprintln!("built without the feature `mutants`: only scripts and store are broken");
    }
    println!("| mutant | meaning | found by | after schedules |\n|---|---|---|---|");
    let (mut survivors, mut moved, mut list) = (0, 0, Vec::new());
    for case in mutants::all() {
        if args.mutant.is_some_and(|only| only.name != case.name) {
            continue;
        }
        let profile = case.known().and_then(|k| k.0);
        let found = judge(&case, profile, args)?;
        println!("{}", case.line(profile, found, mutants::SCHEDULES));
        survivors += u32::from(found == Known::Survives && case.why().is_none());
        moved += u32::from(case.known() != Some((profile, found)));
        list.push(mutants::source(case.name, profile, found));
    }
    for (names, why) in mutants::NOT_BUILT {
        println!("| {names} | | not built yet: {why} | |");
    }
    println!("{survivors} survivors without an explanation");
    if moved > 0 {
        println!("{moved} lines of crates/sim/src/mutants/known.rs are not what was found:");
        list.iter().for_each(|line| println!("{line}"));
    }
    let fine = survivors == 0 && moved == 0;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What finds a mutant first.
fn judge(case: &Case, profile: Option<Profile>, args: &Args) -> Result<Known, String> {
    let swept = sweep(Range {
        schedules: mutants::SCHEDULES,
        first: 0,
        profile,
        spot: case.spot,
        threads: args.threads.unwrap_or_else(cores),
        all: false,
        bar: false,
    })
    .map_err(|e| format!("{}: {e}", case.name))?;
    Ok(swept.bad.first().map_or(Known::Survives, |(seed, v)| Known::Found(v.id, *seed)))
}
