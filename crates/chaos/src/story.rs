//! An order's whole story from all sides: what the client saw, the ledger, the row, the hold.

use std::fmt::Write;

use cells::port::Cells;
use domain::{CellId, OfferId, OrderId};
use store::{LedgerRead, OrdersRead, SqlStore};

/// The most holds and ledger entries that are looked through for one story.
const PAGE: u64 = 1000;

/// Tells it; what cannot be read says so instead.
pub(crate) async fn tell(
    store: &SqlStore,
    cells: &dyn Cells,
    (offer, order): (&str, &str),
    history: &[&str],
) -> String {
    let mut out = format!("story of {order}\n");
    for line in history {
        let _ = writeln!(out, "  client  {line}");
    }
    let ids = (offer.parse::<OfferId>(), order.parse::<OrderId>());
    let (Ok(offer), Ok(order)) = ids else {
        out.push_str("  nobody ever named its order\n");
        return out;
    };
    match store.order(order).await {
        Ok(row) => {
            let _ = writeln!(out, "  row     {row:?}");
        }
        Err(e) => {
            let _ = writeln!(out, "  row     cannot be read: {e}");
        }
    }
    let cell = offer.cell(0);
    ledger(store, &cell, order, &mut out).await;
    hold(cells, &cell, order, &mut out).await;
    out
}

async fn ledger(store: &SqlStore, cell: &CellId, order: OrderId, out: &mut String) {
    let mut after = 0;
    loop {
        let page = match store.after(cell, after, PAGE).await {
            Ok(Some(page)) => page,
            Ok(None) => {
                out.push_str("  ledger  has no such cell\n");
                return;
            }
            Err(e) => {
                let _ = writeln!(out, "  ledger  cannot be read: {e}");
                return;
            }
        };
        for entry in page.entries.iter().filter(|e| e.id == order.into()) {
            let _ = writeln!(out, "  ledger  {entry:?}");
        }
        match page.entries.last() {
            Some(last) => after = last.seq,
            None => return,
        }
    }
}

async fn hold(cells: &dyn Cells, cell: &CellId, order: OrderId, out: &mut String) {
    match cells.snapshot(cell).await {
        Ok(view) => {
            let _ = writeln!(out, "  view    {view:?}");
        }
        Err(e) => {
            let _ = writeln!(out, "  view    cannot be read: {e}");
        }
    }
    let mut cursor = 0;
    loop {
        let Ok(page) = cells.scan_holds(cell, cursor, 1000).await else {
            out.push_str("  holds   cannot be read\n");
            return;
        };
        for hold in page.items.iter().filter(|h| h.id == order.into()) {
            let _ = writeln!(out, "  hold    {hold:?}");
        }
        cursor = page.cursor;
        if cursor == 0 {
            return;
        }
    }
}
