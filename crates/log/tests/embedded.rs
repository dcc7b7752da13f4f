//! The embedded log: the conformance suite, reopening, and a kill -9 of its process.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use runtime::clock::system_clock;
use runtime::{Phase, Tasks};
use sluicegate_log::embedded::Keep;
use sluicegate_log::{EmbeddedLog, LogError, OrderLog, Partition};
use testkit::log::{Subject, conformance, frame};
use testkit::ports::HandClock;

async fn open(dir: &Path, tasks: &Tasks) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(dir, 4, tasks, system_clock()).await.unwrap()
}

fn subject(log: Arc<EmbeddedLog>) -> Subject {
    Subject { log, quiet: Duration::from_millis(100), settle: Duration::from_millis(50) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance(&subject(open(dir.path(), &Tasks::new()).await)).await.unwrap();
}

#[tokio::test]
async fn a_reopened_folder_has_what_was_not_acked() {
    let dir = tempfile::tempdir().unwrap();
    let p = Partition::Main(2);
    let first = subject(open(dir.path(), &Tasks::new()).await);
    first.log.init(2).await.unwrap();
    first.publish(p, 0..40).await.unwrap();
    let mut c = first.log.consumer(p).await.unwrap();
    for d in first.take(&mut c, 25).await.unwrap() {
        c.ack(&d.id).await.unwrap();
    }
    drop((c, first));
    let second = subject(open(dir.path(), &Tasks::new()).await);
    second.log.ready().await.unwrap();
    assert_eq!(second.empty(p).await.unwrap(), (25..40).collect::<Vec<_>>());
    assert_eq!(second.log.backlog().await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_log_commits_its_queue_and_refuses_more() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let s = subject(open(dir.path(), &tasks).await);
    s.log.init(1).await.unwrap();
    s.publish(Partition::Main(0), 0..3).await.unwrap();
    tasks.enter(Phase::ClosePools);
    assert!(tasks.wait(Duration::from_secs(5)).await, "committer and reader end");
    let late = s.log.publish(Partition::Main(0), frame(9)).await;
    assert!(matches!(late, Err(LogError::NotStored(..))), "{late:?}");
    let ended = s.log.consumer(Partition::Main(0)).await.unwrap().next().await;
    assert!(matches!(ended, Err(LogError::Ended(..))), "{ended:?}");
    drop(s);
    let again = subject(open(dir.path(), &Tasks::new()).await);
    assert_eq!(again.empty(Partition::Main(0)).await.unwrap(), vec![0, 1, 2]);
}

#[tokio::test]
async fn a_folder_has_one_owner_and_one_number_of_partitions() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), &Tasks::new()).await;
    let second = EmbeddedLog::open(dir.path(), 4, &Tasks::new(), system_clock()).await;
    let text = second.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("in use by another process"), "{text}");
    drop(first);
    let other = EmbeddedLog::open(dir.path(), 8, &Tasks::new(), system_clock()).await;
    let text = other.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("made with 4 partitions"), "{text}");
}

const CHILD: &str = "SLUICEGATE_LOG_CHILD";

/// Not a test of its own: the process that the next test kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_publishes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let log = open(Path::new(&dir), &Tasks::new()).await;
    log.init(1).await.unwrap();
    let mut publishers = tokio::task::JoinSet::new();
    for task in 0..4u64 {
        let log = Arc::clone(&log);
        publishers.spawn(async move {
            for n in task * 1_000_000.. {
                log.publish(Partition::Main(task as u16), frame(n)).await.unwrap();
                println!("receipt {n}");
            }
        });
    }
    publishers.join_next().await;
}

#[tokio::test]
async fn every_receipt_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_publishes_until_it_is_killed", "--exact", "--nocapture"])
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let receipt = |line: String| line.split("receipt ").nth(1).and_then(|n| n.parse::<u64>().ok());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut receipts: HashSet<u64> = HashSet::new();
    for line in lines {
        receipts.extend(line.ok().and_then(receipt));
        if receipts.len() == 400 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(receipts.len() >= 400, "{} receipts", receipts.len());
    let s = subject(open(dir.path(), &Tasks::new()).await);
    let mut found = HashSet::new();
    for p in 0..4 {
        let numbers = s.empty(Partition::Main(p)).await.unwrap();
        assert!(numbers.is_sorted(), "{numbers:?}");
        found.extend(numbers);
    }
    let lost: Vec<_> = receipts.difference(&found).collect();
    assert!(lost.is_empty(), "frames with a receipt are gone: {lost:?}");
}

/// Prints the latency of a publish; run with `--ignored --nocapture`, in release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let log = open(dir.path(), &Tasks::new()).await;
    log.init(1).await.unwrap();
    let log: Arc<dyn OrderLog> = log;
    for in_flight in [1, 4, 16, 64] {
        println!("{}", testkit::log::latency(&log, in_flight).await.unwrap());
    }
}

/// A clock that is far ahead makes what was acked old; a small bound makes it too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acked_frames_are_kept_for_a_time_and_a_size() {
    for (hours, gib_used, kept) in [(1, 0, 0), (100, 0, 600), (100, 1, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let clock = HandClock::at(1_700_000_000_000);
        let keep = Keep { bytes: if gib_used == 0 { u64::MAX } else { 1 }, ..Keep::of(hours, 0) };
        let tasks = Tasks::new();
        let log = EmbeddedLog::open_keeping(dir.path(), 4, keep, &tasks, clock.clone());
        let log = log.await.unwrap();
        log.init(1).await.unwrap();
        let s = subject(log.clone());
        let p = Partition::Main(1);
        s.publish(p, 0..600).await.unwrap();
        assert_eq!(s.empty(p).await.unwrap().len(), 600);
        clock.advance(2 * 3_600_000);
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            // Only a commit makes the committer look.
            s.publish(p, [1000]).await.unwrap();
            let mut reader = log.reader(p, 0).await.unwrap();
            let first = testkit::log::number(&reader.next().await.unwrap()).unwrap();
            if kept == 600 || first == 1000 {
                assert_eq!(first, if kept == 600 { 0 } else { 1000 });
                break;
            }
            assert!(tokio::time::Instant::now() < until, "frame {first} is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What nobody acked is never let go.
        assert!(s.empty(p).await.unwrap().iter().all(|n| *n == 1000));
    }
}
