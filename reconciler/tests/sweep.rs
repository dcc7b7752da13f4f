//! What the sweeper gives back to the log says what was decided, and why.
#![allow(clippy::unwrap_used, missing_docs, reason = "a step that fails fails the test")]

mod common;

use common::{decided, finished_until, reconciler, settle, start_writer};
use domain::CellId;
use domain::frame::Mode;
use testkit::ports::{START_MS, Site};

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
