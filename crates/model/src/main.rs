//! Explores every scope to exhaustion and prints what it saw, as the table of the documentation.
//! `sluicegate-model [NAME]... [KNOB=N]...` explores the named scopes only, with other numbers of
//! `writers`, `ghosts`, `tries`, `copies`, `redeliveries`, `failovers` or `losses`. Exit code 1
//! when anything is wrong or not exhausted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool that somebody watches")]

use std::process::ExitCode;

use model::{Scope, World, explore, scopes};

/// More states than this are not explored.
const MOST: usize = 30_000_000;

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let (knobs, names): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|a| a.contains('='));
    let wanted = |n: &str| names.is_empty() || names.iter().any(|w| w == n);
    println!("| scope | states | steps | longest shortest path | recoveries | seconds | result |");
    println!("|---|---|---|---|---|---|---|");
    let mut sound = true;
    for mut scope in scopes::all().into_iter().filter(|s| wanted(s.name)) {
        knobs.iter().for_each(|k| turn(&mut scope, k));
        let (name, begun) = (scope.name, std::time::Instant::now());
        let r = explore(&World::new(scope), MOST);
        let result = match &r.found {
            Some(f) => format!("{}: {}", f.violation.id, f.violation.detail),
            None if r.complete => "all hold".to_owned(),
            None => "not exhausted".to_owned(),
        };
        sound &= r.found.is_none() && r.complete;
        let took = begun.elapsed().as_secs_f64();
        let (states, steps, depth) = (r.states, r.steps, r.depth);
        println!(
            "| {name} | {states} | {steps} | {depth} | {} | {took:.1} | {result} |",
            r.recoveries
        );
        for action in r.found.iter().flat_map(|f| &f.path) {
            println!("    {action:?}");
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn turn(scope: &mut Scope, knob: &str) {
    let Some((name, Ok(n))) = knob.split_once('=').map(|(k, n)| (k, n.parse::<u8>())) else {
        return;
    };
    match name {
        "writers" => scope.writers = usize::from(n.min(2)),
        "ghosts" => scope.ghosts = n,
        "tries" => scope.tries = n,
        "copies" => scope.copies = n.clamp(1, 2),
        "redeliveries" => scope.redeliveries = n,
        "failovers" => scope.failovers = n,
        "losses" => scope.losses = n,
        _ => {}
    }
}
