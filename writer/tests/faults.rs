//! Crashes between any two steps, databases that fail, retry partitions, progress.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

use std::time::Duration;

use bytes::Bytes;
use domain::frame::{self, Item, Sealed};
use domain::{Kind, Payload};
use orderlog::port::{OrderLog, Partition};
use sluicegate_writer::{Processed, Processor, WriterSettings, spawn};
use store::{LedgerRead, Marks};
use testkit::ports::{Fail, START_MS, Site, abort, full, until};

const HERE: Partition = Partition::Main(0);

fn settings() -> WriterSettings {
    let patience = Duration::from_millis(1);
    WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 1000 }
}

fn writer(site: &Site) -> Processor {
    Processor::new(&site.ports.writer(), &settings())
}

fn sealed(p: &Payload) -> Sealed {
    Sealed { t_ms: START_MS, payload: p.encode().into() }
}

async fn orders_in(site: &Site, p: Partition) -> usize {
    let frames = site.take(p).await;
    frames.iter().map(|f| frame::decode(f).unwrap().len()).sum()
}

/// Everything that a batch can hold: a good order, a key conflict, an abort, a cart that is
/// refused by its last line.
struct Mixed {
    frames: Vec<Bytes>,
    orders: Vec<Payload>,
    cells: Vec<domain::CellId>,
}

async fn mixed(site: &Site) -> Mixed {
    let a = site.offer(&site.offer_on(0, "a-shoe"), &[9], 0).await.remove(0);
    let b = site.offer(&site.offer_on(1, "b-boot"), &[9], 0).await.remove(0);
    let (good, f1) = site.held("ada", "k1", &a).await;
    let (twin, f2) = site.held("ada", "k1", &b).await;
    let aborted = site.order("bob", "k1", &[(&b, 1)]);
    let mut cart = site.order("cid", "k1", &[(&a, 1), (&b, 1)]);
    cart.lines[0].qty = 50;
    let frames = vec![f1, f2, abort(&aborted), full(&[sealed(&cart)])];
    Mixed { frames, orders: vec![good, twin, aborted, cart], cells: vec![a, b] }
}

async fn right(site: &Site, m: &Mixed, n: u64) {
    let want = ["pending", "key_conflict", "aborted", "sold_out"];
    for (p, want) in m.orders.iter().zip(want) {
        let (status, reason) = site.row(p).await.unwrap();
        assert_eq!(reason.as_deref().unwrap_or(status), want, "call {n}");
    }
    assert_eq!(site.head(&m.cells[0]).await.net, 1, "call {n}");
    assert_eq!(site.head(&m.cells[1]).await.net, 0, "call {n}");
    assert_eq!(site.count(&m.cells[1], &m.orders[1], Kind::Release).await, 1, "call {n}");
    // What a crash cut off from the view is the reconciler's: any apply brings it forward.
    let follow = site.ports.follow();
    for cell in &m.cells {
        follow.catch_up(cell).await;
    }
    site.quiet(&m.cells).await;
}

async fn dies_at_every_call(how: Fail) {
    let calls = {
        let site = Site::new(2, 1).await;
        let m = mixed(&site).await;
        site.store.rules.set(|_| Fail::No);
        assert_eq!(writer(&site).run(HERE, &m.frames).await, Processed::Finished);
        let calls = site.store.rules.calls();
        right(&site, &m, 0).await;
        calls
    };
    assert!(calls >= 8, "{calls} calls: verdicts, rows, releases, ranges");
    for n in 0..calls {
        let site = Site::new(2, 1).await;
        let m = mixed(&site).await;
        // From call n on nothing answers any more, in neither database, nor does the log.
        let dead = move |at: u64| match at {
            at if at < n => Fail::No,
            at if at == n => how,
            _ => Fail::Before,
        };
        site.store.rules.set(move |c| dead(c.n));
        site.log.rules.set(|_| Fail::Before);
        let _ = writer(&site).run(HERE, &m.frames).await;
        site.store.rules.clear();
        site.log.rules.clear();
        for cell in &m.cells {
            site.sound(cell).await;
        }
        assert_eq!(writer(&site).run(HERE, &m.frames).await, Processed::Finished);
        right(&site, &m, n).await;
    }
}

#[tokio::test]
async fn a_writer_that_dies_before_any_call_is_finished_by_another() {
    dies_at_every_call(Fail::Before).await;
}

