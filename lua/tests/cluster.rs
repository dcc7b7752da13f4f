//! fred and redis-rs on a real cluster, against the suite and the model.
//!
//! Needs `cargo xtask stack up`. Each run uses its own offers and leaves others alone.
#![cfg(feature = "cluster")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod nodes;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sluicegate_lua::{Cells, fred, redisrs};
use testkit::cells::conformance::conformance;
use testkit::cells::sequence::{Bench, run, sequences};
use testkit::cells::stack;

async fn random_sequences(cells: &dyn Cells, cases: usize) {
    let mut runner = TestRunner::default();
    let name = stack::fresh_name();
    for case in 0..cases {
        let tree = sequences(30).new_tree(&mut runner).unwrap();
        let (limited, ops) = tree.current();
        let cell = format!("{name}-{case}.0").parse().unwrap();
        let bench = Bench { cells, cell, clock: None };
        if let Err(text) = run(bench, limited, &ops).await {
            panic!("limited {limited}, {ops:?}:\n{text}");
        }
    }
}

async fn suite(cells: &dyn Cells) {
    let name = stack::fresh_name();
    conformance(cells, &move |n| format!("{name}-{n}.0").parse().unwrap()).await;
    random_sequences(cells, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fred_passes_the_suite() {
    let _quiet = stack::share();
    suite(&fred::connect(&stack::cells(), &fred::Tuning::default()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_rs_passes_the_suite() {
    let _quiet = stack::share();
    suite(&redisrs::connect(&stack::cells()).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connections_that_wait_pass_the_suite() {
    let _quiet = stack::share();
    suite(&nodes::waits().await).await;
}
