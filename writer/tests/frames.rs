//! What a frame becomes: verdict, row, applied view. Redelivery, aborts, conflicts, poison.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

use std::time::Duration;

use bytes::Bytes;
use domain::frame::{self, Item, Mode, Sealed};
use domain::{Kind, Payload};
use orderlog::port::Partition;
use sluicegate_writer::{Processed, Processor, WriterSettings};
use store::{LedgerRead, LedgerWrite, Marks, ParkedRead, Shards};
use testkit::ports::{Fail, START_MS, Site, abort, full};

const HERE: Partition = Partition::Main(0);

fn writer(site: &Site) -> Processor {
    let patience = Duration::from_millis(30);
    let settings =
        WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 9 };
    Processor::new(&site.ports.writer(), &settings)
}

fn sealed(p: &Payload) -> Sealed {
    Sealed { t_ms: START_MS, payload: p.encode().into() }
}

async fn finish(w: &Processor, frames: &[Bytes]) {
    assert_eq!(w.run(HERE, frames).await, Processed::Finished);
}

async fn no_range_left(site: &Site) {
    for db in 0..site.store.databases() {
        let left = site.store.unrowed(db, u64::MAX >> 1, 100).await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn a_frame_becomes_verdict_row_and_view() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 2).await;
    let (p, frame) = site.held("ada", "k1", &cells[0]).await;
    assert_eq!(site.available(&cells[0]).await, 2);
    finish(&writer(&site), &[frame]).await;
    assert_eq!(site.row(&p).await, Some(("pending", None)));
    assert_eq!(site.head(&cells[0]).await.net, 1);
    assert_eq!(site.available(&cells[0]).await, 2);
    site.quiet(&cells).await;
    no_range_left(&site).await;
}

#[tokio::test]
async fn the_same_frame_three_times_changes_nothing() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 0).await;
    let (p, frame) = site.held("ada", "k1", &cells[0]).await;
    let w = writer(&site);
    finish(&w, &[frame.clone(), frame.clone()]).await;
    let entries = site.entries(&cells[0]).await;
    finish(&w, &[frame.clone()]).await;
    finish(&w, &[frame]).await;
    assert_eq!(site.entries(&cells[0]).await, entries);
    assert_eq!(site.count(&cells[0], &p, Kind::Claim).await, 1);
    site.quiet(&cells).await;
    no_range_left(&site).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_on_the_same_frames() {
    let site = Site::new(2, 2).await;
    let cells = site.offer("shoe", &[20, 20], 0).await;
    let mut frames = Vec::new();
    let mut orders = Vec::new();
    for n in 0..30 {
        let (p, frame) = site.held(&format!("b{n}"), "k", &cells[n % 2]).await;
        frames.push(frame);
        orders.push(p);
    }
    let (a, b) = (writer(&site), writer(&site));
    let mut back = frames.clone();
    back.reverse();
    let one = async {
        for f in frames.chunks(4) {
            finish(&a, f).await;
        }
    };
    let two = async {
        for f in back.chunks(3) {
            finish(&b, f).await;
        }
    };
    tokio::join!(one, two);
    for p in &orders {
        assert_eq!(site.row(p).await, Some(("pending", None)));
        assert_eq!(site.count(&p.lines[0].cell, p, Kind::Claim).await, 1);
    }
    site.quiet(&cells).await;
}

#[tokio::test]
async fn an_abort_rejects_what_is_open_and_is_void_on_what_is_claimed() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 0).await;
    let (open, _) = site.held("ada", "k1", &cells[0]).await;
    let (claimed, frame) = site.held("bob", "k1", &cells[0]).await;
    let w = writer(&site);
    finish(&w, &[frame]).await;
    finish(&w, &[abort(&open), abort(&claimed)]).await;
    assert_eq!(site.row(&open).await, Some(("rejected", Some("aborted".into()))));
    assert_eq!(site.row(&claimed).await, Some(("pending", None)));
    // A full frame that comes late finds the verdict.
    finish(&w, &[full(&[sealed(&open)])]).await;
    assert_eq!(site.row(&open).await.unwrap().0, "rejected");
    assert_eq!(site.head(&cells[0]).await.net, 1);
    site.quiet(&cells).await;
}

#[tokio::test]
async fn a_claim_that_redis_never_covered_is_refused_by_the_guard() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[1], 0).await;
    let (p, frame) = site.held("ada", "k1", &cells[0]).await;
    let late = site.order("bob", "k1", &[(&cells[0], 1)]);
    let w = writer(&site);
    finish(&w, &[frame, full(&[sealed(&late)])]).await;
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    assert_eq!(site.row(&late).await, Some(("rejected", Some("sold_out".into()))));
    site.quiet(&cells).await;
    no_range_left(&site).await;
}