#[tokio::test]
async fn a_writer_that_dies_with_an_unknown_commit_is_finished_by_another() {
    dies_at_every_call(Fail::After).await;
}

#[tokio::test]
async fn a_database_that_is_down_stops_only_its_own_orders() {
    let site = Site::new(2, 1).await;
    let a = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await;
    let b = site.offer(&site.offer_on(1, "boot"), &[9], 0).await;
    let (p, f1) = site.held(&site.buyer_on(0, "ada"), "k", &a[0]).await;
    let (q, f2) = site.held(&site.buyer_on(0, "bob"), "k", &b[0]).await;
    let (r, f3) = site.held(&site.buyer_on(1, "cid"), "k", &a[0]).await;
    site.store.rules.set(|c| if c.db == 1 { Fail::Before } else { Fail::No });
    assert_eq!(writer(&site).run(HERE, &[f1, f2, f3]).await, Processed::Finished);
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    site.store.rules.clear();
    assert_eq!((site.row(&q).await, site.row(&r).await), (None, None));
    // Both wait in the retry partition of database 1; their verdicts and rows follow from there.
    let frames = site.take(Partition::Retry(1)).await;
    assert_eq!(writer(&site).run(Partition::Retry(1), &frames).await, Processed::Finished);
    for order in [&q, &r] {
        assert_eq!(site.row(order).await.unwrap().0, "pending");
    }
    assert_eq!(orders_in(&site, Partition::Retry(0)).await, 0);
    site.quiet(&[a, b].concat()).await;
}

#[tokio::test]
async fn orders_move_only_to_a_higher_retry_partition() {
    let site = Site::new(2, 1).await;
    let a = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await;
    let b = site.offer(&site.offer_on(1, "boot"), &[9], 0).await;
    let (_, low) = site.held("ada", "k", &a[0]).await;
    let (_, high) = site.held("bob", "k", &b[0]).await;
    let w = writer(&site);
    site.store.rules.set(|c| if c.name == "verdicts" { Fail::Before } else { Fail::No });
    // Down the ladder: it waits where it is.
    assert_eq!(w.run(Partition::Retry(1), &[low.clone()]).await, Processed::Again);
    assert_eq!(w.run(Partition::Retry(1), &[high.clone()]).await, Processed::Again);
    assert_eq!(w.run(Partition::Retry(0), &[low.clone()]).await, Processed::Again);
    assert_eq!(orders_in(&site, Partition::Retry(0)).await, 0);
    assert_eq!(orders_in(&site, Partition::Retry(1)).await, 0);
    // Up the ladder: it moves, and its frame may be acked.
    assert_eq!(w.run(Partition::Retry(0), &[high.clone()]).await, Processed::Finished);
    assert_eq!(orders_in(&site, Partition::Retry(1)).await, 1);
    // While a neighbour has to wait here, nothing is published again and again.
    for _ in 0..5 {
        let got = w.run(Partition::Retry(0), &[low.clone(), high.clone()]).await;
        assert_eq!(got, Processed::Again);
    }
    assert_eq!(orders_in(&site, Partition::Retry(1)).await, 0, "the batch waits as a whole");
}

#[tokio::test]
async fn a_frame_is_not_acked_while_the_retry_partition_takes_nothing() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 0).await;
    let (p, frame) = site.held("ada", "k", &cells[0]).await;
    site.store.rules.set(|c| if c.name == "rows" { Fail::Before } else { Fail::No });
    site.log.rules.set(|c| if c.name == "retry" { Fail::Before } else { Fail::No });
    assert_eq!(writer(&site).run(HERE, &[frame.clone()]).await, Processed::Again);
    site.log.rules.clear();
    assert_eq!(writer(&site).run(HERE, &[frame]).await, Processed::Finished);
    site.store.rules.clear();
    let left = site.store.unrowed(0, u64::MAX >> 1, 9).await.unwrap();
    assert_eq!(left.len(), 1, "the sweeper knows of the verdict without a row");
    let frames = site.take(Partition::Retry(0)).await;
    assert_eq!(frames.len(), 1);
    assert_eq!(writer(&site).run(Partition::Retry(0), &frames).await, Processed::Finished);
    assert_eq!(site.row(&p).await.unwrap().0, "pending");
    site.quiet(&cells).await;
}

