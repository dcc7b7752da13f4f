//! Cells that were lost, or are built again on purpose: behind a barrier, once, never oversold.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use std::time::Duration;

use cells::port::Cells;
use common::{reconciler, settle, start_writer};
use domain::drift::DriftKind;
use domain::frame::{self, Item};
use domain::{CellId, Flag, Kind};
use orderlog::port::{OrderLog, Partition};
use store::LedgerRead;
use testkit::ports::{Fail, Site, until};
use view::Reconcile;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_cell_waits_for_the_backlog() {
    let site = Site::new(2, 2).await;
    let cells = site.offer("shoe", &[3, 3], 0).await;
    let mut orders = Vec::new();
    for n in 0..6 {
        orders.push(site.buy(&format!("b{n}"), "k", &cells[n % 2]).await);
    }
    // One of them waits in a retry partition when the node dies.
    site.cells.runner().wipe_all();
    let r = reconciler(&site);
    let build = r.reconcile(None, false);
    let watch = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        for cell in &cells {
            assert!(site.cells.snapshot(cell).await.unwrap().is_none(), "before the barrier");
        }
        site.store.rules.set(|c| match c.name {
            "rows" if c.n < 30 => Fail::Before,
            _ => Fail::No,
        });
        start_writer(&site);
    };
    let (report, ()) = tokio::join!(build, watch);
    let report = report.unwrap();
    assert!(!report.is_bad(), "{report:?}");
    assert!(report.drift.iter().all(|d| d.kind == DriftKind::Missing));
    for cell in &cells {
        assert_eq!(site.available(cell).await, 0, "all six are accepted");
    }
    for p in &orders {
        until("a row", || async { site.row(p).await.is_some() }).await;
        assert_eq!(site.row(p).await.unwrap().0, "pending");
    }
    settle(&site, &r, &cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rebuilders_make_one_cell() {
    let site = Site::new(1, 2).await;
    let cells = site.offer("shoe", &[9, 9], 5).await;
    start_writer(&site);
    for n in 0..6 {
        site.buy(&format!("b{n}"), "k", &cells[n % 2]).await;
    }
    let (a, b) = (reconciler(&site), reconciler(&site));
    settle(&site, &a, &cells).await;
    site.cells.runner().wipe_all();
    let late = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        b.reconcile(None, false).await
    };
    let (one, two) = tokio::join!(a.reconcile(None, false), late);
    // The later ticket wins, or the cell exists already: between them both cells are built.
    assert!(!(one.unwrap().is_bad() && two.unwrap().is_bad()));
    for cell in &cells {
        assert_eq!(site.available(cell).await, 6);
    }
    assert!(a.reconcile(None, true).await.unwrap().drift.is_empty());
    settle(&site, &b, &cells).await;
}