#[tokio::test]
async fn one_key_on_two_offers_has_one_winner_and_one_release() {
    let site = Site::new(2, 2).await;
    let a = site.offer(&site.offer_on(0, "shoe"), &[3], 2).await;
    let b = site.offer(&site.offer_on(1, "boot"), &[3], 2).await;
    let (first, f1) = site.held("ada", "same", &a[0]).await;
    let (second, f2) = site.held("ada", "same", &b[0]).await;
    let w = writer(&site);
    finish(&w, &[f1.clone()]).await;
    finish(&w, &[f2.clone()]).await;
    finish(&w, &[f2.clone(), f1]).await;
    finish(&w, &[f2]).await;
    assert_eq!(site.row(&first).await.unwrap().0, "pending");
    assert_eq!(site.row(&second).await, Some(("rejected", Some("key_conflict".into()))));
    assert_eq!(site.count(&b[0], &second, Kind::Claim).await, 1);
    assert_eq!(site.count(&b[0], &second, Kind::Release).await, 1);
    assert_eq!(site.available(&b[0]).await, 3);
    assert_eq!(site.b(&b[0]).await.get("ada"), Some(&0));
    site.quiet(&[a, b].concat()).await;
}

#[tokio::test]
async fn one_key_on_two_offers_in_one_batch() {
    let site = Site::new(1, 2).await;
    let a = site.offer("shoe", &[3], 0).await;
    let b = site.offer("boot", &[3], 0).await;
    let (first, f1) = site.held("ada", "same", &a[0]).await;
    let (second, f2) = site.held("ada", "same", &b[0]).await;
    finish(&writer(&site), &[f1.clone(), f2.clone(), f2, f1]).await;
    assert_eq!(site.row(&first).await.unwrap().0, "pending");
    assert_eq!(site.row(&second).await.unwrap().1.unwrap(), "key_conflict");
    assert_eq!(site.count(&b[0], &second, Kind::Release).await, 1);
    site.quiet(&[a, b].concat()).await;
}

#[tokio::test]
async fn an_unreadable_frame_is_parked_whole_and_the_others_go_on() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 0).await;
    let (p, frame) = site.held("ada", "k1", &cells[0]).await;
    let mut torn = frame.to_vec();
    *torn.last_mut().unwrap() ^= 1;
    let junk = Bytes::from_static(b"not a frame at all");
    let w = writer(&site);
    finish(&w, &[torn.clone().into(), frame, junk.clone()]).await;
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, 2));
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    finish(&w, &[torn.into(), junk]).await;
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, 2), "parked once");
    site.quiet(&cells).await;
}

#[tokio::test]
async fn a_poison_order_is_parked_alone() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[9], 0).await;
    let (a, b) =
        (site.order("ada", "k1", &[(&cells[0], 1)]), site.order("bob", "k1", &[(&cells[0], 1)]));
    let nowhere = site.order("cid", "k1", &[(&"nowhere.0".parse().unwrap(), 1)]);
    let garbage = Sealed { t_ms: START_MS, payload: Bytes::from_static(b"\xff\xff garbage") };
    let (sa, sb) = (site.hold(&a).await, site.hold(&b).await);
    let frame = full(&[sa, garbage, sealed(&nowhere), sb]);
    let w = writer(&site);
    finish(&w, &[frame.clone()]).await;
    finish(&w, &[frame]).await;
    assert_eq!(site.row(&a).await.unwrap().0, "pending");
    assert_eq!(site.row(&b).await.unwrap().0, "pending");
    assert_eq!(site.row(&nowhere).await, None);
    assert_eq!(site.store.parked_counts().await.unwrap(), (1, 1));
    let parked = site.store.parked_among(&[a.order, nowhere.order]).await.unwrap();
    assert_eq!(parked, [nowhere.order]);
    site.quiet(&cells).await;
    no_range_left(&site).await;
}

#[tokio::test]
async fn a_permanent_error_is_bisected_down_to_the_order() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[99], 0).await;
    let mut sealed = Vec::new();
    let mut orders = Vec::new();
    for n in 0..9 {
        let p = site.order(&format!("b{n}"), "k", &[(&cells[0], 1)]);
        sealed.push(site.hold(&p).await);
        orders.push(p);
    }
    // The first three verdict calls fail for ever: 9 -> 4 -> 2 orders; then single ones work.
    site.store.rules.set(|c| match (c.name, c.n) {
        ("verdicts", 0..3) => Fail::Forever,
        _ => Fail::No,
    });
    finish(&writer(&site), &[full(&sealed)]).await;
    for p in &orders {
        assert_eq!(site.row(p).await.unwrap().0, "pending");
    }
    assert_eq!(site.store.parked_counts().await.unwrap(), (0, 0));
    site.quiet(&cells).await;
}

