//! Reconcilers that do not reach what they need, and clocks that are wrong.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{X, decided, finished_until, published, reconciler_with, start_writer};
use domain::frame::{self, Item, Mode};
use orderlog::port::Partition;
use sluicegate_reconciler::{Reconciler, ReconcilerSettings};
use store::{Marks, Shards};
use testkit::ports::{Fail, FaultyLog, FaultyStore, HandClock, START_MS, Seen, Site, until};
use view::Reconcile;

const HOUR: u64 = 3_600_000;

fn long_lease(s: &mut ReconcilerSettings) {
    s.lease = Duration::from_secs(60);
}

async fn rounds(r: &Arc<Reconciler>, n: u64) {
    for round in 0..n {
        r.scheduled(round).await;
    }
}

#[tokio::test]
async fn a_lease_without_progress_goes_to_who_can_use_it() {
    let site = Site::new(2, 1).await;
    let shop = site.offer(&site.offer_on(1, "shoe"), &[9], 0).await;
    let cut = FaultyStore::new(site.store.clone());
    let mut ports = site.ports.clone();
    ports.store = cut.clone();
    let (sick, well) =
        (reconciler_with(ports, long_lease), reconciler_with(site.ports.clone(), long_lease));
    assert!(!sick.ready().get(), "it has started, and done nothing yet");
    rounds(&sick, 1).await;
    rounds(&well, 1).await;
    assert!(sick.ready().get() && well.ready().get(), "one works, one stands by");
    cut.rules.set(|c| if c.db == 1 && c.name != "ping" { Fail::Before } else { Fail::No });
    // What the healthy one would repair.
    site.cells.runner().wipe_cell(&shop[0]);
    rounds(&sick, 3).await;
    assert!(!sick.ready().get());
    start_writer(&site);
    rounds(&well, 1).await;
    let built = site.ports.cells.snapshot(&shop[0]).await.unwrap();
    assert!(built.is_some(), "the healthy one has the database now");
    assert!(well.ready().get());
}

/// One that does all of a database's own work, and none of what leads elsewhere: the rows of its
/// orders in another database, or the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_goes_to_who_reaches_what_its_orders_need() {
    for away in ["statuses", "main"] {
        let site = Site::new(2, 1).await;
        let cells = site.offer(&site.offer_on(0, "shoe"), &[9], 0).await;
        let buyer =
            (0..).map(|n| format!("b{n}")).find(|b| site.store.buyer_db(&b.parse().unwrap()) == 1);
        let p = site.order(&buyer.unwrap(), "k", &[(&cells[0], 1)]);
        let (cut, log) =
            (FaultyStore::new(site.store.clone()), FaultyLog::new(site.ports.log.clone()));
        let mut ports = site.ports.clone();
        (ports.store, ports.log) = (cut.clone(), log.clone());
        let sick = reconciler_with(ports, long_lease);
        let well = reconciler_with(site.ports.clone(), long_lease);
        rounds(&sick, 1).await;
        rounds(&well, 1).await;
        // Decided, and its frame is lost before the row.
        decided(&site, &p, Mode::Full).await;
        finished_until(&site, START_MS + 60_000).await;
        site.clock.advance(60_000);
        let rule = move |c: Seen| if c.name == away { Fail::Before } else { Fail::No };
        cut.rules.set(rule);
        log.rules.set(rule);
        rounds(&sick, 3).await;
        assert!(!sick.ready().get(), "{away}");
        start_writer(&site);
        rounds(&well, 1).await;
        until("the order has its row", || async { site.row(&p).await.is_some() }).await;
    }
}

/// Nobody else is there: the one that is left goes on with what it reaches.
#[tokio::test]
async fn a_lone_reconciler_takes_its_lease_again() {
    let site = Site::new(1, 1).await;
    site.offer("shoe", &[9], 0).await;
    let r = reconciler_with(site.ports.clone(), long_lease);
    site.store.rules.set(|c| if c.name == "head" { Fail::Before } else { Fail::No });
    rounds(&r, 3).await;
    assert!(!r.ready().get());
    site.store.rules.clear();
    rounds(&r, 3).await;
    assert!(r.ready().get());
}