#[tokio::test]
async fn parking_that_has_to_wait_does_not_fill_the_retry_partition() {
    let site = Site::new(2, 1).await;
    let b = site.offer(&site.offer_on(1, "boot"), &[9], 0).await;
    let (_, down) = site.held("ada", "k", &b[0]).await;
    let junk = Bytes::from_static(b"not a frame");
    site.store.rules.set(|c| match c.name {
        "verdicts" | "park_frame" => Fail::Before,
        _ => Fail::No,
    });
    let w = writer(&site);
    for _ in 0..4 {
        assert_eq!(w.run(HERE, &[down.clone(), junk.clone()]).await, Processed::Again);
    }
    assert_eq!(orders_in(&site, Partition::Retry(1)).await, 0);
}

/// The whole writer over its consumers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_finish_what_is_published_and_ack_it() {
    let site = Site::new(2, 2).await;
    let cells = site.offer("shoe", &[60, 60], 0).await;
    let mut orders = Vec::new();
    for n in 0..20 {
        orders.push(site.buy(&format!("b{n}"), "k", &cells[n % 2]).await);
    }
    // Every third call fails, half of them after their work was done.
    site.store.rules.set(|c| match (c.name, c.n % 6) {
        ("offer", _) => Fail::No,
        (_, 2) => Fail::Before,
        (_, 5) => Fail::After,
        _ => Fail::No,
    });
    spawn(&site.tasks, &site.ports.writer(), &settings());
    for n in 20..40 {
        orders.push(site.buy(&format!("b{n}"), "k", &cells[n % 2]).await);
    }
    until("all frames are acked", || async { site.log.backlog().await.unwrap() == 0 }).await;
    site.store.rules.clear();
    for p in &orders {
        assert_eq!(site.row(p).await.unwrap().0, "pending");
    }
    let follow = site.ports.follow();
    for cell in &cells {
        follow.catch_up(cell).await;
    }
    site.quiet(&cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_never_passes_an_unfinished_frame() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[60], 0).await;
    let progress = || async {
        let all = site.store.progress().await.unwrap();
        all.into_iter().find(|p| p.0 == "main-0").map_or(0, |p| p.1)
    };
    spawn(&site.tasks, &site.ports.writer(), &settings());
    let tick = async || {
        let tick = frame::encode(&[Item::Tick(site.store.now_ms().await.unwrap())]);
        site.publish(&cells[0], tick).await;
    };
    let first = site.buy("ada", "k", &cells[0]).await;
    tick().await;
    until("the first one counts", || async { progress().await == START_MS }).await;
    assert_eq!(site.row(&first).await.unwrap().0, "pending");
    // A frame that cannot be finished nor handed over, and ticks behind it.
    site.store.rules.set(|c| if c.name == "rows" { Fail::Before } else { Fail::No });
    site.log.rules.set(|c| if c.name == "retry" { Fail::Before } else { Fail::No });
    site.clock.advance(1000);
    let stuck = site.buy("bob", "k", &cells[0]).await;
    for _ in 0..5 {
        site.clock.advance(1000);
        tick().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(progress().await, START_MS, "a tick must not overtake");
    }
    // The retry partition stays closed: a run that failed before the database came back would
    // hand the order over, and progress would rightly go on without its row.
    site.store.rules.clear();
    // Progress is stored every 250 ms at most, so something has to follow: the relay's ticks.
    until("it goes on", || async {
        tick().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        progress().await == START_MS + 6000
    })
    .await;
    assert_eq!(site.row(&stuck).await.unwrap().0, "pending");
    // It never goes back, whoever stores it.
    site.store.set_progress("main-0", START_MS).await.unwrap();
    assert_eq!(progress().await, START_MS + 6000);
    until("all frames are acked", || async { site.log.backlog().await.unwrap() == 0 }).await;
    site.quiet(&cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_stand_by_for_each_other() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[60], 0).await;
    let first = runtime::Tasks::new();
    spawn(&first, &site.ports.writer(), &settings());
    spawn(&site.tasks, &site.ports.writer(), &settings());
    let a = site.buy("ada", "k", &cells[0]).await;
    until("one of them works", || async { site.row(&a).await.is_some() }).await;
    first.enter(runtime::Phase::FlushLog);
    assert!(first.wait(Duration::from_secs(5)).await);
    let b = site.buy("bob", "k", &cells[0]).await;
    until("the other one works", || async { site.row(&b).await.is_some() }).await;
    until("all is acked", || async { site.log.backlog().await.unwrap() == 0 }).await;
    assert!(site.store.unrowed(0, u64::MAX >> 1, 9).await.unwrap().is_empty());
    site.quiet(&cells).await;
}