/// Barriers and tickets are counted: who comes later starts nothing over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_outlasts_its_lease_and_is_left_alone() {
    let site = Site::new(2, 2).await;
    let cells = site.offer("shoe", &[3, 3], 0).await;
    for n in 0..6 {
        site.buy(&format!("b{n}"), "k", &cells[n % 2]).await;
    }
    site.cells.runner().wipe_all();
    let short =
        |s: &mut sluicegate_reconciler::ReconcilerSettings| s.lease = Duration::from_millis(400);
    let a = common::reconciler_with(site.ports.clone(), short);
    let b = common::reconciler_with(site.ports.clone(), short);
    let desk = common::reconciler_with(site.ports.clone(), short);
    // The writers lag for many times the lease; then there is one barrier, whoever came by.
    let lag = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let mut barriers = 0;
        for n in 0..2 {
            for f in site.take(Partition::Main(n)).await {
                let items = frame::decode(&f).unwrap();
                barriers += items.iter().filter(|i| matches!(i, Item::Barrier(_))).count();
                site.log.publish(Partition::Main(n), f).await.unwrap();
            }
        }
        start_writer(&site);
        barriers
    };
    let passes = async {
        for round in 0..12 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            b.scheduled(round).await;
        }
    };
    let operator = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        desk.reconcile(None, false).await
    };
    let (_, (), report, barriers) = tokio::join!(a.scheduled(0), passes, operator, lag);
    assert!(!report.unwrap().is_bad());
    assert_eq!(barriers, 2, "one in each main partition");
    for cell in &cells {
        assert_eq!(site.available(cell).await, 0);
    }
    settle(&site, &a, &cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_loss_voids_the_ticket() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 0).await;
    site.cells.runner().wipe_all();
    let r = reconciler(&site);
    let lose_again = async {
        // The barrier is on its way and no writer runs yet.
        until("a barrier", || async { site.log.backlog().await.unwrap() > 0 }).await;
        site.cells.runner().wipe_all();
        start_writer(&site);
    };
    let (report, ()) = tokio::join!(r.reconcile(None, false), lose_again);
    assert!(report.unwrap().is_bad(), "the load was prepared before the second loss");
    assert!(site.cells.snapshot(&cells[0]).await.unwrap().is_none());
    assert!(!r.reconcile(None, false).await.unwrap().is_bad());
    settle(&site, &r, &cells).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_rebuild_decides_the_holds_first() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 4).await;
    start_writer(&site);
    let (published, unpublished) =
        (site.buy("ada", "k", &cells[0]).await, site.held("bob", "k", &cells[0]).await.0);
    let r = reconciler(&site);
    let inc = site.cells.snapshot(&cells[0]).await.unwrap().unwrap().mark.inc;
    let passes = async {
        // The scheduled passes of the same process go on and leave the pause alone.
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            r.scheduled(0).await;
            assert_eq!(site.head(&cells[0]).await.open, Flag::Paused);
        }
    };
    let (done, ()) = tokio::join!(r.rebuild(&cells[0]), passes);
    done.unwrap();
    let view = site.cells.snapshot(&cells[0]).await.unwrap().unwrap();
    assert_ne!(view.mark.inc, inc, "it was built anew");
    assert_eq!((view.totals.open, view.held), (Flag::Open, 0));
    for p in [&published, &unpublished] {
        assert_eq!(site.row(p).await.unwrap().0, "pending");
        assert_eq!(site.count(&cells[0], p, Kind::Claim).await, 1);
    }
    settle(&site, &r, &cells).await;
    assert!(r.rebuild(&"nothing.0".parse().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_fails_leaves_no_pause_for_ever() {
    let site = Site::new(1, 1).await;
    let cells = site.offer("shoe", &[9], 0).await;
    let r = reconciler(&site);
    // The database dies in the middle of it.
    let fail = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        site.store.rules.set(|c| if c.name == "lease" { Fail::No } else { Fail::Before });
    };
    let (done, ()) = tokio::join!(r.rebuild(&cells[0]), fail);
    assert!(done.is_err());
    site.store.rules.clear();
    assert_eq!(site.head(&cells[0]).await.open, Flag::Paused);
    start_writer(&site);
    settle(&site, &r, &cells).await;
    assert_eq!(site.head(&cells[0]).await.open, Flag::Open);
}

#[tokio::test]
async fn a_first_load_is_only_for_cells_that_never_were() {
    let site = Site::new(1, 1).await;
    let r = reconciler(&site);
    let cells: [CellId; 2] = ["shoe.0".parse().unwrap(), "shoe.1".parse().unwrap()];
    let ticket = r.first_ticket(&cells).await.unwrap().unwrap();
    assert_eq!(site.unloaded("shoe", &[5, 4], 2).await, cells);
    r.first_load(&cells, &ticket).await.unwrap();
    assert_eq!((site.available(&cells[0]).await, site.available(&cells[1]).await), (5, 4));
    // A living cell is left alone, with its holds.
    let (_, frame) = site.held("ada", "k", &cells[0]).await;
    r.first_load(&cells, &ticket).await.unwrap();
    assert_eq!(site.available(&cells[0]).await, 4);
    drop(frame);
    // A rebuild is under way there: it goes first.
    site.cells.runner().wipe_cell(&cells[1]);
    site.cells.ticket(&cells[1], "somebody").await.unwrap();
    assert!(r.first_load(&cells[1..], &ticket).await.is_err());
    assert!(r.first_load(&["nothing.0".parse().unwrap()], &ticket).await.is_err());
    assert!(site.store.head(&cells[1]).await.unwrap().is_some());
}

/// The cell sold meanwhile and was lost again: its orders may still be on their way, so only a
/// build behind a barrier may follow (INV-13).
#[tokio::test]
async fn a_first_load_that_slept_through_a_loss_is_refused() {
    let site = Site::new(1, 1).await;
    let r = reconciler(&site);
    let cells: [CellId; 1] = ["shoe.0".parse().unwrap()];
    let ticket = r.first_ticket(&cells).await.unwrap().unwrap();
    site.unloaded("shoe", &[1], 0).await;
    r.first_load(&cells, &ticket).await.unwrap();
    let (_, frame) = site.held("ada", "k", &cells[0]).await;
    site.cells.runner().wipe_cell(&cells[0]);
    assert!(r.first_load(&cells, &ticket).await.is_err());
    assert!(site.cells.snapshot(&cells[0]).await.unwrap().is_none());
    drop(frame);
}
