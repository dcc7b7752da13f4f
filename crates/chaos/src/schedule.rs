//! One schedule: a crowd, its faults, the end of all faults, the verdict.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::check::{self, Checked};
use crate::deployment::Deployment;
use crate::faults::{Done, Faults};
use crate::plan::{Fault, Kind, Plan};
use crate::table::Outcome;

/// What a schedule left behind, for its story.
pub(crate) struct Ran {
    pub outcome: Outcome,
    pub offer: String,
    pub history: String,
    pub wrong: Vec<check::Wrong>,
}

enum Step {
    Begin(Fault),
    End(usize),
}

/// Runs it; files go to `dir`.
pub(crate) fn run(d: &mut Deployment, faults: &Faults, plan: &Plan, dir: &Path) -> Result<Ran> {
    std::fs::create_dir_all(dir)?;
    d.revive_all()?;
    if plan.faults.iter().any(|f| f.kind == Kind::RedisOld) {
        testkit::stack::stack("keep", "redis")?;
    }
    if plan.faults.iter().any(|f| f.kind == Kind::SlowReader) {
        d.invite()?;
    }
    let offer = if plan.lives { String::new() } else { d.offer(plan.units, plan.limit)? };
    let began = Instant::now();
    let repaired = dir.join("repaired");
    let arguments = match plan.lives {
        true => paying(d, plan),
        false => buying(plan, &offer, &repaired, &dir.join("history.jsonl")),
    };
    let crowd = d.crowd(&arguments, dir)?;
    let trouble = trouble(d, faults, plan, began);
    // Also after an error: the crowd waits for it.
    std::fs::write(&repaired, "")?;
    let out = crowd.wait_with_output()?;
    trouble?;
    let mut violations = Vec::new();
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        let last: Vec<&str> = text.lines().rev().take(5).collect();
        violations.push(format!("the load test says no: {}", last.join(" / ")));
    }
    let summary = read_json(&dir.join("summary.json")).unwrap_or(Value::Null);
    let told = summary["violations"].as_array().cloned().unwrap_or_default();
    violations.extend(told.iter().filter_map(|v| v.as_str().map(str::to_owned)));
    let history = std::fs::read_to_string(dir.join("history.jsonl")).unwrap_or_default();
    // What a crowd that pays is told is in both books of its money, which it has compared.
    let checked = if plan.lives { paid(&summary) } else { check::check(&history, plan) };
    violations.extend(checked.violations.iter().map(ToString::to_string));
    violations.extend(d.strangers_bought()?);
    violations.extend(still_drifting(d)?);
    violations.extend(d.panics());
    let seconds = began.elapsed().as_secs_f64();
    let outcome = outcome(plan, &summary, &checked, (seconds, violations));
    Ok(Ran { outcome, offer, history, wrong: checked.violations })
}

/// Until a rewind, units of lost claims are sold again; only after it an order's fate is its last.
fn buying(plan: &Plan, offer: &str, repaired: &Path, history: &Path) -> Vec<String> {
    let rewinds = plan.faults.iter().any(|f| f.kind == Kind::LostCommits);
    let waits = rewinds.then(|| ("--settle-after", repaired.display().to_string()));
    [
        ("--offer", offer.to_owned()),
        ("--requests", plan.requests.to_string()),
        ("--rate", plan.rate.to_string()),
        ("--buyers", plan.buyers.to_string()),
        ("--duplicates", plan.duplicates.to_string()),
        ("--seed", plan.seed.to_string()),
        ("--timeout", "3s".to_owned()),
        ("--give-up", "25s".to_owned()),
    ]
    .into_iter()
    .chain(waits)
    .flat_map(|(name, value)| [name.to_owned(), value])
    .chain(["--verify".to_owned(), "--history".to_owned(), history.display().to_string()])
    .collect()
}

