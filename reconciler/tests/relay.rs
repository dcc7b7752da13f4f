//! What a dead gate, a lossy log or a dead coordinator left behind.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use std::time::Duration;

use cells::port::{Cells, ReserveCall, ReserveItem, Reserved};
use common::{X, finished_until, published, reconciler, settle, start_writer};
use domain::frame::{Mode, Sealed};
use domain::supply::Transfer;
use domain::{CellId, EntryId, HoldState, Kind, Nonce, OrderId, Payload};
use orderlog::port::Partition;
use store::port::{Ask, CellAsks};
use store::{LedgerWrite, Marks, OrdersRead, ParkedWrite, Verdicts};
use testkit::ports::{Fail, START_MS, Site, full};
use writer::{Processed, Processor};

fn processor(site: &Site) -> Processor {
    let patience = Duration::from_millis(1);
    let settings =
        writer::WriterSettings { batch_frames: 9, batch_orders: 99, patience, give_up_after: 9 };
    Processor::new(&site.ports.writer(), &settings)
}

/// A writer that died right after its verdict transaction; its frame is lost.
async fn verdict_only(site: &Site, p: &Payload) {
    let ask = Ask {
        order: p.order,
        buyer: p.buyer.clone(),
        qty: p.anchor_line().qty,
        mode: Mode::Full,
        anchor: true,
        sealed: Sealed { t_ms: START_MS, payload: p.encode().into() },
    };
    let asks = CellAsks { cell: p.anchor_line().cell.clone(), asks: vec![ask] };
    site.store.verdicts(&[asks]).await.unwrap();
}

#[tokio::test]
async fn an_abandoned_hold_is_published_with_its_bytes_behind_the_horizon() {
    let site = Site::new(2, 2).await;
    let cell = site.offer("shoe", &[9], 3).await.remove(0);
    let p = site.order("ada", "k", &[(&cell, 2)]);
    let sealed = site.hold(&p).await;
    let r = reconciler(&site);
    // However old the hold is: without progress nobody is dead.
    site.clock.advance(60_000);
    r.scheduled(0).await;
    assert!(published(&site).await.is_empty());
    finished_until(&site, START_MS + X).await;
    r.scheduled(0).await;
    assert!(published(&site).await.is_empty(), "exactly at the horizon");
    finished_until(&site, START_MS + X + 1).await;
    r.scheduled(0).await;
    assert_eq!(published(&site).await, [(Mode::Full, sealed.clone())]);
    // Not again before a writer had its chance at what was just published.
    site.clock.advance(2 * X);
    finished_until(&site, START_MS + 60_000 + X).await;
    r.scheduled(0).await;
    assert!(published(&site).await.is_empty());
    finished_until(&site, START_MS + 60_000 + X + 1).await;
    r.scheduled(0).await;
    assert_eq!(published(&site).await.len(), 1);
    // A parked order is left to people.
    site.store.park(p.order, "a test", (Mode::Full, &sealed)).await.unwrap();
    site.clock.advance(900_000);
    finished_until(&site, START_MS + 900_000).await;
    r.scheduled(0).await;
    assert!(published(&site).await.is_empty());
    site.sound(&cell).await;
}

#[tokio::test]
async fn what_was_seen_too_long_ago_is_not_published() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[9], 0).await.remove(0);
    site.held("ada", "k", &cell).await;
    let r = reconciler(&site);
    site.clock.advance(60_000);
    finished_until(&site, START_MS + 60_000).await;
    // The database needs longer than publish.max_age: a rebuild would not wait for this relay.
    let slow = Duration::from_millis(300);
    site.store.rules.set(move |c| match c.name {
        "find_verdicts" => Fail::Late(slow),
        _ => Fail::No,
    });
    r.scheduled(0).await;
    assert!(published(&site).await.is_empty());
    site.store.rules.clear();
    r.scheduled(0).await;
    assert_eq!(published(&site).await.len(), 1);
}

