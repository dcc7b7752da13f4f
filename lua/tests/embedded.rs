//! The embedded backend against the suite and the model.
#![allow(clippy::unwrap_used, missing_docs)]

use domain::Kind;
use proptest::test_runner::{Config, TestRunner};
use sluicegate_lua::{Reserved, embedded};
use testkit::cells::HandClock;
use testkit::cells::case::{Case, item, order};
use testkit::cells::sequence::{Bench, Op, run, sequences};

#[test]
fn random_sequences_equal_the_model() {
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = HandClock::at(1_700_000_000_000);
    let cells = embedded::new(clock.clone());
    let mut runner =
        TestRunner::new(Config { cases: 4000, failure_persistence: None, ..Config::default() });
    let case = |(limited, ops): (bool, Vec<Op>)| {
        let cell: domain::CellId = "random.0".parse().unwrap();
        cells.runner().wipe_cell(&cell);
        let bench = Bench { cells: &cells, cell, clock: Some(clock.clone()) };
        rt.block_on(run(bench, limited, &ops)).map_err(proptest::test_runner::TestCaseError::fail)
    };
    runner.run(&sequences(40), case).unwrap();
}

/// A fence that was a sealed anchor keeps its buyer known, also through a mend after b has
/// forgotten everybody.
#[test]
fn a_fence_has_its_buyer_in_a_mended_cell() {
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let clock = HandClock::at(1_700_000_000_000);
    let cells = embedded::new(clock.clone());
    let reserve =
        |who, window| Op::Reserve { items: vec![(who, 0, 0, false, false)], late: false, window };
    let apply = Op::Apply { back: 1, take: 0, fork: false };
    let ops = [
        reserve((1, 2, 0), 3),
        Op::Unseal((1, 2, 0), true),
        Op::Wait(3),
        reserve((0, 0, 0), 0),
        apply.clone(),
        Op::Mend { full: true, stale: false },
        Op::Wait(3),
        apply,
    ];
    let cell = "random.0".parse().unwrap();
    let bench = Bench { cells: &cells, cell, clock: Some(clock) };
    rt.block_on(run(bench, false, &ops)).unwrap();
}

#[tokio::test]
async fn every_reply_and_its_repeat() {
    let cells = embedded::with_stripes(HandClock::at(1_700_000_000_000), 3);
    let offer = |n| format!("offer-{n}.1").parse().unwrap();
    testkit::cells::conformance::conformance(&cells, &offer).await;
}

#[tokio::test]
async fn a_verdict_is_remembered_for_ten_to_twenty_minutes() {
    let clock = HandClock::at(1_700_000_000_000);
    let cells = embedded::new(clock.clone());
    let mut case = Case::new(&cells, "sku.0".parse().unwrap(), 9, 5).await;
    let mut supply = 0;
    case.fold(Kind::Claim, order(1, 1, 1), 1).await;
    for known in [true, true, false] {
        let reply = case.one(item(order(1, 1, 1), 1)).await;
        assert_eq!(reply == Reserved::Verdict(Kind::Claim), known, "{reply:?}");
        clock.advance(600_000);
        supply += 1;
        case.fold(Kind::Supply, order(9, supply, 1), 1).await;
    }
}
