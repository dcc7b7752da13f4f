//! Store and log in memory: the suites that the real backends run.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::sync::Arc;
use std::time::Duration;

use domain::Identity;
use sluicegate_testkit::memory::{MemoryLog, MemoryStore, PausedClock, StoreMutant};
use sluicegate_testkit::{log, store};

const START_MS: u64 = 1_800_000_000_000;

struct Case {
    memory: MemoryStore,
    subject: store::Subject,
}

fn subject(databases: u16) -> Case {
    let identity = Identity::new(b"a secret of the tests");
    let clock = PausedClock::starting_at(START_MS);
    let memory = MemoryStore::new(databases, identity.clone(), clock);
    let process = || Arc::new(memory.clone());
    let (store, other) = (process(), process());
    let subject = store::Subject { store, other, identity, tag: "t".into() };
    Case { memory, subject }
}

#[tokio::test(start_paused = true)]
async fn one_database_conforms() {
    store::conformance(&subject(1).subject).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn three_databases_conform() {
    store::conformance(&subject(3).subject).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_threads_conform() {
    store::conformance(&subject(2).subject).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_log_conforms() {
    let log = Arc::new(MemoryLog::new(4, PausedClock::starting_at(START_MS)));
    let ms = Duration::from_millis;
    log::conformance(&log::Subject { log, quiet: ms(100), settle: ms(50) }).await.unwrap();
}

/// A rule that can be broken without anybody noticing proves nothing: the suite notices each.
#[tokio::test(start_paused = true)]
async fn the_suite_finds_every_mutant() {
    let mut missed = Vec::new();
    for mutant in StoreMutant::ALL {
        let s = subject(2);
        s.memory.set_mutant(mutant, true);
        match store::conformance(&s.subject).await {
            Ok(()) => missed.push(format!("{mutant:?}")),
            Err(e) => println!("{mutant:?}: {e:#}"),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
