//! `cargo xtask chaos`: seeded schedules of real faults against real processes on the real stack,
//! while a crowd buys. A schedule is broken when one invariant of docs/protocol.md is.
//!
//! Needs the stack; keeps every other test off it while it runs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]
#![allow(clippy::disallowed_methods, reason = "real processes live in real time")]

mod bought;
mod check;
mod deployment;
mod faults;
mod filter;
mod lost;
mod occupied;
mod plan;
mod proxy;
mod sample;
mod schedule;
mod soak;
mod story;
mod strangers;
mod svg;
mod table;
mod vanish;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use domain::Identity;
use orderlog::port::OrderLog;
use runtime::Tasks;
use store::{SqlStore, StoreConfig};
use testkit::stack;

use deployment::Deployment;
use faults::Faults;
use plan::{Kind, Plan};
use schedule::Ran;
use table::Outcome;

const AFTER: &str = "\
Each schedule: two gates, writers, reconcilers and clerks run as processes on the stack; a crowd
buys for 14 s over a proxy, with duplicates, retries under the same key and polls; one to three
faults begin and end; then everything works again, the crowd waits for the end of every order, and
the checker compares its whole history with ledger, rows and Redis. Where a clerk or the payment
provider is hurt the crowd also pays, wrongly or late, cancels and wants money back, and the verdict
is the load test's over units and money (`loadtest --scenario life`).

Examples:
  cargo xtask chaos --schedules 5                    five seeds from 1 on
  cargo xtask chaos --seed 17                        one of them again, same crowd and same faults
  cargo xtask chaos --schedules 20 --faults redis-empty,pulsar-kill
  cargo xtask chaos --schedules 200 --results target/chaos/results.jsonl

mariadb-full and pulsar-full need a stack whose servers have small disks; others go without them:
  cargo xtask stack up --port-base 23000 --small-disks
  cargo xtask chaos --port-base 23000 --faults mariadb-full,pulsar-full
asymmetric-redis and asymmetric-pulsar need root and nftables.

Exit code: 0 nothing violated, 1 something was (its story is printed), 64 wrong flags, 69 the stack
is not there.";

/// Hurts a running deployment and proves that nothing was oversold, lost or doubled.
#[derive(Parser)]
#[command(name = "chaos", bin_name = "cargo xtask chaos", after_long_help = AFTER)]
struct Args {
    /// How many schedules.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    schedules: u64,
    /// The seed of the first one; the others follow it.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Only this seed.
    #[arg(long, conflicts_with_all = ["schedules", "first_seed"])]
    seed: Option<u64>,
    /// Only faults of these kinds.
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Instead of schedules: constant load for so many minutes, a fault each minute, and nothing
    /// may grow but what was sold (`cargo xtask soak`).
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["schedules", "first_seed", "seed"])]
    soak: Option<u64>,
    /// Where the plot of `--soak` goes.
    #[arg(long, value_name = "FILE", default_value = "target/chaos/soak.html")]
    page: PathBuf,
    /// The product, built with the feature `pulsar`.
    #[arg(long, default_value = "target/debug/sluicegate")]
    binary: PathBuf,
    /// Appends one JSON line per schedule.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Runs nothing: prints the table of a file that `--results` wrote.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Keeps histories, summaries and logs here; a temporary folder when left out.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 64 } else { 0 });
        }
    };
    match all(&args) {
        Ok(fine) => ExitCode::from(u8::from(!fine)),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::from(69)
        }
    }
}

/// True when nothing was violated.
fn all(args: &Args) -> Result<bool> {
    if let Some(file) = &args.table {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let outcomes = text.lines().map(serde_json::from_str).collect::<Result<Vec<_>, _>>()?;
        return Ok(judge(&outcomes));
    }
    let kinds = kinds(&args.faults)?;
    let temporary = tempfile::tempdir()?;
    let dir = args.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(dir)?;
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tasks = Tasks::new();
    eprintln!("starting two gates, two writers, two reconcilers, two clerks");
    let mut deployment = threads.block_on(Deployment::start(&tasks, &args.binary, dir))?;
    let log = threads.block_on(connect(&deployment, &tasks))?;
    let faults = Faults { log, threads: threads.handle().clone() };
    let Some(minutes) = args.soak else {
        return schedules(args, &kinds, (&mut deployment, &faults), dir);
    };
    if let Some(folder) = args.page.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let endured = soak::run(&mut deployment, &faults, minutes, (dir, &args.page))?;
    endured.wrong.iter().for_each(|w| println!("! {w}"));
    let word = if endured.wrong.is_empty() { "flat" } else { "NOT FLAT" };
    println!("{word} over {minutes} minutes; plot: {}", args.page.display());
    Ok(endured.wrong.is_empty())
}

