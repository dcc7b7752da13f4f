//! Every mutant at the seed that is recorded for it: the check that is named finds it, in one
//! schedule. Those in production code are there with the feature `mutants` (`cargo xtask ci` runs
//! this file with it).

use sluicegate_sim::mutants::{self, Case, Known, REGENERATE};
use sluicegate_sim::plan::Plan;
use sluicegate_sim::plant::Plant;
use sluicegate_sim::run::Lab;

/// What is wrong with what is recorded of a mutant.
fn wrong(case: &Case) -> Option<String> {
    let (profile, known) = case.known()?;
    let Known::Found(check, seed) = known else { return None };
    let lab = Lab::new(Plant::at(case.spot)).expect("its text is in its script");
    let found = lab.run(Plan::of(seed, profile), false).expect("it runs").violation;
    match found {
        Some(v) if v.id == check => None,
        Some(v) => {
            Some(format!("{} at seed {seed}: {check}, now {}: {}", case.name, v.id, v.detail))
        }
        None => Some(format!("{} at seed {seed}: {check}, now nothing", case.name)),
    }
}

#[test]
fn every_mutant_is_found_by_the_check_that_is_recorded() {
    let all = mutants::all();
    assert!(all.len() > 20);
    let wrong: Vec<String> = all.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}\n{REGENERATE}", wrong.join("\n"));
}

#[test]
fn every_mutant_is_recorded_and_every_survivor_is_explained() {
    for case in mutants::every() {
        let Some((_, known)) = case.known() else { panic!("{}: {REGENERATE}", case.name) };
        assert_eq!(known == Known::Survives, case.why().is_some(), "{}", case.name);
    }
}

#[test]
fn the_table_of_the_documents_is_what_is_recorded() {
    let docs = include_str!("../../../docs/simulation.md");
    for case in mutants::every() {
        let (profile, known) = case.known().expect("recorded");
        let line = case.line(profile, known, mutants::SCHEDULES);
        assert!(docs.contains(&line), "docs/simulation.md lacks:\n{line}\n{REGENERATE}");
    }
}
