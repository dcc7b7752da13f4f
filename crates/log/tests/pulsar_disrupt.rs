//! The broker is killed under publishers and a consumer: what has a receipt must come, and both
//! must work again by themselves. Needs `cargo xtask stack up`, alone.
#![cfg(feature = "pulsar")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use runtime::unique::{RandomUnique, Unique};
use runtime::{Tasks, clock::system_clock};
use sluicegate_log::{OrderLog, Partition, PulsarLog};
use testkit::log::{DATABASES, frame, number};
use testkit::stack;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

const P: Partition = Partition::Main(0);

/// Publishes one after the other until told to stop; the numbers with a receipt.
async fn publisher(log: Arc<PulsarLog>, stop: watch::Receiver<bool>) -> Vec<u64> {
    let mut receipts = Vec::new();
    for n in 0.. {
        if *stop.borrow() {
            break;
        }
        let start = Instant::now();
        if log.publish(P, frame(n)).await.is_ok() {
            receipts.push(n);
        }
        assert!(start.elapsed() < Duration::from_secs(4), "publish hung {:?}", start.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
    receipts
}

/// Reads like a writer does: a consumer that ended is made again.
async fn reader(log: Arc<PulsarLog>, stop: watch::Receiver<bool>) -> HashSet<u64> {
    let mut got = HashSet::new();
    while !*stop.borrow() {
        let Ok(mut consumer) = log.consumer(P).await else {
            sleep(Duration::from_millis(300)).await;
            continue;
        };
        while !*stop.borrow() {
            match timeout(Duration::from_millis(200), consumer.next()).await {
                Ok(Ok(d)) => {
                    got.insert(number(&d).unwrap());
                    let _ = consumer.ack(&d.id).await;
                }
                Ok(Err(_)) => break,
                Err(_) => {}
            }
        }
    }
    got
}

async fn disturb(what: impl FnOnce(&mut stack::Disruption) + Send + 'static) {
    let mut disruption = stack::disrupt().unwrap();
    let mut cfg = stack::config().unwrap().log;
    cfg.topic_prefix = format!("t{:x}", RandomUnique::new().next());
    let (timeout, tasks) = (Duration::from_millis(2500), Tasks::new());
    let log = PulsarLog::connect(&cfg, DATABASES, timeout, &tasks, system_clock()).await.unwrap();
    log.init(DATABASES).await.unwrap();
    let (stop_publisher, stop) = watch::channel(false);
    let (stop_reader, stop_r) = watch::channel(false);
    let publishing = publisher(Arc::clone(&log), stop);
    let reading = reader(Arc::clone(&log), stop_r);
    let script = async {
        sleep(Duration::from_secs(1)).await;
        let disruption = tokio::task::spawn_blocking(move || {
            what(&mut disruption);
            disruption
        });
        let _disruption = disruption.await.unwrap();
        recovers(&log).await;
        sleep(Duration::from_secs(5)).await;
        stop_publisher.send_replace(true);
        sleep(Duration::from_secs(10)).await;
        stop_reader.send_replace(true);
    };
    let (receipts, got, ()) = tokio::join!(publishing, reading, script);
    let lost: Vec<_> = receipts.iter().filter(|n| !got.contains(n)).collect();
    assert!(receipts.len() > 100, "{} receipts", receipts.len());
    assert!(lost.is_empty(), "{} of {} receipts lost: {lost:?}", lost.len(), receipts.len());
    assert_eq!(log.backlog().await.unwrap(), 1, "the one frame on main-1");
}

async fn recovers(log: &PulsarLog) {
    let healed = Instant::now();
    while let Err(e) = log.publish(Partition::Main(1), frame(0)).await {
        assert!(healed.elapsed() < Duration::from_secs(20), "publishing does not recover: {e}");
        sleep(Duration::from_millis(100)).await;
    }
    println!("published {:?} after the broker was back", healed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker() {
    disturb(|d| {
        d.kill("pulsar").unwrap();
        std::thread::sleep(Duration::from_secs(2));
        d.heal("pulsar").unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs() {
    disturb(|d| {
        d.pause("pulsar").unwrap();
        std::thread::sleep(Duration::from_secs(8));
        d.heal("pulsar").unwrap();
    })
    .await;
}

/// A broker that takes long to subscribe finishes it after the client has given up. What nobody
/// reads any more must not stay the partition's active consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_came_too_late_does_not_keep_its_partition() {
    let mut disruption = stack::disrupt().unwrap();
    let mut cfg = stack::config().unwrap().log;
    cfg.topic_prefix = format!("t{:x}", RandomUnique::new().next());
    let (limit, tasks) = (Duration::from_millis(2500), Tasks::new());
    let connect = || PulsarLog::connect(&cfg, DATABASES, limit, &tasks, system_clock());
    let (hurried, log) = (connect().await.unwrap(), connect().await.unwrap());
    log.init(DATABASES).await.unwrap();
    // A producer that is not used again: it keeps the connection open that it was made on.
    hurried.publish(Partition::Main(1), frame(0)).await.unwrap();
    // Many at once, so that some have asked when the broker stands still.
    let (stop, stopped) = watch::channel(false);
    let hasty = Tasks::new();
    for _ in 0..16 {
        let (log, stopped) = (Arc::clone(&hurried), stopped.clone());
        hasty.spawn("hasty", async move {
            while !*stopped.borrow() {
                let _ = log.consumer(P).await;
            }
        });
    }
    sleep(Duration::from_millis(500)).await;
    disruption.pause("pulsar").unwrap();
    stop.send_replace(true);
    assert!(hasty.wait(Duration::from_secs(20)).await, "a subscription hangs");
    disruption.heal("pulsar").unwrap();
    recovers(&log).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while log.publish(P, frame(7)).await.is_err() {
        assert!(Instant::now() < deadline, "publishing does not recover");
    }
    loop {
        assert!(Instant::now() < deadline, "a consumer of the past keeps the partition");
        let Ok(mut consumer) = log.consumer(P).await else { continue };
        if let Ok(Ok(d)) = timeout(Duration::from_secs(5), consumer.next()).await {
            assert_eq!(number(&d).unwrap(), 7);
            return;
        }
    }
}
