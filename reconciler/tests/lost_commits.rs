//! A database comes back without its last commits: what the reconciler finds, what a rewind of the
//! log brings back, and what stays true (INV-1, INV-2, INV-5 to INV-8).
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use std::time::Duration;

use common::{reconciler, settle, start_writer};
use domain::drift::DriftKind;
use domain::{CellId, Kind, Payload};
use orderlog::port::Partition;
use sluicegate_reconciler::Reconciler;
use store::{LedgerWrite, OrdersRead, Shards};
use testkit::ports::{Fail, START_MS, Site, until};
use view::{Lost, Reconcile, RewindError};
use writer::{Rewind, Rewound};

const HOUR: u64 = 3_600_000;

fn settings() -> writer::WriterSettings {
    let patience = Duration::from_millis(20);
    writer::WriterSettings { batch_frames: 64, batch_orders: 512, patience, give_up_after: 50 }
}

async fn try_rewind(site: &Site, db: u16) -> Result<Rewound, RewindError> {
    let lost = Lost { db, since_ms: START_MS - HOUR };
    Rewind::new(site.ports.writer(), &settings(), lost).run(|_, _| {}).await
}

async fn rewind(site: &Site, db: u16) -> Rewound {
    try_rewind(site, db).await.unwrap()
}

/// Two databases, a writer, an offer on this one.
async fn site(db: u16, units: i64) -> (Site, CellId) {
    let site = Site::new(2, 2).await;
    let name = site.offer_on(db, "shoe");
    let cell = site.offer(&name, &[units], 0).await.remove(0);
    start_writer(&site);
    (site, cell)
}

async fn bought(site: &Site, cell: &CellId, names: &[String]) -> Vec<Payload> {
    let mut all = Vec::new();
    for name in names {
        all.push(site.buy(name, "k", cell).await);
    }
    for p in &all {
        until("a row", || async { site.row(p).await.is_some() }).await;
    }
    all
}

fn names(site: &Site, db: u16, prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| site.buyer_on(db, &format!("{prefix}{i}"))).collect()
}

async fn alive(site: &Site, all: &[Payload]) -> usize {
    let mut n = 0;
    for p in all {
        n += usize::from(site.row(p).await.unwrap().0 == "pending");
    }
    n
}

/// Nothing differs any more, and everything is quiet.
async fn whole(site: &Site, cells: &[CellId]) {
    let r = reconciler(site);
    settle(site, &r, cells).await;
    let report = r.reconcile(None, true).await.unwrap();
    assert!(report.drift.is_empty() && !report.is_bad(), "{report:?}");
}

/// A pass that drops the fork and builds the cell, then looks at the rows.
async fn rebuilt(r: &Reconciler) {
    let report = r.reconcile(None, false).await.unwrap();
    assert_eq!((report.drift[0].kind, report.drift[0].applied), (DriftKind::Fork, true));
}

