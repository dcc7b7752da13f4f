//! A rule that can be left out without anybody noticing proves nothing: each is found, by the
//! invariant that it protects.
#![allow(clippy::print_stdout, reason = "a test tells what it saw")]

use model::{World, explore, scopes};

/// More states than this are not explored.
const MOST: usize = 12_000_000;

#[test]
fn every_broken_rule_is_found() {
    let mut wrong = Vec::new();
    for (scope, want) in scopes::mutants() {
        let name = format!("{:?} in {}", scope.mutant, scope.name);
        let report = explore(&World::new(scope), MOST);
        match report.found {
            Some(f) => {
                let (id, text) = (f.violation.id, &f.violation.detail);
                println!("{name}: {id} after {} steps, {} states", f.path.len(), report.states);
                println!("  {text}; {:?}", f.path);
                if id != want {
                    wrong.push(format!("{name}: {id}, want {want}"));
                }
            }
            None => wrong.push(format!("{name}: not found in {} states", report.states)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
