//! `sluicegate loadtest`: an open-loop crowd that buys over HTTP, and a verdict on what it got.
//!
//! `plan` fixes the arrivals, `crowd` sends them, `track` remembers every promise, `settle` waits
//! until nothing is on its way, `verify` reads what is stored, `verdict` compares. The verdict is
//! pure and built on `domain::invariant`, so that "conserved" means here what it means in the
//! tests and in the live metrics. Deliberately absent: any dependency on the other services; the
//! crowd knows only the HTTP contract.

mod admin;
mod answer;
mod args;
mod crowd;
mod deployment;
mod evidence;
mod history;
mod judge;
mod life;
mod live;
mod plan;
mod progress;
pub mod provider;
mod report;
mod settle;
mod setup;
mod stats;
mod stores;
mod summary;
mod svg;
mod terminal;
mod track;
mod verdict;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use runtime::Tasks;
use tokio::time::Instant;

pub use args::{LoadScenario, LoadtestArgs, VerifySource};
pub use deployment::Deployment;

pub use setup::Misuse;

use crowd::{Crowd, CrowdBounds};
use history::{History, HistoryEvent};
use report::Origin;
use summary::Summary;
use terminal::{interrupts, writable, write_json};

/// Runs a load test; true when everything was conserved.
///
/// What is known of the deployment must include its secrets (identity, tokens). An error means
/// that the run could not be made or checked, not that a check failed; a [`Misuse`] among its
/// causes, that it was asked for wrongly.
pub async fn run(to: &Deployment, args: LoadtestArgs) -> anyhow::Result<bool> {
    match args.scenario {
        LoadScenario::Buy => buy(to, args).await,
        LoadScenario::Life => life::run(to, &args).await,
    }
}

async fn buy(to: &Deployment, args: LoadtestArgs) -> anyhow::Result<bool> {
    for path in [&args.report, &args.json, &args.history].into_iter().flatten() {
        writable(path)?;
    }
    let ground = setup::prepare(to, &args).await?;
    let started_ms = ground.to.clock.now_ms();
    let crowd = Arc::new(gather(ground, &args)?);
    let background = Tasks::new();
    interrupts(&background, crowd.stop.clone());
    let (seconds, settled) = tokio::select! {
        done = send_and_settle(&crowd, &args) => done,
        // Never ends: it only samples what the report draws.
        never = progress::sample(crowd.clone()) => match never {},
    };
    crowd.history.flush();
    let (facts, checked) = verify::gather(to, &crowd, &settled, args.verify).await?;
    let tracks: Vec<_> = crowd.tracks.iter().map(|t| t.lock().clone()).collect();
    let verdict = judge::judge(&tracks, &crowd.ground.to.names, &facts);
    let summary = Summary {
        run: crowd.ground.to.names.run.clone(),
        offer: crowd.ground.offer.clone(),
        gate: crowd.ground.to.gate.to_string(),
        started_ms,
        seconds,
        requests: args.requests,
        interrupted: crowd.stop.is_cancelled(),
        quiet: settled.quiet,
        checked,
        counts: crowd.stats.counts(),
        verdict,
    };
    runtime::say!("{}", summary.text().trim_end());
    write_files(to, &args, &summary)?;
    Ok(summary.verdict.is_conserved())
}

fn write_files(to: &Deployment, args: &LoadtestArgs, summary: &Summary) -> anyhow::Result<()> {
    if let Some(path) = &args.json {
        write_json(path, &summary.json())?;
    }
    if let Some(path) = &args.report {
        let command: Vec<String> = std::env::args().collect();
        let origin = Origin { command: &command, config: &to.shown, quantity: args.quantity };
        let page = report::page(summary, &origin);
        std::fs::write(path, page).with_context(|| format!("--report {}", path.display()))?;
    }
    Ok(())
}

fn gather(ground: setup::Ground, args: &LoadtestArgs) -> anyhow::Result<Crowd> {
    let history = History::open(args.history.as_deref())?;
    let jobs = plan::arrivals(args.requests, args.rate, args.duplicates, ground.to.seed);
    history.write(&HistoryEvent::Start {
        run: &ground.to.names.run,
        offer: &ground.offer,
        unix_ms: ground.to.clock.now_ms(),
        quantity: args.quantity,
        requests: args.requests,
        duplicates: jobs.iter().filter(|j| j.copy == 1).count() as u32,
        seed: ground.to.seed,
    });
    let bounds = CrowdBounds {
        quantity: args.quantity,
        connections: args.connections,
        timeout: args.timeout,
        retries: args.retries,
        give_up: args.give_up,
    };
    Ok(Crowd::new(ground, bounds, jobs, history))
}

async fn send_and_settle(crowd: &Arc<Crowd>, args: &LoadtestArgs) -> (f64, settle::Settled) {
    let say = |text: String| {
        if !args.quiet {
            runtime::note!("{text}");
        }
    };
    say(format!(
        "{} requests at {}/s to {}, offer {} ({} units available), seed {}",
        args.requests,
        args.rate,
        crowd.ground.to.gate,
        crowd.ground.offer,
        crowd.ground.before.available,
        crowd.ground.to.seed,
    ));
    let quiet = args.quiet;
    let show = async {
        if quiet { std::future::pending().await } else { progress::show(crowd.clone()).await }
    };
    let seconds = tokio::select! {
        () = show => 0.0,
        () = crowd::run(crowd) => crowd.start.elapsed().as_secs_f64(),
    };
    if !quiet {
        progress::end_line();
    }
    if let Some(file) = &args.settle_after {
        say(format!("waiting for {}", file.display()));
        settle::exists(file, crowd).await;
    }
    say("settling: waiting until every frame is written and applied".to_owned());
    let until = Instant::now() + args.settle;
    let settled = settle::quiet(crowd, until).await;
    if !settled.quiet {
        say(format!("not quiet after {:?}: {}", args.settle, settled.why));
    }
    say("asking what became of every order".to_owned());
    let until = until.max(Instant::now() + Duration::from_secs(10));
    settle::fates(crowd, settled.quiet, until).await;
    (seconds, settled)
}
