//! What a [`Site`] has now, and whether it is sound: every look a test takes at the stores.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use cells::port::Cells;
use domain::invariant::{self, Violation};
use domain::{CellId, Entry, Hold, Kind, Payload, Totals};
use orderlog::port::{OrderLog, Partition};
use store::{CatalogRead, LedgerRead, OrdersRead};

use super::Site;

impl Site {
    /// The cell row.
    pub async fn head(&self, cell: &CellId) -> Totals {
        self.store.head(cell).await.expect("the ledger").expect("the cell")
    }

    /// The whole ledger.
    pub async fn entries(&self, cell: &CellId) -> Vec<Entry> {
        let page = self.store.after(cell, 0, 1_000_000).await.expect("the ledger");
        page.expect("the cell").entries
    }

    /// All holds.
    pub async fn holds(&self, cell: &CellId) -> Vec<Hold> {
        let mut all = HashMap::new();
        let mut cursor = 0;
        loop {
            let page = self.ports.cells.scan_holds(cell, cursor, 1000).await.expect("scan");
            all.extend(page.items.into_iter().map(|h| ((h.id, h.state.code()), h)));
            cursor = page.cursor;
            if cursor == 0 {
                return all.into_values().collect();
            }
        }
    }

    /// Units that Redis would sell.
    pub async fn available(&self, cell: &CellId) -> i64 {
        self.cells.snapshot(cell).await.expect("Redis").expect("the cell").available()
    }

    /// INV-1 to INV-4 now.
    pub async fn broken(&self, cell: &CellId) -> Vec<Violation> {
        let head = self.head(cell).await;
        let entries = self.entries(cell).await;
        let mut out = invariant::ledger(&entries, head);
        let Some(v) = self.cells.snapshot(cell).await.expect("Redis") else { return out };
        let w = v.totals.seq;
        let at_w = self.store.at(cell, w).await.expect("the ledger");
        out.extend(invariant::view(v.totals, at_w, head));
        let holds = self.holds(cell).await;
        out.extend(invariant::held(v.held, &holds));
        let offer = self.store.offer(&cell.offer).await.expect("catalog").expect("the offer");
        if offer.0.limit_per_buyer.is_some() {
            let prefix: Vec<Entry> = entries.into_iter().filter(|e| e.seq <= w).collect();
            let sums = invariant::buyer_sums(&prefix);
            out.extend(invariant::buyers(&self.b(cell).await, &sums, &holds));
        }
        out
    }

    /// b of a cell.
    pub async fn b(&self, cell: &CellId) -> HashMap<String, i64> {
        let mut b = HashMap::new();
        let mut cursor = 0;
        loop {
            let page = self.ports.cells.scan_buyers(cell, cursor, 1000).await.expect("scan");
            b.extend(page.items);
            cursor = page.cursor;
            if cursor == 0 {
                return b;
            }
        }
    }

    /// Fails unless INV-1 to INV-5 hold, and (INV-11) everything is applied and nothing is held.
    pub async fn quiet(&self, cells: &[CellId]) {
        for cell in cells {
            self.sound(cell).await;
            let head = self.head(cell).await;
            let v = self.cells.snapshot(cell).await.expect("Redis").expect("the cell");
            let bad = invariant::quiet(v.totals, head, v.held, v.holds);
            assert!(bad.is_empty(), "{cell}: {bad:?}");
        }
    }

    /// Fails unless INV-1 to INV-5 hold (rows that are not written yet are no violation).
    pub async fn sound(&self, cell: &CellId) {
        let bad = self.broken(cell).await;
        assert!(bad.is_empty(), "{cell}: {bad:?}");
        let entries = self.entries(cell).await;
        let of = |order, kind| entries.iter().any(|e| e.id == order && e.kind == kind);
        for e in entries.iter().filter(|e| matches!(e.kind, Kind::Claim | Kind::Reject)) {
            let Some(order) = e.order() else { continue };
            let Some(row) = self.store.order(order).await.expect("the row") else { continue };
            let line = (Some(e.kind), of(e.id, Kind::Release));
            let bad = invariant::row(order, row.status, &[line]);
            assert!(bad.is_empty(), "{cell}: {bad:?}");
            assert!(!line.1 || !row.status.is_live(), "{order}: released and alive");
        }
    }

    /// Status and reason of a row, as text.
    pub async fn row(&self, p: &Payload) -> Option<(&'static str, Option<String>)> {
        let row = self.store.order(p.order).await.expect("the row")?;
        Some((row.status.as_str(), row.reason.map(|r| r.as_str().to_owned())))
    }

    /// How often an order has entries of a kind in a cell.
    pub async fn count(&self, cell: &CellId, p: &Payload, kind: Kind) -> usize {
        let entries = self.entries(cell).await;
        entries.iter().filter(|e| e.id == p.order.into() && e.kind == kind).count()
    }

    /// Takes everything out of a partition, and acks it.
    pub async fn take(&self, partition: Partition) -> Vec<Bytes> {
        let mut consumer = self.log.consumer(partition).await.expect("a consumer");
        let mut frames = Vec::new();
        let wait = Duration::from_millis(60);
        while let Ok(next) = tokio::time::timeout(wait, consumer.next()).await {
            let delivery = next.expect("a delivery");
            consumer.ack(&delivery.id).await.expect("an ack");
            frames.push(delivery.frame);
        }
        frames
    }
}
