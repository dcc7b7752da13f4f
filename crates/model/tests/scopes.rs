//! The scopes that take seconds, to exhaustion; `cargo run --release -p sluicegate-model` does all.
#![allow(clippy::print_stdout, reason = "a test tells what it saw")]

use model::{World, explore, scopes};

/// More states than this are not explored.
const MOST: usize = 4_000_000;

#[test]
fn small_scopes_hold() {
    let small = [scopes::sale(), scopes::rebuild(), scopes::cart_retry()];
    for scope in small {
        let name = scope.name;
        let report = explore(&World::new(scope), MOST);
        assert!(report.found.is_none(), "{name}: {:?}", report.found);
        assert!(report.complete && report.states > 100_000, "{name}: {} states", report.states);
        println!("{name}: {} states, {} recoveries", report.states, report.recoveries);
    }
}
