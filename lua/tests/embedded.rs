//! The embedded backend against the suite and the model.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::test_runner::{Config, TestRunner};
use sluicegate_lua::embedded;
use testkit::cells::HandClock;
use testkit::cells::sequence::{Bench, Op, run, sequences};

#[test]
fn random_sequences_equal_the_model() {
    let rt = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let clock = HandClock::at(1_700_000_000_000);
    let cells = embedded::new(clock.clone());
    let mut runner = TestRunner::new(Config {
        cases: 4000,
        failure_persistence: None,
        ..Config::default()
    });
    let case = |(limited, ops): (bool, Vec<Op>)| {
        let cell: domain::CellId = "random.0".parse().unwrap();
        cells.runner().wipe_cell(&cell);
        let bench = Bench {
            cells: &cells,
            cell,
            clock: Some(clock.clone()),
        };
        rt.block_on(run(bench, limited, &ops))
            .map_err(proptest::test_runner::TestCaseError::fail)
    };
    runner.run(&sequences(40), case).unwrap();
}

#[tokio::test]
async fn every_reply_and_its_repeat() {
    let cells = embedded::with_stripes(HandClock::at(1_700_000_000_000), 3);
    let offer = |n| format!("offer-{n}.1").parse().unwrap();
    testkit::cells::conformance::conformance(&cells, &offer).await;
}
