//! A few hundred schedules, the same story twice, and every seed that ever found something.

use sluicegate_sim::plan::{Plan, Profile};
use sluicegate_sim::plant::{Plant, Spot};
use sluicegate_sim::run::Lab;
use sluicegate_sim::shrink::shrink;
use sluicegate_sim::sweep::{Range, sweep};

fn lab() -> Lab {
    Lab::new(Plant::none()).expect("nothing is planted")
}

#[test]
fn a_few_hundred_schedules_hold() {
    let swept = sweep(Range {
        schedules: 300,
        first: 1_000_000,
        profile: None,
        spot: Spot::None,
        threads: 2,
        all: true,
        bar: false,
    });
    let swept = swept.unwrap();
    assert_eq!(swept.done, 300);
    assert!(swept.bad.is_empty(), "cargo xtask sim --seed {}: {:?}", swept.bad[0].0, swept.bad[0]);
    assert!(swept.cover.of("answer", "accepted") > 500, "{}", swept.cover.table());
}

/// Lines of a story after which two of them differ.
#[track_caller]
fn same(seed: u64, a: &[String], b: &[String]) {
    let at = a.iter().zip(b).position(|(x, y)| x != y);
    assert!(at.is_none() && a.len() == b.len(), "seed {seed} differs at line {at:?}");
}

#[test]
fn the_same_seed_is_the_same_story() {
    let (one, two) = (lab(), lab());
    for seed in 0..50 {
        let a = one.run(Plan::of(seed, None), true).unwrap();
        let b = two.run(Plan::of(seed, None), true).unwrap();
        assert!(a.story.len() > 20, "seed {seed}: {} lines", a.story.len());
        same(seed, &a.story, &b.story);
        assert_eq!(a.at, b.at);
    }
}

#[test]
fn the_same_seed_is_the_same_story_in_two_processes() {
    let story = |seed: &str| {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_sluicegate-sim"))
            .args(["--seed", seed])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    for seed in ["3", "174", "2206"] {
        let (a, b) = (story(seed), story(seed));
        let lines = |s: &str| s.lines().map(str::to_owned).collect::<Vec<_>>();
        same(seed.parse().unwrap(), &lines(&a), &lines(&b));
        assert!(a.lines().count() > 20, "{a}");
    }
}

/// Seeds that break something without the code that mended it.
const FOUND: [(u64, Option<Profile>, &str); 12] = [
    (
        2,
        Some(Profile::Log),
        "a gate counted the age of a hold from the arrival of the answer, so a late answer \
                let it publish a hold that a rebuild no longer waited for (6.1 age)",
    ),
    (
        1511,
        Some(Profile::Process),
        "a retry that met a verdict without a row was told its own price, not the first \
                 attempt's (6.1 bytes)",
    ),
    (
        262,
        Some(Profile::Forget),
        "after the cache of verdicts was lost, a returning buyer's retry \
                 took a second hold of a decided order, with the price of today (6.1 bytes)",
    ),
    (
        7,
        Some(Profile::Fork),
        "an entry covered a falsified row before a pass looked, and the view was mended after it: \
                the cell was sold on with units that nobody had added (INV-2)",
    ),
    (
        5674,
        None,
        "the pause of an operator's rebuild covered a falsified row: the cell was built from it \
                and sold on (INV-2)",
    ),
    (
        275,
        Some(Profile::Failover),
        "a gate published an order that the replicas did not have; a failover lost its hold, and \
                its frame took the unit from an accepted order (INV-13)",
    ),
    (
        1094,
        Some(Profile::Failover),
        "units left an offer on a hold that the replicas did not have; a failover lost it, and the \
                units were sold again (INV-13)",
    ),
    (
        489978,
        Some(Profile::Fork),
        "a row was falsified between a rebuild's check and its load; the cell was built from it \
                (INV-2)",
    ),
    (
        734986,
        Some(Profile::Fork),
        "an entry covered a falsified row before the pause of a rebuild, and folds began at that \
                pause (INV-2)",
    ),
    (
        960548,
        Some(Profile::Fork),
        "the same under a view that was behind, which nobody folded for (INV-2)",
    ),
    (
        502854,
        None,
        "a load came twice, the second time after a failover that had lost the first (6.9)",
    ),
    (585487, None, "the same after holds of the lost load had been published (6.9)"),
];

#[test]
fn seeds_that_found_something_hold() {
    let lab = lab();
    for (seed, profile, what) in FOUND {
        let plan = Plan::of(seed, profile);
        let had_lives = profile == Some(Profile::Lives);
        assert_eq!(plan.lives.is_some(), had_lives, "seed {seed} is another story than it was");
        let outcome = lab.run(plan, false).unwrap();
        assert_eq!(outcome.violation, None, "seed {seed} again: {what}");
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    let code = |args: &[&str]| {
        let bin = env!("CARGO_BIN_EXE_sluicegate-sim");
        std::process::Command::new(bin).args(args).output().unwrap().status.code()
    };
    assert_eq!(code(&["--help"]), Some(0));
    for wrong in [&["--seed"][..], &["--shrink"], &["--schedules", "0"], &["--profile", "x"]] {
        assert_eq!(code(wrong), Some(64), "{wrong:?}");
    }
}

#[test]
fn a_planted_fault_is_found_and_its_schedule_gets_shorter() {
    let case = sluicegate_sim::mutants::all().into_iter().find(|c| c.name == "gap_ignored");
    let spot = case.unwrap().spot;
    let lab = Lab::new(Plant::at(spot)).unwrap();
    let bad = |seed: &u64| lab.run(Plan::of(*seed, None), false).unwrap().violation.is_some();
    let seed = (0..400).find(bad).expect("found within 400 schedules");
    let plan = Plan::of(seed, None);
    let shorter = shrink(&lab, plan.clone()).unwrap().expect("it violates");
    assert!(shorter.outcome.violation.is_some());
    assert!(shorter.tweaks.clients.len() > plan.clients.len() / 2, "{:?}", shorter.tweaks);
}

#[test]
fn the_text_of_every_script_mutant_is_in_its_script() {
    for case in sluicegate_sim::mutants::all() {
        assert!(Lab::new(Plant::at(case.spot)).is_ok(), "{}", case.name);
    }
}