#[tokio::test]
async fn a_cart_is_all_claimed_or_all_given_back() {
    let site = Site::new(2, 2).await;
    let a = site.offer(&site.offer_on(0, "a-shoe"), &[5], 0).await;
    let b = site.offer(&site.offer_on(1, "b-boot"), &[5], 0).await;
    let c = site.offer(&site.offer_on(0, "c-sock"), &[5], 0).await;
    let all = [a[0].clone(), b[0].clone(), c[0].clone()];
    let lines: Vec<_> = all.iter().map(|c| (c, 1)).collect();
    let good = site.order("ada", "k1", &lines);
    let held = site.hold(&good).await;
    let w = writer(&site);
    finish(&w, &[full(&[held])]).await;
    assert_eq!(site.row(&good).await.unwrap().0, "pending");
    for cell in &all {
        assert_eq!(site.count(cell, &good, Kind::Claim).await, 1);
    }
    site.quiet(&all).await;

    // Nothing held these: the middle line has too few units, so the others end as they began.
    let mut big = site.order("bob", "k1", &lines);
    big.lines[1].qty = 9;
    finish(&w, &[full(&[sealed(&big)])]).await;
    assert_eq!(site.row(&big).await, Some(("rejected", Some("sold_out".into()))));
    for cell in &all {
        assert_eq!(site.head(cell).await.net, 1, "{cell}");
        let claims = site.count(cell, &big, Kind::Claim).await;
        assert_eq!(claims, site.count(cell, &big, Kind::Release).await, "{cell}");
    }
    assert_eq!(site.count(&c[0], &big, Kind::Claim).await, 1, "the anchor is decided first");
    site.quiet(&all).await;

    // An anchor that is refused: nothing else is claimed.
    let mut last = site.order("cid", "k1", &lines);
    last.lines[2].qty = 9;
    finish(&w, &[full(&[sealed(&last)])]).await;
    for cell in &all {
        assert_eq!(site.count(cell, &last, Kind::Reject).await, 1, "{cell}");
    }
    finish(&w, &[abort(&good), abort(&last), full(&[sealed(&big)])]).await;
    assert_eq!(site.row(&good).await.unwrap().0, "pending");
    site.quiet(&all).await;
    no_range_left(&site).await;
}

#[tokio::test]
async fn a_barrier_is_marked_after_everything_before_it() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 0).await;
    let (p, frame) = site.held("ada", "k1", &cells[0]).await;
    let barrier = frame::encode(&[Item::Barrier("b1".into())]);
    let w = writer(&site);
    // The verdict cannot be written and the retry partition takes nothing: the barrier waits.
    site.store.rules.set(|c| if c.name == "verdicts" { Fail::Before } else { Fail::No });
    site.log.rules.set(|_| Fail::Before);
    let frames = [frame, barrier];
    assert_eq!(w.run(HERE, &frames).await, Processed::Again);
    assert!(site.store.barrier_seen("b1").await.unwrap().is_empty());
    // In its own retry partition the order waits, and the barrier with it.
    site.log.rules.clear();
    assert_eq!(w.run(Partition::Retry(0), &frames).await, Processed::Again);
    assert!(site.store.barrier_seen("b1").await.unwrap().is_empty());
    site.store.rules.clear();
    finish(&writer(&site), &frames).await;
    assert_eq!(site.store.barrier_seen("b1").await.unwrap(), ["main-0"]);
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    site.quiet(&cells).await;
}

#[tokio::test]
async fn modes_of_one_order_in_one_batch_are_taken_in_order() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[3], 0).await;
    let p = site.order("ada", "k1", &[(&cells[0], 1)]);
    let q = site.order("bob", "k1", &[(&cells[0], 1)]);
    let items = [
        Item::Order(Mode::Abort, sealed(&p)),
        Item::Order(Mode::Full, sealed(&p)),
        Item::Order(Mode::Full, sealed(&q)),
        Item::Order(Mode::Abort, sealed(&q)),
    ];
    finish(&writer(&site), &[frame::encode(&items)]).await;
    assert_eq!(site.row(&p).await.unwrap().0, "rejected");
    assert_eq!(site.row(&q).await.unwrap().0, "pending");
    site.quiet(&cells).await;
}

#[tokio::test]
async fn a_late_duplicate_of_a_reserve_is_dropped_with_its_frame() {
    let site = Site::new(1, 2).await;
    let cell = site.offer("shoe", &[9], 9).await.remove(0);
    let (p, frame) = site.held("ada", "k1", &cell).await;
    let w = writer(&site);
    finish(&w, &[frame.clone()]).await;
    // The tombstone is forgotten after 10 to 20 minutes; then an old command runs once more.
    for n in 1..4 {
        site.clock.advance(700_000);
        site.store.supply(&[(cell.clone(), 1)], domain::EntryId([n; 16])).await.unwrap();
        site.ports.follow().catch_up(&cell).await;
    }
    assert!(matches!(site.reserve(&p, 0).await, cells::Reserved::New { .. }));
    assert_eq!(site.available(&cell).await, 10);
    finish(&w, &[frame]).await;
    assert_eq!(site.available(&cell).await, 11);
    assert_eq!(site.count(&cell, &p, Kind::Claim).await, 1);
    site.quiet(&[cell]).await;
}