#[tokio::test]
async fn one_partition_that_lags_holds_the_relay_back() {
    let site = Site::new(2, 2).await;
    let cell = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await.remove(0);
    let (near, _) = site.held(&site.buyer_on(0, "ada"), "k", &cell).await;
    let (far, _) = site.held(&site.buyer_on(1, "bob"), "k", &cell).await;
    let r = reconciler(&site);
    let late = START_MS + 10 * X;
    site.clock.advance(10 * X);
    for p in ["main-0", "main-1", "retry-0"] {
        site.store.set_progress(p, late).await.unwrap();
    }
    // The buyer of `far` lives on database 1, whose retry partition is not finished.
    r.scheduled(0).await;
    let orders: Vec<OrderId> = published(&site)
        .await
        .iter()
        .map(|s| Payload::decode(&s.1.payload).unwrap().order)
        .collect();
    assert_eq!(orders, [near.order]);
    site.store.set_progress("retry-1", late).await.unwrap();
    r.scheduled(0).await;
    let again = published(&site).await;
    assert!(again.iter().any(|s| Payload::decode(&s.1.payload).unwrap().order == far.order));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_gates_holds_become_orders() {
    let site = Site::new(2, 2).await;
    let cells = site.offer("shoe", &[20, 20], 3).await;
    let mut orders = Vec::new();
    for n in 0..10 {
        orders.push(site.held(&format!("b{n}"), "k", &cells[n % 2]).await.0);
    }
    start_writer(&site);
    settle(&site, &reconciler(&site), &cells).await;
    for p in &orders {
        assert_eq!(site.row(p).await.unwrap().0, "pending");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phantom_is_dropped() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[9], 9).await.remove(0);
    let (p, frame) = site.held("ada", "k", &cell).await;
    let saved = site.cells.runner().save(&cell);
    assert_eq!(processor(&site).run(Partition::Main(0), &[frame]).await, Processed::Finished);
    // The tombstone is forgotten after 10 to 20 minutes; then an old command runs once more.
    for n in 1..4 {
        site.clock.advance(700_000);
        site.store.supply(&[(cell.clone(), 1)], EntryId([n; 16])).await.unwrap();
        site.ports.follow().catch_up(&cell).await;
    }
    assert!(matches!(site.reserve(&p, 0).await, Reserved::New { .. }));
    assert_eq!(site.holds(&cell).await.len(), 1);
    site.sound(&cell).await;
    start_writer(&site);
    let r = reconciler(&site);
    settle(&site, &r, std::slice::from_ref(&cell)).await;
    assert_eq!(site.count(&cell, &p, Kind::Claim).await, 1);
    assert_eq!(site.available(&cell).await, 11);
    // A failover revives the hold together with the old watermark: the replay drops it.
    site.cells.runner().restore(&cell, &saved);
    assert_eq!(site.holds(&cell).await.len(), 1);
    settle(&site, &r, std::slice::from_ref(&cell)).await;
    assert_eq!(site.available(&cell).await, 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_was_lost_after_the_verdict_gets_its_row() {
    let site = Site::new(2, 2).await;
    let cell = site.offer("shoe", &[1], 0).await.remove(0);
    let (p, _) = site.held("ada", "k", &cell).await;
    verdict_only(&site, &p).await;
    let q = site.order("bob", "k", &[(&cell, 1)]);
    verdict_only(&site, &q).await;
    start_writer(&site);
    settle(&site, &reconciler(&site), std::slice::from_ref(&cell)).await;
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    assert_eq!(site.row(&q).await.unwrap().0, "rejected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_carts_lines_are_given_back_in_every_cell() {
    let site = Site::new(2, 1).await;
    let a = site.offer(&site.offer_on(0, "a-shoe"), &[1], 0).await.remove(0);
    let b = site.offer(&site.offer_on(1, "b-boot"), &[5], 0).await.remove(0);
    let c = site.offer(&site.offer_on(0, "c-sock"), &[5], 0).await.remove(0);
    let mut cart = site.order("ada", "k", &[(&a, 1), (&b, 1), (&c, 1)]);
    // c is the anchor and is claimed, so is a; b refuses.
    cart.lines[1].qty = 9;
    let frame = full(&[Sealed { t_ms: START_MS, payload: cart.encode().into() }]);
    // The row is written, no release is, and the frame is lost.
    site.store.rules.set(|c| if c.name == "release" { Fail::Before } else { Fail::No });
    processor(&site).run(Partition::Main(0), &[frame]).await;
    site.store.rules.clear();
    site.take(Partition::Retry(0)).await;
    site.take(Partition::Retry(1)).await;
    assert_eq!(site.row(&cart).await.unwrap().0, "rejected");
    start_writer(&site);
    let cells = [a, b, c];
    settle(&site, &reconciler(&site), &cells).await;
    for (cell, released) in cells.iter().zip([1, 0, 1]) {
        assert_eq!(site.head(cell).await.net, 0, "{cell}");
        assert_eq!(site.count(cell, &cart, Kind::Release).await, released, "{cell}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_goes_on_beside_a_database_that_is_down() {
    let site = Site::new(2, 1).await;
    let cell = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await.remove(0);
    let stuck = site.order(&site.buyer_on(1, "ada"), "k", &[(&cell, 1)]);
    verdict_only(&site, &stuck).await;
    site.clock.advance(1);
    let free = site.order(&site.buyer_on(0, "bob"), "k", &[(&cell, 1)]);
    verdict_only(&site, &free).await;
    site.store.rules.set(|c| if c.db == 1 { Fail::Before } else { Fail::No });
    // The retry partition of the dead database stands still, the others are finished.
    for p in ["main-0", "retry-0"] {
        site.store.set_progress(p, START_MS + 60_000).await.unwrap();
    }
    site.clock.advance(60_000);
    let r = reconciler(&site);
    r.scheduled(0).await;
    let seen: Vec<OrderId> = published(&site)
        .await
        .iter()
        .map(|s| Payload::decode(&s.1.payload).unwrap().order)
        .collect();
    assert_eq!(seen, [free.order]);
    site.store.rules.clear();
    start_writer(&site);
    settle(&site, &r, &[cell]).await;
    assert_eq!(site.store.order(stuck.order).await.unwrap().unwrap().status.as_str(), "pending");
}

async fn set_aside(site: &Site, from: &CellId, to: Option<&CellId>, id: OrderId) {
    let t = Transfer { from: from.clone(), to: to.cloned(), units: 3 };
    let item = ReserveItem {
        id: id.into(),
        buyer: None,
        buyer_hash: 0,
        qty: 3,
        nonce: Nonce(1),
        state: HoldState::Transfer,
        payload: t.encode().into(),
        checked: true,
        relay: true,
    };
    let (limit, deadline_ms, opens_at_ms, closes_at_ms) = (0, 0, 0, 0);
    let items = vec![item];
    let call = ReserveCall { limit, deadline_ms, opens_at_ms, closes_at_ms, wait: None, items };
    let reply = site.cells.reserve(from, &call).await.unwrap();
    assert!(matches!(reply.results[0], Reserved::New { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_coordinators_transfer_is_finished() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9, 1], 0).await;
    let (out, across) = (OrderId([1; 16]), OrderId([2; 16]));
    set_aside(&site, &cells[0], None, out).await;
    set_aside(&site, &cells[0], Some(&cells[1]), across).await;
    start_writer(&site);
    settle(&site, &reconciler(&site), &cells).await;
    assert_eq!(site.head(&cells[0]).await.supply, 3);
    assert_eq!(site.head(&cells[1]).await.supply, 4);
    assert_eq!(site.available(&cells[0]).await + site.available(&cells[1]).await, 7);
}
