//! A writer that alone does not reach what it needs gives its partition to one that does.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

use std::time::Duration;

use sluicegate_writer::{WriterSettings, spawn};
use store::{Marks, ParkedRead};
use testkit::ports::{Fail, FaultyStore, Site, until};

fn settings() -> WriterSettings {
    let patience = Duration::from_millis(1);
    WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 2 }
}

/// The first writer is alone for a while, so that it has the partitions; then a healthy one comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_partition_goes_to_the_writer_that_reaches_its_database() {
    let site = Site::new(2, 1).await;
    let cells = site.offer(&site.offer_on(1, "shoe"), &[9], 0).await;
    let cut = FaultyStore::new(site.store.clone());
    let mut ports = site.ports.clone();
    ports.store = cut.clone();
    let ready = spawn(&site.tasks, &ports.writer(), &settings());
    until("it has taken everything", || async { ready.get() }).await;
    // From here on it does not reach database 1.
    cut.rules.set(|c| if c.db == 1 { Fail::Before } else { Fail::No });
    let order = site.buy(&site.buyer_on(1, "ada"), "k", &cells[0]).await;
    until("it says so", || async { !ready.get() }).await;
    let healthy = spawn(&site.tasks, &site.ports.writer(), &settings());
    until("the order is decided", || async { site.row(&order).await.is_some() }).await;
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, 0));
    until("the other one is well", || async { healthy.get() }).await;
    site.quiet(&cells).await;
}

/// Progress is in database 0: who cannot store it would hold up relay, sweeper and barriers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_main_partition_goes_to_the_writer_that_reaches_database_0() {
    let site = Site::new(2, 1).await;
    let cells = site.offer(&site.offer_on(1, "shoe"), &[9], 0).await;
    let cut = FaultyStore::new(site.store.clone());
    let mut ports = site.ports.clone();
    ports.store = cut.clone();
    let ready = spawn(&site.tasks, &ports.writer(), &settings());
    until("it has taken everything", || async { ready.get() }).await;
    cut.rules.set(|c| if c.db == 0 { Fail::Before } else { Fail::No });
    spawn(&site.tasks, &site.ports.writer(), &settings());
    let barrier = domain::frame::encode(&[domain::frame::Item::Barrier("b".into())]);
    site.publish(&cells[0], barrier).await;
    until("the barrier is passed", || async {
        site.store.barrier_seen("b").await.unwrap() == ["main-0"]
    })
    .await;
}
