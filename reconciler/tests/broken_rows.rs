//! Cell rows that are not what their ledger says (INV-2): falsified, or restored from an older
//! copy. Nothing is appended on top of one, its neighbours go on, and the reconciler sets it right
//! from the ledger and stops the sale until an operator has looked.
#![allow(
    clippy::unwrap_used,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

mod common;

use common::{reconciler, settle, start_writer};
use domain::drift::{DriftKind, broken_note};
use domain::{CellId, EntryId, Flag, Giveback, Kind};
use store::{LedgerRead, LedgerWrite, ParkedRead, StoreError};
use testkit::ports::{Site, until};
use view::{Reconcile, Report};

const OPEN: (Flag, &[Flag]) = (Flag::Open, &[Flag::Paused]);

fn request(n: u8) -> EntryId {
    EntryId([n; 16])
}

/// Two cells of one database with a claim each, and a running writer.
async fn site() -> (Site, CellId, CellId) {
    let site = Site::new(2, 2).await;
    let mut cells = Vec::new();
    for name in ["shoe", "boot"] {
        let cell = site.offer(&site.offer_on(0, name), &[9], 3).await.remove(0);
        cells.push(cell);
    }
    start_writer(&site);
    for cell in &cells {
        let p = site.buy("ada", &format!("k-{cell}"), cell).await;
        until("a row", || async { site.row(&p).await.is_some() }).await;
    }
    settle(&site, &reconciler(&site), &cells).await;
    let other = cells.remove(1);
    (site, cells.remove(0), other)
}

async fn set_row(site: &Site, cell: &CellId, what: &str) {
    let row = format!("cell_id = CAST('{cell}' AS BLOB)");
    site.sql(0, &format!("UPDATE cell SET {what} WHERE {row}")).await;
}

fn kinds(report: &Report) -> Vec<(DriftKind, bool)> {
    report.drift.iter().map(|d| (d.kind, d.applied)).collect()
}

/// What a hand, or a restore, may have made of a row.
const FALSE_ROWS: [&str; 8] = [
    "net = net + 1",
    "net = 0",
    "supply = supply + 5",
    "open = 0",
    "tok = tok + 1",
    "seq = seq - 1",
    "seq = seq + 3",
    // The row as it was an entry ago: right in itself.
    "(supply, net, seq, open, tok) = (SELECT l.supply_after, l.net_after, l.seq, l.open_after, \
     l.tok FROM ledger l WHERE l.cell_no = cell.cell_no AND l.seq = cell.seq - 1)",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_row_stops_its_cell_and_no_other() {
    for what in FALSE_ROWS {
        let (site, cell, other) = site().await;
        let r = reconciler(&site);
        let truth = site.head(&cell).await;
        let before = site.entries(&cell).await;
        set_row(&site, &cell, what).await;
        let p = site.buy("eve", "k1", &cell).await;
        let q = site.buy("fay", "k1", &other).await;
        until("the other cell's row", || async { site.row(&q).await.is_some() }).await;
        assert_eq!(site.entries(&cell).await, before, "{what}: appended on top of it");
        assert_eq!(site.row(&p).await, None, "{what}");

        let dry = r.reconcile(None, true).await.unwrap();
        assert_eq!(kinds(&dry), [(DriftKind::Ledger, false)], "{what}");
        assert_eq!(site.entries(&cell).await, before, "{what}: a dry run acts");
        r.reconcile(None, false).await.unwrap();
        until("the order's row", || async { site.row(&p).await.is_some() }).await;
        assert_eq!(site.row(&p).await.unwrap().0, "pending", "{what}");

        let entries = site.entries(&cell).await;
        let new: Vec<Kind> = entries[before.len()..].iter().map(|e| e.kind).collect();
        assert_eq!(new, [Kind::Flag, Kind::Claim], "{what}: one pause, one claim");
        assert_eq!(entries[before.len()].payload, broken_note("INV-2"), "{what}");
        let head = site.head(&cell).await;
        assert_eq!(Some(head), entries.last().map(|e| e.totals()), "{what}");
        assert_eq!((head.supply, head.net), (truth.supply, truth.net + 1), "{what}");
        let last = site.store.last_flag(&cell).await.unwrap().unwrap();
        assert_eq!(last.seq, truth.seq + 1, "{what}: where the last flag is");
        stays_stopped(&site, &cell, what).await;
        assert_eq!(site.store.parked_counts().await.unwrap(), (0, 0), "{what}: parked");
    }
}

/// Passes go on telling it, and change nothing, until an operator has looked.
async fn stays_stopped(site: &Site, cell: &CellId, what: &str) {
    let r = reconciler(site);
    let entries = site.entries(cell).await.len();
    for _ in 0..3 {
        let told = r.reconcile(None, false).await.unwrap();
        assert_eq!(kinds(&told), [(DriftKind::Ledger, false)], "{what}");
    }
    assert_eq!(site.entries(cell).await.len(), entries, "{what}: one pause is enough");
    let view = site.ports.cells.snapshot(cell).await.unwrap().unwrap();
    assert_eq!(view.totals.open, Flag::Paused, "{what}: Redis obeys");
    site.store.flag(std::slice::from_ref(cell), request(9), OPEN, b"").await.unwrap();
    let report = r.reconcile(None, false).await.unwrap();
    assert!(!report.is_bad(), "{what}: {report:?}");
    assert_eq!(site.head(cell).await.open, Flag::Open, "{what}");
    site.sound(cell).await;
}

/// A cell that was not open is set right as well, and stays what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_row_of_a_closed_cell_is_set_right() {
    for to in [Flag::Closed, Flag::Paused] {
        let (site, cell, _) = site().await;
        let cells = std::slice::from_ref(&cell);
        site.store.flag(cells, request(1), (to, &[Flag::Open]), b"").await.unwrap();
        let truth = site.head(&cell).await;
        set_row(&site, &cell, "net = net + 1, seq = seq + 1").await;
        reconciler(&site).reconcile(None, false).await.unwrap();
        assert_eq!(site.head(&cell).await, truth, "{to:?}");
    }
}

