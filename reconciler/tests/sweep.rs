//! What the sweeper gives back to the log says what was decided, and why.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

mod common;

use std::time::Duration;

use common::{decided, finished_until, reconciler, reconciler_with, settle, start_writer};
use domain::CellId;
use domain::frame::{Mode, Sealed};
use store::port::{Ask, CellAsks};
use store::{LedgerRead, Verdicts};
use testkit::ports::{START_MS, Site, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swept_order_keeps_why_it_was_rejected() {
    let site = Site::new(2, 1).await;
    let cells: Vec<CellId> = site.offer("shoe", &[2], 0).await;
    let order = |buyer: &str, qty| site.order(buyer, "k", &[(&cells[0], qty)]);
    // (order, mode, the row that it gets)
    let table = [
        (order("ada", 1), Mode::Full, ("pending", None)),
        (order("bob", 5), Mode::Full, ("rejected", Some("sold_out"))),
        (order("cyd", 1), Mode::Abort, ("rejected", Some("aborted"))),
        (order("dan", 1), Mode::Full, ("pending", None)),
        (order("eve", 1), Mode::Full, ("rejected", Some("sold_out"))),
    ];
    for (p, mode, _) in &table {
        decided(&site, p, *mode).await;
    }
    finished_until(&site, START_MS + 60_000).await;
    site.clock.advance(60_000);
    start_writer(&site);
    settle(&site, &reconciler(&site), &cells).await;
    for (p, _, want) in &table {
        let (status, reason) = site.row(p).await.unwrap();
        assert_eq!((status, reason.as_deref()), *want, "{}", p.buyer.as_str());
    }
}

/// An order whose bytes nobody can read: its range stays, loudly, the others in it get their rows,
/// and no lease is given up for what another process could do no better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_nobody_can_read_holds_up_no_other() {
    let site = Site::new(1, 1).await;
    let cells: Vec<CellId> = site.offer("shoe", &[9], 0).await;
    let orders = ["ada", "bob"].map(|buyer| site.order(buyer, "k", &[(&cells[0], 1)]));
    let ask = |n: usize, bytes: Vec<u8>| Ask {
        order: orders[n].order,
        buyer: orders[n].buyer.clone(),
        qty: 1,
        mode: Mode::Full,
        anchor: true,
        sealed: Sealed { t_ms: START_MS, payload: bytes.into() },
    };
    let asks = vec![ask(0, b"\xff\xffnothing".to_vec()), ask(1, orders[1].encode())];
    site.store.verdicts(&[CellAsks { cell: cells[0].clone(), asks }]).await.unwrap();
    finished_until(&site, START_MS + 60_000).await;
    site.clock.advance(60_000);
    start_writer(&site);
    let r = reconciler_with(site.ports.clone(), |s| s.lease = Duration::from_secs(600));
    for _ in 0..9 {
        r.scheduled(0).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    until("the other one has its row", || async { site.row(&orders[1]).await.is_some() }).await;
    assert_eq!(site.store.unrowed(0, u64::MAX >> 1, 9).await.unwrap().len(), 1);
    assert!(r.ready().get(), "the lease is kept");
}

/// A writer finishes a range between the list and the look at it: nobody else would do better.
#[tokio::test]
async fn a_range_that_is_finished_meanwhile_costs_no_lease() {
    let site = Site::new(1, 1).await;
    let cells: Vec<CellId> = site.offer("shoe", &[9], 0).await;
    let p = site.order("ada", "k", &[(&cells[0], 1)]);
    decided(&site, &p, Mode::Full).await;
    finished_until(&site, START_MS + 60_000).await;
    site.clock.advance(60_000);
    site.sql(0, "UPDATE unrowed SET orders = x'01'").await;
    let r = reconciler_with(site.ports.clone(), |s| s.lease = Duration::from_secs(600));
    for _ in 0..9 {
        r.scheduled(0).await;
    }
    assert!(r.ready().get(), "the lease is kept");
    assert_eq!(site.store.unrowed(0, u64::MAX >> 1, 9).await.unwrap().len(), 1);
}