/// The kinds that were asked for, or all that this stack can have.
fn kinds(asked: &[Kind]) -> Result<Vec<Kind>> {
    let fits = |k: &Kind| {
        let clock = *k != Kind::ClockStep || deployment::has_faketime();
        let packets = !k.is_filtered() || filter::can_filter();
        clock && packets && k.fills().iter().all(|s| stack::disk_of(s).is_some())
    };
    let all = if asked.is_empty() { Kind::value_variants() } else { asked };
    let (kinds, left): (Vec<Kind>, Vec<Kind>) = all.iter().partition(|k| fits(k));
    if left.is_empty() {
        return Ok(kinds);
    }
    let left = left.into_iter().map(Kind::name).collect::<Vec<_>>().join(", ");
    let base = stack::port_base().map(|words| words.join(" ") + " ").unwrap_or_default();
    let how = format!(
        "{left}: full disks need servers with small disks of their own, which `cargo xtask stack \
         up {base}--small-disks --fresh` gives them (as root; their data is lost); clock-step \
         needs Debian's package faketime; asymmetric-redis and asymmetric-pulsar need root and \
         Debian's package nftables"
    );
    ensure!(asked.is_empty(), "{how}");
    eprintln!("left out: {how}");
    Ok(kinds)
}

fn schedules(
    args: &Args,
    kinds: &[Kind],
    (d, faults): (&mut Deployment, &Faults),
    dir: &Path,
) -> Result<bool> {
    let seeds: Vec<u64> = match args.seed {
        Some(seed) => vec![seed],
        None => (args.first_seed..).take(args.schedules as usize).collect(),
    };
    let began = Instant::now();
    let mut outcomes = Vec::new();
    for (n, seed) in seeds.iter().enumerate() {
        let plan = Plan::of(*seed, kinds);
        eprintln!("[{}/{}] seed {seed}: {}", n + 1, seeds.len(), plan.line());
        let ran = schedule::run(d, faults, &plan, &dir.join(format!("seed-{seed}")))?;
        report(&ran, began.elapsed());
        if !ran.outcome.violations.is_empty() {
            faults.threads.block_on(stories(d, &ran))?;
        }
        if let Some(file) = &args.results {
            append(file, &ran.outcome)?;
        }
        outcomes.push(ran.outcome);
    }
    Ok(judge(&outcomes))
}

fn judge(outcomes: &[Outcome]) -> bool {
    print!("{}", table::table(outcomes));
    outcomes.iter().all(|o| o.violations.is_empty())
}

fn report(ran: &Ran, elapsed: Duration) {
    let o = &ran.outcome;
    let word = if o.violations.is_empty() { "conserved" } else { "VIOLATED" };
    eprintln!(
        "  {word} after {:.0} s: {} accepted, {} live, {} unconfirmed, {} accepted and rejected, \
         {:.1} s without sales (all: {:.0} s)",
        o.seconds,
        o.accepted,
        o.sold,
        o.unconfirmed,
        o.accepted_rejected,
        o.without_sales_s,
        elapsed.as_secs_f64()
    );
    o.violations.iter().take(20).for_each(|v| eprintln!("  ! {v}"));
}

/// The whole story of the first orders that are wrong.
async fn stories(d: &Deployment, ran: &Ran) -> Result<()> {
    let config = d.config()?;
    let clock = runtime::clock::system_clock();
    let settings = StoreConfig::of(&config.store, Duration::from_secs(10));
    let identity = Identity::new(config.identity_secret.as_bytes());
    let store = SqlStore::new(&settings, identity, clock)?;
    let cells = cells::redisrs::connect(&config.cells).await?;
    for wrong in ran.wrong.iter().filter(|w| !w.key.is_empty()).take(3) {
        let lines = check::lines_of(&ran.history, &wrong.key);
        let order = lines.iter().find_map(|l| {
            let line: serde_json::Value = serde_json::from_str(l).ok()?;
            line["order_id"].as_str().map(str::to_owned)
        });
        let names = (ran.offer.as_str(), order.as_deref().unwrap_or("an order without a name"));
        eprint!("{}", story::tell(&store, &cells, names, &lines).await);
    }
    Ok(())
}

fn append(file: &Path, outcome: &Outcome) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut out = std::fs::File::options().create(true).append(true).open(file)?;
    writeln!(out, "{}", serde_json::to_string(outcome)?).with_context(|| file.display().to_string())
}

#[cfg(feature = "pulsar")]
async fn connect(d: &Deployment, tasks: &Tasks) -> Result<Arc<dyn OrderLog>> {
    let config = d.config()?;
    let databases = config.store.databases.len() as u16;
    let clock = runtime::clock::system_clock();
    let timeout = Duration::from_secs(3);
    let log = orderlog::PulsarLog::connect(&config.log, databases, timeout, tasks, clock).await?;
    Ok(log)
}

#[cfg(not(feature = "pulsar"))]
async fn connect(_: &Deployment, _: &Tasks) -> Result<Arc<dyn OrderLog>> {
    anyhow::bail!("chaos needs Pulsar: build with --features pulsar")
}