fn nothing_to_do(r: &Rewound) -> bool {
    (r.claimed, r.rejected, r.rows, r.refused, r.left) == (0, 0, 0, 0, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_lost_claims_whose_units_were_sold_again() {
    let (site, cell) = site(0, 6).await;
    let first = bought(&site, &cell, &names(&site, 1, "a", 1)).await;
    let copies = site.copies().await;
    let lost = bought(&site, &cell, &names(&site, 1, "b", 5)).await;
    assert_eq!(site.head(&cell).await.net, 6);
    site.restore(0, &copies).await;
    assert_eq!(site.head(&cell).await.net, 1);
    // Redis is ahead: dropped and built again, without knowing of the five.
    let r = reconciler(&site);
    let kinds = |report: &view::Report| report.drift.iter().map(|d| d.kind).collect::<Vec<_>>();
    let dry = r.reconcile(None, true).await.unwrap();
    assert_eq!(kinds(&dry), [DriftKind::Fork, DriftKind::RowUnclaimed]);
    assert_eq!(dry.rows, 6);
    r.rebuild(&cell).await.unwrap();
    assert_eq!(site.available(&cell).await, 5);
    let again = bought(&site, &cell, &names(&site, 1, "c", 2)).await;
    let done = rewind(&site, 0).await;
    assert_eq!((done.claimed, done.rejected, done.refused, done.left), (3, 2, 2, 0), "{done:?}");
    assert_eq!(site.head(&cell).await.net, 6);
    assert_eq!((alive(&site, &first).await, alive(&site, &again).await), (1, 2));
    assert_eq!(alive(&site, &lost).await, 3);
    for p in &lost {
        let (status, reason) = site.row(p).await.unwrap();
        assert!(
            status == "pending" || reason.as_deref() == Some("sold_out"),
            "{status} {reason:?}"
        );
    }
    whole(&site, &[cell.clone()]).await;
    let second = rewind(&site, 0).await;
    assert!(nothing_to_do(&second), "{second:?}");
    assert_eq!((second.orders, second.compared), (8, 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_gone_while_their_claims_are_there() {
    let (site, cell) = site(0, 9).await;
    let copies = site.copies().await;
    let lost = bought(&site, &cell, &names(&site, 1, "a", 4)).await;
    let other = bought(&site, &cell, &names(&site, 0, "b", 1)).await;
    site.restore(1, &copies).await;
    for p in &lost {
        assert_eq!(site.row(p).await, None);
    }
    let done = rewind(&site, 1).await;
    assert_eq!((done.claimed, done.rejected, done.rows, done.orders), (0, 0, 4, 4), "{done:?}");
    assert_eq!((alive(&site, &lost).await, alive(&site, &other).await), (4, 1));
    whole(&site, &[cell]).await;
    assert!(nothing_to_do(&rewind(&site, 1).await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_only_the_log_knows() {
    let (site, cell) = site(0, 9).await;
    let copies = site.copies().await;
    let lost = bought(&site, &cell, &names(&site, 0, "a", 5)).await;
    site.restore(0, &copies).await;
    let done = rewind(&site, 0).await;
    assert_eq!((done.claimed, done.rows, done.left), (5, 5, 0), "{done:?}");
    assert_eq!(alive(&site, &lost).await, 5);
    whole(&site, &[cell]).await;
}

/// The loser of a key was claimed and given back. When its row is lost, the ledger tells: in
/// whatever order the log is read, the winner keeps its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loser_of_a_key_stays_the_loser() {
    for winner_is_read_first in [true, false] {
        let site = Site::new(2, 2).await;
        let at = |home: u16| {
            let on = |n: &String| {
                let offer = n.parse().unwrap();
                let is_there = site.store.cell_db(&offer) == 0;
                is_there && site.home(&offer.cell(0)) == Partition::Main(home)
            };
            (0..).map(|i| format!("shoe-{i}")).find(on).unwrap()
        };
        let (low, high) = (at(0), at(1));
        let low = site.offer(&low, &[5], 0).await.remove(0);
        let high = site.offer(&high, &[5], 0).await.remove(0);
        start_writer(&site);
        let copies = site.copies().await;
        let (first, second) = if winner_is_read_first { (&low, &high) } else { (&high, &low) };
        let buyer = site.buyer_on(1, "ada");
        let winner = site.buy(&buyer, "k", first).await;
        until("a row", || async { site.row(&winner).await.is_some() }).await;
        let loser = site.buy(&buyer, "k", second).await;
        until("a row", || async { site.row(&loser).await.is_some() }).await;
        let before = (site.row(&winner).await, site.row(&loser).await);
        assert_eq!(before.1.as_ref().unwrap().1.as_deref(), Some("key_conflict"));
        until("a release", || async { site.count(second, &loser, Kind::Release).await == 1 }).await;
        site.restore(1, &copies).await;
        let done = rewind(&site, 1).await;
        assert_eq!((done.rows, done.claimed, done.refused), (2, 0, 0), "{done:?}");
        assert_eq!((site.row(&winner).await, site.row(&loser).await), before);
        let of_key = site
            .store
            .order_of_key(&winner.buyer, winner.key.as_ref().unwrap())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(of_key.order, winner.order);
        whole(&site, &[low.clone(), high.clone()]).await;
    }
}

/// A dead row is not claimed for again when the ledger forgot its reject or its release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_stay_dead() {
    let (site, cell) = site(0, 2).await;
    let copies = site.copies().await;
    let sold = bought(&site, &cell, &names(&site, 1, "a", 2)).await;
    // Without a hold, as after a failover of Redis.
    let late = site.order(&site.buyer_on(1, "late"), "k", &[(&cell, 1)]);
    let sealed = domain::frame::Sealed { t_ms: START_MS, payload: late.encode().into() };
    site.publish(&cell, testkit::ports::full(&[sealed])).await;
    until("a row", || async { site.row(&late).await.is_some() }).await;
    let dead = site.row(&late).await;
    assert_eq!(dead.as_ref().unwrap().0, "rejected");
    site.restore(0, &copies).await;
    let done = rewind(&site, 0).await;
    assert_eq!((done.claimed, done.rejected, done.refused), (2, 1, 0), "{done:?}");
    assert_eq!((alive(&site, &sold).await, site.row(&late).await), (2, dead));
    whole(&site, &[cell]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_brings_rows_their_claims_back() {
    let (site, cell) = site(0, 9).await;
    let copies = site.copies().await;
    let lost = bought(&site, &cell, &names(&site, 1, "a", 4)).await;
    site.restore(0, &copies).await;
    let r = reconciler(&site);
    rebuilt(&r).await;
    until("claims", || async { site.head(&cell).await.net == 4 }).await;
    assert_eq!(alive(&site, &lost).await, 4);
    whole(&site, &[cell]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_without_its_units_is_an_alarm_until_a_rewind() {
    let (site, cell) = site(0, 2).await;
    let copies = site.copies().await;
    let lost = bought(&site, &cell, &names(&site, 1, "a", 2)).await;
    site.restore(0, &copies).await;
    let r = reconciler(&site);
    r.rebuild(&cell).await.unwrap();
    let again = bought(&site, &cell, &names(&site, 1, "b", 2)).await;
    for dry in [false, true, false] {
        let report = r.reconcile(None, dry).await.unwrap();
        let found: Vec<_> = report.drift.iter().map(|d| (d.kind, d.applied)).collect();
        assert_eq!(found, [(DriftKind::RowUnclaimed, false)], "{report:?}");
        assert!(report.has_open_drift());
        assert!(report.drift[0].ledger.contains(&lost[0].order.to_string()), "{report:?}");
    }
    let rejects = async |p: &Payload| site.count(&cell, p, Kind::Reject).await;
    assert_eq!(rejects(&lost[0]).await + rejects(&lost[1]).await, 0, "a no is for ever");
    assert_eq!(alive(&site, &lost).await, 2, "a pass rejects no row");
    assert_eq!(rewind(&site, 0).await.refused, 2);
    assert_eq!((alive(&site, &lost).await, alive(&site, &again).await), (0, 2));
    whole(&site, &[cell]).await;
}

/// Supply is the operator's to repeat, and until then no living order is rejected for want of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_for_supply_that_was_lost_with_their_claims() {
    let (site, cell) = site(0, 3).await;
    let copies = site.copies().await;
    let more = site.ports.identity.request_id(&cell.offer, "supply", "more");
    let top_up = async || site.store.supply(&[(cell.clone(), 5)], more).await.unwrap();
    top_up().await;
    let r = reconciler(&site);
    r.scheduled(0).await;
    let lost = bought(&site, &cell, &names(&site, 1, "a", 7)).await;
    site.restore(0, &copies).await;
    rebuilt(&r).await;
    until("the claims that fit", || async {
        r.scheduled(0).await;
        site.head(&cell).await.net == 3
    })
    .await;
    for _ in 0..5 {
        r.scheduled(0).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    for p in &lost {
        assert_eq!(site.count(&cell, p, Kind::Reject).await, 0);
    }
    top_up().await;
    until("the others", || async {
        r.scheduled(0).await;
        site.head(&cell).await.net == 7
    })
    .await;
    assert_eq!(alive(&site, &lost).await, 7);
    whole(&site, &[cell]).await;
}

/// Whatever call fails, before or after it ran: begun again it comes to the same end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_off_anywhere_and_begun_again() {
    for fail in [Fail::Forever, Fail::After] {
        let (site, cell) = site(0, 4).await;
        let copies = site.copies().await;
        let lost = bought(&site, &cell, &names(&site, 1, "a", 2)).await;
        let both = bought(&site, &cell, &names(&site, 0, "b", 2)).await;
        site.restore(0, &copies).await;
        reconciler(&site).rebuild(&cell).await.unwrap();
        let again = bought(&site, &cell, &names(&site, 1, "c", 1)).await;
        for n in 0..12 {
            // The writer is idle: every call is the rewind's.
            site.store.rules.set(move |seen| if seen.n == n { fail } else { Fail::No });
            let _ = try_rewind(&site, 0).await;
            site.store.rules.clear();
            assert!(site.head(&cell).await.net <= 4);
        }
        let done = rewind(&site, 0).await;
        assert_eq!(done.left, 0, "{done:?}");
        let live = alive(&site, &lost).await + alive(&site, &both).await;
        assert_eq!((live, alive(&site, &again).await, site.head(&cell).await.net), (3, 1, 4));
        whole(&site, &[cell]).await;
    }
}
