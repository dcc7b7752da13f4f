//! `cargo xtask bench`: ratios against references measured in the same run.
//!
//! The machine is shared and noisy, so no number stands alone: each row names its reference (bare
//! hyper parsing the same JSON, one EVALSHA and one message per order, LOAD DATA), measured just
//! before or after in the same process on the same cores, with the load generator on them too.
//! Needs the real stack. This is a table to read, not a test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]

mod config;
mod drain;
mod growth;
mod lives;
mod load;
mod naive;
mod orders;
mod reference;
mod report;
mod stand;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use load::{Buyers, Plan, Subject};
use report::{Report, Row};
use stand::{LogKind, Stand};

use config::Config;

/// The product's allocator, for the references too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Buyers who go on pressing when all is sold; in the other rows each order has a new buyer.
const PRESSING: usize = 20_000;

/// Buyers for each second of a measurement: more than all rows together use up.
const NEW_BUYERS: usize = 280_000;

/// Prints a table of ratios and writes it as JSON.
#[derive(Parser)]
struct Args {
    /// Configuration of the running stack.
    #[arg(long, default_value = "target/stack/sluicegate.toml")]
    stack: PathBuf,
    /// Where the JSON goes.
    #[arg(long, default_value = "target/bench/report.json")]
    out: PathBuf,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 1024)]
    connections: usize,
    /// Orders of the drain row.
    #[arg(long, default_value_t = 100_000)]
    orders: usize,
    /// A cell of 10^7 orders in the growth rows, too: some 15 minutes and 6 GB of disk.
    #[arg(long)]
    full: bool,
    /// Seconds of the row `sustained`.
    #[arg(long, default_value_t = 30)]
    sustained: u64,
    /// Skip the references of the HTTP rows: for a profiler, the ratios then mean nothing.
    #[arg(long)]
    no_reference: bool,
    /// Only these rows, by name; all when left out.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = threads.block_on(run(&args))?;
    report.print();
    report.write(&args.out)?;
    println!("written to {}", args.out.display());
    threads.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

async fn run(args: &Args) -> Result<Report> {
    let config = Config::of(&args.stack)?;
    let wanted = |name: &str| args.rows.is_empty() || args.rows.iter().any(|r| r == name);
    let plan = Plan {
        connections: args.connections,
        time: Duration::from_secs(args.seconds),
        reference: !args.no_reference,
    };
    let mut report = Report::default();
    let http = ["sold_out", "reserve_hot", "accepted_stack", "accepted_vs_naive", "many_offers"];
    if http.iter().any(|n| wanted(n)) {
        http_rows(&config, &plan, &wanted, &mut report).await?;
    }
    if wanted("sustained") {
        report.add(sustained(&config, &plan, args.sustained).await?);
    }
    if wanted("drain") {
        report.add(drain::row(&config, args.orders).await?);
    }
    if args.rows.is_empty() || args.rows.iter().any(|row| lives::has(row)) {
        lives::rows(&config, &wanted, &mut report).await?;
    }
    if args.rows.is_empty() || args.rows.iter().any(|row| growth::has(row)) {
        growth::rows(&config, args.full, &mut report).await?;
    }
    Ok(report)
}

async fn http_rows(
    config: &Config,
    plan: &Plan,
    wanted: &impl Fn(&str) -> bool,
    report: &mut Report,
) -> Result<()> {
    let seconds = plan.time.as_secs().max(1) as usize;
    let buyers = Buyers::mint(config, NEW_BUYERS * seconds)?;
    // Uses up no buyer: one who comes twice is another, longer way through the gate.
    let bare = subject((reference::start().await?, 202), vec!["bare".to_owned()], &buyers.again());
    let nothing = async || Ok(());
    if wanted("sold_out") {
        let stand = Stand::start(config, LogKind::Null).await?;
        let offer = stand.offer(0).await?;
        let gate = subject((stand.address, 409), vec![offer], &buyers.only(PRESSING));
        let both = load::in_turns(plan, &gate, &bare, nothing).await?;
        report.add(Row::of("sold_out", "refusals/s", both, 1.0));
        stand.stop().await;
    }
    if wanted("reserve_hot") {
        let stand = Stand::start(config, LogKind::Null).await?;
        let offer = stand.offer(1_000_000_000).await?;
        let gate = subject((stand.address, 202), vec![offer], &buyers);
        let both = load::in_turns(plan, &gate, &bare, nothing).await?;
        report.add(Row::of("reserve_hot", "orders/s", both, 0.5));
        stand.stop().await;
    }
    if ["accepted_stack", "accepted_vs_naive", "many_offers"].iter().any(|n| wanted(n)) {
        accepted_rows(config, plan, (&buyers, &bare), report).await?;
    }
    Ok(())
}

/// Purchases as fast as they are answered, counted when all of them have their rows.
async fn sustained(config: &Config, plan: &Plan, seconds: u64) -> Result<Row> {
    let buyers = Buyers::mint(config, NEW_BUYERS * plan.time.as_secs().max(1) as usize)?;
    let bare = subject((reference::start().await?, 202), vec!["bare".to_owned()], &buyers.again());
    let stand = Stand::start(config, LogKind::Real).await?;
    let hot = subject((stand.address, 202), vec![stand.offer(1_000_000_000).await?], &buyers);
    let drained = async || stand.drained().await;
    load::warm_up(plan, &hot).await?;
    drained().await?;
    let long = Plan { time: Duration::from_secs(seconds), ..*plan };
    let stored = load::sustained(&long, &hot, drained).await?;
    let reference = load::run(&bare, plan).await?.rate;
    stand.stop().await;
    Ok(Row::new("sustained", "orders/s", (stored, reference), 0.3))
}

fn subject(at: (std::net::SocketAddr, u16), offers: Vec<String>, buyers: &Buyers) -> Subject {
    let (address, expect) = at;
    Subject { address, offers: Arc::new(offers), buyers: buyers.clone(), expect }
}

async fn accepted_rows(
    config: &Config,
    plan: &Plan,
    (buyers, bare): (&Buyers, &Subject),
    report: &mut Report,
) -> Result<()> {
    let stand = Stand::start(config, LogKind::Real).await?;
    let hot = stand.offer(1_000_000_000).await?;
    let hot = subject((stand.address, 202), vec![hot], buyers);
    let drained = async || stand.drained().await;
    load::warm_up(plan, &hot).await?;
    drained().await?;
    let both = load::in_turns(plan, &hot, bare, drained).await?;
    report.add(Row::of("accepted_stack", "orders/s", both, 0.25));
    let (naive, cold) = (naive::start(&stand, config).await?, stand.offer(1_000_000_000).await?);
    let naive = subject((naive, 202), vec![cold], buyers);
    let both = load::in_turns(plan, &hot, &naive, drained).await?;
    report.add(Row::of("accepted_vs_naive", "orders/s", both, 3.0));
    let mut many = Vec::new();
    for _ in 0..1000 {
        many.push(stand.quick_offer(1_000_000).await?);
    }
    stand.refresh().await?;
    let many = subject((stand.address, 202), many, buyers);
    let both = load::in_turns(plan, &many, &hot, drained).await?;
    report.add(Row::of("many_offers", "orders/s, 1,000 offers vs 1", both, 0.51));
    stand.stop().await;
    Ok(())
}