fn paying(d: &Deployment, plan: &Plan) -> Vec<String> {
    let flags = [
        ("--scenario", "life".to_owned()),
        ("--requests", plan.orders().to_string()),
        ("--connections", "24".to_owned()),
        ("--seed", plan.seed.to_string()),
        ("--timeout", "3s".to_owned()),
        ("--give-up", "90s".to_owned()),
    ];
    let flags = flags.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    flags.chain(d.provider_flags()).collect()
}

/// Orders of a crowd that pays, by what its verdict says.
fn paid(summary: &Value) -> Checked {
    let orders: u64 = counted(summary).map(|(_, n)| n).sum();
    Checked { accepted: orders as usize, ..Checked::default() }
}

fn of_status(summary: &Value, status: &str) -> u64 {
    counted(summary).filter(|(of, _)| *of == status).map(|(_, n)| n).sum()
}

/// Status and number of orders, once for each role that orders have.
fn counted(summary: &Value) -> impl Iterator<Item = (&str, u64)> {
    let roles = summary["orders"].as_object().into_iter().flat_map(|roles| roles.values());
    let counts = roles.filter_map(Value::as_object).flatten();
    counts.filter_map(|(status, n)| Some((status.as_str(), n.as_u64()?)))
}

/// Begins and ends the faults at their times; at the end everything works again.
fn trouble(d: &mut Deployment, faults: &Faults, plan: &Plan, began: Instant) -> Result<()> {
    let mut steps: Vec<(Duration, Step)> = Vec::new();
    for (n, fault) in plan.faults.iter().enumerate() {
        steps.push((fault.at, Step::Begin(fault.clone())));
        steps.push((fault.at + fault.lasts, Step::End(n)));
    }
    steps.sort_by_key(|s| s.0);
    let mut under_way: Vec<Option<Done>> = plan.faults.iter().map(|_| None).collect();
    let mut result = Ok(());
    for (at, step) in steps {
        // A fault that began late, since another one took long to begin, lasts as long as planned.
        let late = match &step {
            Step::End(n) => under_way[*n].as_ref().map(|done| done.began + done.fault.lasts),
            Step::Begin(_) => None,
        };
        let until = late.map_or(began + at, |late| late.max(began + at));
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        let done = match step {
            Step::Begin(fault) => faults.begin(d, &fault).map(|done| {
                let at = began.elapsed().as_secs_f64();
                eprintln!("  {at:5.1} s  {} ({})", fault.kind.name(), done.target());
                let n = plan.faults.iter().position(|f| *f == fault).unwrap_or(0);
                under_way[n] = Some(done);
            }),
            Step::End(n) => match under_way[n].take() {
                Some(done) => {
                    let at = began.elapsed().as_secs_f64();
                    eprintln!("  {at:5.1} s  {} ends", done.fault.kind.name());
                    faults.end(d, done)
                }
                None => Ok(()),
            },
        };
        // A fault that could not be made is told at the end; the others are undone all the same.
        result = result.and(done);
    }
    result.and(d.free_all()).and(d.revive_all()).and_then(|()| d.rewind())
}

fn read_json(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(serde_json::from_str(&text)?)
}

/// Drift that the scheduled reconcilers do not repair by themselves within a while.
fn still_drifting(d: &Deployment) -> Result<Option<String>> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let (fine, report) = d.drift()?;
        if fine {
            return Ok(None);
        }
        if Instant::now() > until {
            return Ok(Some(format!("drift stays: {report}")));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn outcome(
    plan: &Plan,
    summary: &Value,
    checked: &Checked,
    (seconds, violations): (f64, Vec<String>),
) -> Outcome {
    Outcome {
        seed: plan.seed,
        faults: plan.faults.iter().map(|f| f.kind.name()).collect(),
        requests: u64::from(plan.requests),
        accepted: checked.accepted as u64,
        sold: summary["table"]["rows_live"].as_u64().unwrap_or_else(|| of_status(summary, "paid")),
        unconfirmed: checked.unconfirmed as u64,
        accepted_rejected: checked.accepted_rejected as u64,
        without_sales_s: checked.without_sales_s,
        seconds,
        violations,
    }
}
