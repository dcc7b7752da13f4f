//! Frames of a newer program between good ones: they wait, they are not parked, and what a newer
//! writer would need is still there.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

use std::time::Duration;

use bytes::Bytes;
use domain::CellId;
use domain::frame::{self, Item};
use orderlog::port::{OrderLog, Partition};
use sluicegate_writer::{Processed, Processor, WriterSettings, spawn};
use store::ParkedRead;
use testkit::ports::{Site, until};

fn settings() -> WriterSettings {
    let patience = Duration::from_millis(1);
    WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 9 }
}

fn crc32c(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, b| (0..8).fold(crc ^ u32::from(*b), bit))
}

/// A frame with this version and body.
fn made(version: u8, body: &[u8]) -> Bytes {
    let mut out = b"SGF".to_vec();
    out.push(version);
    out.extend_from_slice(&crc32c(body).to_be_bytes());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out.into()
}

fn newer() -> [Bytes; 3] {
    [
        made(frame::VERSION + 1, b"whatever the next version has in here"),
        made(u8::MAX, b""),
        // One entry of kind 8.
        made(frame::VERSION, &[0x0a, 2, 0x08, 8]),
    ]
}

#[tokio::test]
async fn a_batch_ends_before_what_a_newer_program_wrote() {
    assert_eq!(made(frame::VERSION, &[0x0a, 2, 0x08, 4]), frame::encode(&[Item::Tick(0)]));
    for newer in newer() {
        let site = Site::new(1, 1).await;
        let cells = site.offer("shoe", &[9], 0).await;
        let (a, first) = site.held("ada", "k", &cells[0]).await;
        let (b, last) = site.held("bob", "k", &cells[0]).await;
        let frames = [first, newer.clone(), last];
        let writer = Processor::new(&site.ports.writer(), &settings());
        let done = writer.run(Partition::Main(0), &frames).await;
        assert_eq!(done, Processed::Newer(1));
        assert!(site.row(&a).await.is_some() && site.row(&b).await.is_none());
        assert_eq!(site.store.parked_counts().await.unwrap(), (0, 0));
    }
}

/// Garbage with a newer version's number must not stop a partition.
#[tokio::test]
async fn what_no_version_can_read_is_parked() {
    let site = Site::new(1, 1).await;
    let whole = made(frame::VERSION + 1, b"a body that is whole");
    let mut false_sum = whole.to_vec();
    false_sum[14] ^= 1;
    let frames = [
        whole.slice(..20),
        false_sum.into(),
        Bytes::from_static(b"SGF"),
        made(0, &[0x0a, 2, 0x08, 4]),
        made(frame::VERSION, &[0x0a, 2, 0x08, 0]),
        made(frame::VERSION, b"no protobuf at all"),
    ];
    let writer = Processor::new(&site.ports.writer(), &settings());
    assert_eq!(writer.run(Partition::Main(0), &frames).await, Processed::Finished);
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, frames.len() as u64));
}

async fn backlog(site: &Site) -> u64 {
    site.log.backlog().await.unwrap()
}

async fn partition_waits(site: &Site, cells: &[CellId], newer: Bytes) {
    let home = site.home(&cells[0]);
    let first = site.buy("ada", "k", &cells[0]).await;
    site.publish(&cells[0], newer.clone()).await;
    let behind = site.buy("bob", "k", &cells[0]).await;
    let old = runtime::Tasks::new();
    let ready = spawn(&old, &site.ports.writer(), &settings());
    until("what stands before it", || async { site.row(&first).await.is_some() }).await;
    until("not ready, the rest waits", || async { !ready.get() && backlog(site).await == 2 }).await;
    // It comes back to the partition again and again, and finds the same.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!ready.get() && site.row(&behind).await.is_none());
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, 0));
    old.enter(runtime::Phase::FlushLog);
    assert!(old.wait(Duration::from_secs(10)).await);
    // A newer writer finds everything that it needs, in its order.
    let left = site.take(home).await;
    assert_eq!((left.len(), &left[0]), (2, &newer));
    site.publish(&cells[0], left[1].clone()).await;
    let ready = spawn(&site.tasks, &site.ports.writer(), &settings());
    until("the order behind it", || async { site.row(&behind).await.is_some() }).await;
    until("ready", || async { ready.get() && backlog(site).await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_waits_for_a_newer_writer() {
    for newer in newer() {
        let site = Site::new(1, 1).await;
        let cells = site.offer("shoe", &[9], 0).await;
        partition_waits(&site, &cells, newer).await;
        site.quiet(&cells).await;
    }
}