/// The oldest hold and the holds overdue are right although no database answers.
#[tokio::test]
async fn alarms_do_not_fall_silent_with_the_database() {
    let site = Site::new(2, 1).await;
    let cells = site.offer("shoe", &[9, 9], 0).await;
    let r = reconciler_with(site.ports.clone(), long_lease);
    rounds(&r, 1).await;
    site.held("ada", "k", &cells[0]).await;
    site.held("bob", "k", &cells[1]).await;
    site.clock.advance(60_000);
    site.held("eve", "k", &cells[1]).await;
    site.store.rules.set(|_| Fail::Before);
    rounds(&r, 9).await;
    let seen = r.holds();
    assert_eq!((seen.oldest_ms, seen.overdue), (60_000, 2));
    assert!(!r.ready().get());
}

/// Ticks, progress and holds of processes whose clocks are hours off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconcilers_own_clock_decides_nothing() {
    for off in [-26 * 24 * HOUR as i64, -(HOUR as i64), -900, 900, HOUR as i64, 1 << 40] {
        let site = Site::new(1, 1).await;
        let cells = site.offer("shoe", &[9], 0).await;
        let mut ports = site.ports.clone();
        ports.clock = HandClock::at(START_MS.saturating_add_signed(off));
        let r = reconciler_with(ports, |_| {});
        site.clock.advance(5000);
        site.held("ada", "k", &cells[0]).await;
        let writer = runtime::Tasks::new();
        let settings = writer::WriterSettings {
            batch_frames: 9,
            batch_orders: 99,
            patience: Duration::from_millis(20),
            give_up_after: 9,
        };
        writer::spawn(&writer, &site.ports.writer(), &settings);
        let finished = || async {
            let all = site.store.progress().await.unwrap();
            (all.len() == 2).then(|| all.iter().map(|p| p.1).min().unwrap())
        };
        rounds(&r, 1).await;
        until("ticks are finished", || async { finished().await.is_some() }).await;
        assert_eq!(finished().await, Some(START_MS + 5000), "{off}");
        writer.enter(runtime::Phase::FlushLog);
        assert!(writer.wait(Duration::from_secs(5)).await);
        rounds(&r, 2).await;
        assert_eq!(published(&site).await, [], "{off}: the hold is young");
        // And an old one is found, however far behind that clock is.
        site.clock.advance(X + 1);
        site.store.set_progress("main-0", START_MS + 5001 + X).await.unwrap();
        site.store.set_progress("retry-0", START_MS + 5001 + X).await.unwrap();
        rounds(&r, 1).await;
        assert_eq!(published(&site).await.len(), 1, "{off}: the hold is old");
    }
}

/// What a clock that was ahead has left in `progress` makes no hold due for an hour.
#[tokio::test]
async fn progress_from_the_future_is_now() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 0).await;
    for p in [Partition::Main(0), Partition::Retry(0)] {
        site.store.set_progress(&p.to_string(), START_MS + HOUR).await.unwrap();
    }
    let r = reconciler_with(site.ports.clone(), |_| {});
    site.held("ada", "k", &cells[0]).await;
    site.clock.advance(X);
    rounds(&r, 1).await;
    assert_eq!(published(&site).await, [], "exactly X old");
    site.clock.advance(1);
    rounds(&r, 1).await;
    assert_eq!(published(&site).await.len(), 1);
}

/// A writer whose clock is ahead wrote the verdict: its order still gets its row.
#[tokio::test]
async fn a_range_from_the_future_is_swept() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 0).await;
    let p = site.order("ada", "k", &[(&cells[0], 1)]);
    let sealed = domain::frame::Sealed { t_ms: START_MS, payload: p.encode().into() };
    let ask = store::port::Ask {
        order: p.order,
        buyer: p.buyer.clone(),
        qty: 1,
        mode: domain::frame::Mode::Full,
        anchor: true,
        sealed,
    };
    let asks = store::port::CellAsks { cell: cells[0].clone(), asks: vec![ask] };
    store::Verdicts::verdicts(&*site.store, &[asks]).await.unwrap();
    site.sql(0, &format!("UPDATE unrowed SET at_ms = at_ms + {HOUR}")).await;
    let r = reconciler_with(site.ports.clone(), |_| {});
    for step in 0..2 {
        for p in ["main-0", "retry-0"] {
            let now = site.store.now_ms().await.unwrap();
            site.store.set_progress(p, now).await.unwrap();
        }
        rounds(&r, 1).await;
        assert_eq!(published(&site).await.len(), step, "step {step}");
        site.clock.advance(2 * X + 1);
    }
    let tick = frame::encode(&[Item::Tick(7)]);
    assert_eq!(frame::tick(&tick), Some(7));
}
