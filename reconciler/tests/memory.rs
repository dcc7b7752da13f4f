//! A million holds while no database answers, and when it answers again: what a pass keeps in
//! memory is a page of them, and its numbers are right. Alone in its binary: memory is measured of
//! the whole process.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use cells::port::{Cells, MAX_BATCH, ReserveCall, ReserveItem, Reserved};
use common::{finished_until, reconciler_with};
use domain::frame::{self, Item};
use domain::{CellId, HoldState, Nonce};
use orderlog::port::Partition;
use store::LedgerRead;
use testkit::ports::{Fail, START_MS, Site};
use view::Reconcile;

const HOLDS: u64 = 1_000_000;
/// Orders published again at once.
const AT_ONCE: usize = 3000;
/// What a pass may need on top of what is there: a fifth of what the holds' bytes alone would be.
const BOUND_KB: u64 = 64 * 1024;

async fn fill(site: &Site, cell: &CellId) {
    let payload = site.order("somebody", "k", &[(cell, 1)]).encode();
    let item = |n: u64| {
        let mut order = [0; 16];
        order[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        ReserveItem {
            id: domain::OrderId(order).into(),
            buyer: Some(format!("buyer-{n}").parse().unwrap()),
            buyer_hash: n,
            qty: 1,
            nonce: Nonce(n),
            state: HoldState::Sealed,
            payload: payload.clone().into(),
            checked: true,
            relay: false,
        }
    };
    let all: Vec<u64> = (1..=HOLDS).collect();
    for batch in all.chunks(MAX_BATCH) {
        let items = batch.iter().map(|n| item(*n)).collect();
        let (deadline_ms, opens_at_ms, closes_at_ms) = (0, 0, 0);
        let call =
            ReserveCall { limit: 1, deadline_ms, opens_at_ms, closes_at_ms, wait: None, items };
        let reply = site.cells.reserve(cell, &call).await.unwrap();
        assert!(reply.results.iter().all(Reserved::is_hold));
    }
}

fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// How much more memory than before a work needed at its peak, KB.
async fn peak<T>(work: impl Future<Output = T>) -> (u64, T) {
    // 5 sets the peak of this process back to what it has now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_kb("VmRSS:");
    let done = work.await;
    (status_kb("VmHWM:").saturating_sub(before), done)
}

async fn published(site: &Site) -> usize {
    let mut n = 0;
    for f in site.take(Partition::Main(0)).await {
        let items = frame::decode(&f).unwrap();
        n += items.iter().filter(|i| matches!(i, Item::Order(..))).count();
    }
    n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_holds_are_looked_at_page_by_page() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[HOLDS as i64 + 9], 1).await.remove(0);
    let r = reconciler_with(site.ports.clone(), |s| {
        s.relay_most = AT_ONCE;
        s.compare_most = 10 * HOLDS;
    });
    r.scheduled(0).await;
    fill(&site, &cell).await;
    assert_eq!(site.cells.snapshot(&cell).await.unwrap().unwrap().holds, HOLDS);

    // No database answers for four minutes.
    site.store.rules.set(|_| Fail::Before);
    site.clock.advance(240_000);
    let (kb, ()) = peak(r.scheduled(1)).await;
    println!("database down: {kb} KB");
    assert!(kb < BOUND_KB, "{kb} KB");
    assert_eq!((r.holds().oldest_ms, r.holds().overdue), (240_000, HOLDS));

    // It answers again, and the log is finished past all of them.
    site.store.rules.clear();
    finished_until(&site, START_MS + 240_000).await;
    let (kb, ()) = peak(r.scheduled(2)).await;
    println!("relay: {kb} KB");
    assert!(kb < BOUND_KB, "{kb} KB");
    assert_eq!((r.holds().oldest_ms, r.holds().overdue), (240_000, HOLDS));
    assert_eq!(published(&site).await, AT_ONCE);

    // Held and b are compared.
    let (kb, report) = peak(r.reconcile(None, true)).await;
    println!("compare: {kb} KB");
    assert!(kb < BOUND_KB, "{kb} KB");
    assert!(report.unwrap().drift.is_empty());
    assert_eq!(site.store.head(&cell).await.unwrap().unwrap().net, 0);
}