/// Every other write to the ledger refuses such a row and says which.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_goes_on_top_of_a_false_row() {
    let (site, cell, _) = site().await;
    let claim = site.entries(&cell).await.last().unwrap().order().unwrap();
    let before = site.entries(&cell).await;
    set_row(&site, &cell, "net = net + 1").await;
    let one = std::slice::from_ref(&cell);
    let refused = [
        site.store.supply(&[(cell.clone(), 5)], request(1)).await.map(drop),
        site.store.flag(one, request(2), (Flag::Closed, &[Flag::Open]), b"").await.map(drop),
        site.store.transfer(request(3), &cell, None, 1).await.map(drop),
        site.store.give_back(&cell, &[Giveback::release(claim)]).await.map(drop),
    ];
    for (n, done) in refused.into_iter().enumerate() {
        let named = matches!(&done, Err(StoreError::Broken { cell: c, .. }) if *c == cell);
        assert!(named, "{n}: {done:?}");
    }
    assert_eq!(site.entries(&cell).await, before);
}

/// A ledger that does not fold, with a row that agrees with its last entry: an entry was changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_entry_is_found_below_a_row_that_agrees_with_it() {
    let (site, cell, _) = site().await;
    let r = reconciler(&site);
    let last = "(SELECT cell_no FROM cell WHERE cell_id = CAST('CELL' AS BLOB)) AND seq = \
                (SELECT seq FROM cell WHERE cell_id = CAST('CELL' AS BLOB))";
    let last = last.replace("CELL", &cell.to_string());
    site.sql(
        0,
        &format!("UPDATE ledger SET supply_after = supply_after + 5 WHERE cell_no = {last}"),
    )
    .await;
    set_row(&site, &cell, "supply = supply + 5").await;
    r.reconcile(None, false).await.unwrap();
    assert_eq!(site.entries(&cell).await.last().unwrap().payload, broken_note("INV-2"));
    assert_eq!(site.head(&cell).await.open, Flag::Paused);
    r.reconcile(None, false).await.unwrap();
    let again = r.reconcile(None, false).await.unwrap();
    assert_eq!(kinds(&again), [(DriftKind::Ledger, false)], "until an operator has looked");
}
