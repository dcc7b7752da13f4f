//! Every sort of drift: found by a dry run that changes nothing, repaired by a real one.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use common::{X, reconciler, settle, start_writer};
use domain::drift::{DriftKind, repair_note};
use domain::{CellId, EntryId, Flag};
use orderlog::port::OrderLog;
use store::LedgerWrite;
use store::port::Change;
use testkit::ports::{Fail, Site};
use view::Reconcile;

fn request(n: u8) -> EntryId {
    EntryId([n; 16])
}

/// A cell with a claim, a hold and a running writer.
async fn site() -> (Site, CellId) {
    let site = Site::new(2, 2).await;
    let cell = site.offer("shoe", &[9], 3).await.remove(0);
    start_writer(&site);
    let p = site.buy("ada", "k", &cell).await;
    testkit::ports::until("a row", || async { site.row(&p).await.is_some() }).await;
    let r = reconciler(&site);
    settle(&site, &r, std::slice::from_ref(&cell)).await;
    site.held("bob", "k", &cell).await;
    (site, cell)
}

async fn found_and_repaired(kind: DriftKind, disturb: impl AsyncFnOnce(&Site, &CellId)) {
    let (site, cell) = site().await;
    let r = reconciler(&site);
    disturb(&site, &cell).await;
    let view = || async { site.ports.cells.snapshot(&cell).await.unwrap() };
    let (entries, before) = (site.entries(&cell).await, view().await);
    let dry = r.reconcile(None, true).await.unwrap();
    let kinds: Vec<_> = dry.drift.iter().map(|d| (d.kind, d.applied)).collect();
    assert_eq!(kinds, [(kind, false)]);
    assert!(dry.is_bad());
    assert_eq!((site.entries(&cell).await, view().await), (entries, before), "a dry run acts");

    let real = r.reconcile(Some(&cell.offer), false).await.unwrap();
    let kinds: Vec<_> = real.drift.iter().map(|d| (d.kind, d.applied)).collect();
    assert_eq!(kinds, [(kind, true)]);
    assert!(!real.is_bad());
    site.sound(&cell).await;
    let clean = r.reconcile(None, true).await.unwrap();
    assert!(clean.drift.is_empty(), "{:?}", clean.drift);
    assert_eq!(site.head(&cell).await.open, Flag::Open, "the sale goes on");
    settle(&site, &r, &[cell]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_deployment_has_no_drift() {
    let (site, cell) = site().await;
    let r = reconciler(&site);
    let entries = site.entries(&cell).await;
    for dry in [true, false, true] {
        let report = r.reconcile(None, dry).await.unwrap();
        assert_eq!((report.cells, report.compared), (1, 1));
        assert!(report.drift.is_empty(), "{:?}", report.drift);
    }
    assert_eq!(site.entries(&cell).await, entries);
    site.sound(&cell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing() {
    found_and_repaired(DriftKind::Missing, async |s: &Site, c: &CellId| {
        s.cells.runner().wipe_cell(c);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind() {
    found_and_repaired(DriftKind::Behind, async |s: &Site, c: &CellId| {
        s.store.supply(&[(c.clone(), 4)], request(1)).await.unwrap();
        s.clock.advance(X + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fork() {
    found_and_repaired(DriftKind::Fork, async |s: &Site, c: &CellId| {
        s.cells.runner().falsify(c, "c", b"tok", b"00000000000000aa");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ahead_of_the_ledger() {
    found_and_repaired(DriftKind::Fork, async |s: &Site, c: &CellId| {
        s.cells.runner().falsify(c, "c", b"W", b"77");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters() {
    for (field, value) in [(&b"supply"[..], &b"900"[..]), (b"net", b"0"), (b"open", b"0")] {
        found_and_repaired(DriftKind::Counters, async |s: &Site, c: &CellId| {
            s.cells.runner().falsify(c, "c", field, value);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held() {
    found_and_repaired(DriftKind::Held, async |s: &Site, c: &CellId| {
        s.cells.runner().falsify(c, "c", b"held", b"0");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buyers() {
    for who in [&b"ada"[..], b"bob", b"nobody"] {
        found_and_repaired(DriftKind::Buyers, async |s: &Site, c: &CellId| {
            s.cells.runner().falsify(c, "b0", who, b"3");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_wrong_buyers_than_one_mend_takes() {
    found_and_repaired(DriftKind::Buyers, async |s: &Site, c: &CellId| {
        for n in 0..10_050 {
            s.cells.runner().falsify(c, "b0", format!("x{n}").as_bytes(), b"2");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repairs_pause_that_nobody_ended() {
    found_and_repaired(DriftKind::RepairPause, async |s: &Site, c: &CellId| {
        let note = repair_note(Flag::Open);
        let to = (Flag::Paused, &[Flag::Open][..]);
        s.store.flag(std::slice::from_ref(c), request(2), to, &note).await.unwrap();
        s.ports.follow().catch_up(c).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_word_outlives_a_repair() {
    let (site, cell) = site().await;
    let r = reconciler(&site);
    let cells = std::slice::from_ref(&cell);
    let flag = async |n: u8, to: Flag, from: &[Flag], note: &[u8]| {
        let done = site.store.flag(cells, request(n), (to, from), note).await.unwrap();
        assert!(matches!(done, Change::Done(_)), "{done:?}");
        site.ports.follow().catch_up(&cell).await;
    };
    let note = repair_note(Flag::Open);
    // A repair pauses, an operator pauses on top: it stays paused, also while a repair runs.
    flag(1, Flag::Paused, &[Flag::Open], &note).await;
    flag(2, Flag::Paused, &[Flag::Open], b"").await;
    assert!(r.reconcile(None, false).await.unwrap().drift.is_empty());
    assert_eq!(site.head(&cell).await.open, Flag::Paused);
    site.cells.runner().falsify(&cell, "c", b"supply", b"900");
    let fixed = r.reconcile(None, false).await.unwrap();
    assert!(fixed.drift.iter().all(|d| d.applied && d.kind == DriftKind::Counters));
    assert_eq!(site.head(&cell).await.open, Flag::Paused, "the operator's");
    // An operator resumes during a repair's pause: nothing is restored afterwards.
    flag(3, Flag::Open, &[Flag::Paused], b"").await;
    flag(4, Flag::Paused, &[Flag::Open], &note).await;
    flag(5, Flag::Closed, &[Flag::Open, Flag::Paused], b"").await;
    assert!(r.reconcile(None, false).await.unwrap().drift.is_empty());
    assert_eq!(site.head(&cell).await.open, Flag::Closed);
    // A closed cell is closed again after a repair.
    site.cells.runner().falsify(&cell, "c", b"net", b"5");
    assert!(!r.reconcile(None, false).await.unwrap().is_bad());
    assert_eq!(site.head(&cell).await.open, Flag::Closed);
    // The pause has its restoration once.
    let entries = site.entries(&cell).await;
    r.scheduled(0).await;
    r.scheduled(0).await;
    assert_eq!(site.entries(&cell).await, entries);
    site.sound(&cell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mending_while_the_sale_goes_on() {
    let site = Site::new(1, 2).await;
    let cell = site.offer("shoe", &[150], 5).await.remove(0);
    start_writer(&site);
    let r = reconciler(&site);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sale = async {
        let mut sold = 0;
        for n in 0.. {
            let p = site.order(&format!("b{n}"), "k", &[(&cell, 1)]);
            match site.reserve(&p, 0).await {
                cells::Reserved::New { t_ms } => {
                    let sealed = domain::frame::Sealed { t_ms, payload: p.encode().into() };
                    site.publish(&cell, testkit::ports::full(&[sealed])).await;
                    sold += 1;
                }
                cells::Reserved::Held { .. }
                | cells::Reserved::Verdict(_)
                | cells::Reserved::Fenced
                | cells::Reserved::Conflict(_)
                | cells::Reserved::Missing
                | cells::Reserved::Late
                | cells::Reserved::Returning
                | cells::Reserved::NotOpen
                | cells::Reserved::Refused { .. } => {
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await
                }
            }
            if stop.load(std::sync::atomic::Ordering::SeqCst) && n > 300 {
                break;
            }
        }
        sold
    };
    let repairs = async {
        for (field, value) in [(&b"supply"[..], &b"151"[..]), (b"net", b"1"), (b"held", b"3")] {
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            site.cells.runner().falsify(&cell, "c", field, value);
            for _ in 0..4 {
                r.reconcile(None, false).await.unwrap();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (sold, ()) = tokio::join!(sale, repairs);
    assert!(sold > 20, "{sold}");
    // A cell that never stands still is not compared in h and b; now it does.
    testkit::ports::until("the backlog is written", || async {
        site.log.backlog().await.unwrap() == 0
    })
    .await;
    r.reconcile(None, false).await.unwrap();
    settle(&site, &r, std::slice::from_ref(&cell)).await;
    assert!(site.head(&cell).await.net <= 150);
    assert!(r.reconcile(None, true).await.unwrap().drift.is_empty());
}

/// One database away: what the others hold is compared all the same, and the report says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_hides_only_its_own_cells() {
    let site = Site::new(2, 1).await;
    let (here, away) = (site.offer_on(0, "shoe"), site.offer_on(1, "hat"));
    let here = site.offer(&here, &[3], 0).await.remove(0);
    let away = site.offer(&away, &[3], 0).await.remove(0);
    let r = reconciler(&site);
    site.store.rules.set(|c| if c.db == 1 { Fail::Before } else { Fail::No });
    let report = r.reconcile(None, true).await.unwrap();
    assert_eq!((report.cells, report.compared, &report.unread[..]), (1, 1, &[1][..]));
    assert!(report.is_bad() && !report.has_open_drift());
    let one = r.reconcile(Some(&here.offer), true).await.unwrap();
    // Its cell is compared; rows of its buyers may lie on the database that is away.
    assert_eq!((one.compared, &one.unread[..], one.has_open_drift()), (1, &[1][..], false));
    assert_eq!(r.reconcile(Some(&away.offer), true).await.unwrap().unread, [1]);
    site.store.rules.clear();
    assert_eq!(r.reconcile(None, true).await.unwrap().compared, 2);
}

/// Plain reads that a balancer sends to a replica which is behind look like a database that lost
/// commits. A living cell, with its holds, must not be dropped for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_of_a_replica_that_is_behind_drop_nothing() {
    let (site, cell) = site().await;
    let r = reconciler(&site);
    let copies = site.copies().await;
    // What the replica does not have: a top-up that the view has folded in.
    site.store.supply(&[(cell.clone(), 4)], request(7)).await.unwrap();
    site.sound(&cell).await;
    assert!(r.reconcile(None, false).await.unwrap().drift.is_empty());
    let view = async || site.ports.cells.snapshot(&cell).await.unwrap().unwrap();
    let before = view().await;
    assert_eq!((before.totals.supply, before.holds), (13, 1));
    site.store.read_from(site.replica(&copies));
    for dry in [true, false] {
        let report = r.reconcile(None, dry).await.unwrap();
        assert_eq!((report.compared, report.drift), (1, vec![]), "dry {dry}");
    }
    r.scheduled(0).await;
    assert_eq!((view().await.mark.inc, view().await), (before.mark.inc, before));
}
