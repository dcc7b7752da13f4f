//! The model and the code are one protocol: random paths of the model, and random operations that
//! no protocol orders, run on the real scripts and the store; every reply and everything that the
//! outside shows is compared after each step.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a step that fails fails the test"
)]

mod code;

use std::sync::Arc;

use cells::Engine;
use cells::embedded::Embedded;
use code::Code;
use model::walk::{Walked, storm, walk};
use model::{Mutant, Op, Reply, Scope, World, scopes};

/// Paths per scope.
const PATHS: u64 = 120;
/// Steps of a path.
const STEPS: usize = 60;

async fn replay(
    scope: &Scope,
    cells: &Arc<Engine<Embedded>>,
    path: Vec<Walked>,
) -> Result<usize, String> {
    let mut code = Code::new(scope, cells).await;
    let mut done: Vec<(Op, Reply)> = Vec::new();
    for (ops, after) in path {
        let outside = !ops.is_empty();
        for (op, want) in ops {
            let got = code.run(op).await;
            done.push((op, got));
            if got != want {
                return Err(format!("{got:?}, want {want:?}: {done:?}"));
            }
        }
        if outside {
            code.compare(&after).await.map_err(|e| format!("{e} after {done:?}"))?;
        }
    }
    Ok(done.len())
}

#[tokio::test]
async fn paths_of_the_model_run_on_the_code() {
    let cells = Code::engine();
    for scope in scopes::all() {
        let world = World::new(scope);
        let mut ops = 0;
        for seed in 0..PATHS {
            let path = walk(&world, seed, STEPS);
            let done = replay(&world.scope, &cells, path).await;
            ops += done.unwrap_or_else(|e| panic!("{}, seed {seed}: {e}", world.scope.name));
        }
        println!("{}: {PATHS} paths, {ops} operations", world.scope.name);
    }
}

#[tokio::test]
async fn any_operations_are_answered_the_same() {
    let cells = Code::engine();
    for scope in [scopes::sale(), scopes::crossed(), scopes::one_key()] {
        let world = World::new(scope);
        let mut ops = 0;
        for seed in 0..PATHS {
            let done = replay(&world.scope, &cells, storm(&world, seed, STEPS)).await;
            ops += done.unwrap_or_else(|e| panic!("{}, seed {seed}: {e}", world.scope.name));
        }
        println!("{}: {PATHS} storms, {ops} operations", world.scope.name);
    }
}

/// A comparison that never fails proves nothing.
#[tokio::test]
async fn a_model_that_differs_is_noticed() {
    let cells = Code::engine();
    let retried = || Scope { attempts: vec![0, 0, 1], ..scopes::failover() };
    let broken = [
        (retried(), Mutant::ResolveUnchecked),
        (retried(), Mutant::NonceOverwritten),
        (scopes::crossed_retry(), Mutant::CancelWithoutNonce),
        (scopes::rebuild_twice(), Mutant::NoTicket),
    ];
    for (scope, mutant) in broken {
        let world = World::new(scope.with(mutant));
        let mut noticed = false;
        for seed in 0..20 * PATHS {
            noticed |= replay(&world.scope, &cells, walk(&world, seed, STEPS)).await.is_err();
            if noticed {
                println!("{mutant:?}: path {seed}");
                break;
            }
        }
        assert!(noticed, "{mutant:?} answers as the code does");
    }
}
