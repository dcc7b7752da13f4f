//! held and b (INV-4): they change with every reserve, so they are compared in a moment in which
//! the cell stood still: the same counters before and after the scan. A busy cell is looked at
//! again in a later pass.

use std::collections::{BTreeMap, HashMap};

use cells::port::CellView;
use domain::drift::DriftKind;
use domain::{CellId, Hold, invariant};
use store::fold::buyer_units;
use view::{Drift, OperateError};

use crate::{Reconciler, down};

/// b, and what the ledger says at W.
type Counts = (HashMap<String, i64>, HashMap<String, i64>);

/// Holds per scan call.
const PAGE: u32 = 500;
/// Holds and buyers beyond which a cell is not compared in one go.
pub(crate) const MOST: usize = 1_000_000;
/// Tries to find the cell standing still.
const TRIES: usize = 5;

/// What a scan of a cell that stood still found wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    /// Lines of the report.
    pub drift: Vec<Drift>,
    /// Ledger quantity at W of the buyers whose b is wrong.
    pub buyers: Vec<(String, i64)>,
}

impl Reconciler {
    /// All holds; `None` when there are too many.
    pub(crate) async fn holds_of(&self, cell: &CellId) -> Result<Option<Vec<Hold>>, OperateError> {
        // Sorted: what a pass does in which order is a function of what it sees.
        let mut by_id: BTreeMap<_, Hold> = BTreeMap::new();
        let mut cursor = 0;
        loop {
            let page = self.ports.cells.scan_holds(cell, cursor, PAGE).await.map_err(down)?;
            by_id.extend(page.items.into_iter().map(|h| (h.order, h)));
            if by_id.len() > MOST {
                return Ok(None);
            }
            cursor = page.cursor;
            if cursor == 0 {
                return Ok(Some(by_id.into_values().collect()));
            }
        }
    }

    /// Compares held and b; `None` when the cell never stood still.
    pub(crate) async fn check_quiet(&self, cell: &CellId) -> Result<Option<Wrong>, OperateError> {
        for _ in 0..TRIES {
            let Some(before) = self.ports.cells.snapshot(cell).await.map_err(down)? else {
                return Ok(None);
            };
            let Some(holds) = self.holds_of(cell).await? else { return Ok(None) };
            // Without a limit b only marks who has bought; there is nothing to compare.
            let limited = self.limited(cell).await? == Some(true);
            let b = if limited { self.buyers_of(cell).await? } else { None };
            let counts = match b {
                Some(b) => Some((b, self.sums(cell, before.totals.seq).await?)),
                None => None,
            };
            let after = self.ports.cells.snapshot(cell).await.map_err(down)?;
            if after.is_some_and(|a| stood_still(&before, &a)) {
                return Ok(Some(wrong(cell, &before, &holds, counts.as_ref())));
            }
        }
        Ok(None)
    }

    /// True when the offer has a limit per buyer, so that b counts; `None` without its row.
    pub(crate) async fn limited(&self, cell: &CellId) -> Result<Option<bool>, OperateError> {
        let offer = self.ports.store.offer(&cell.offer).await.map_err(down)?;
        Ok(offer.map(|(o, _)| o.limit_per_buyer.is_some()))
    }

    /// b; `None` when there are too many to compare (a part of them would only look wrong).
    async fn buyers_of(&self, cell: &CellId) -> Result<Option<HashMap<String, i64>>, OperateError> {
        let mut b = HashMap::new();
        let mut cursor = 0;
        loop {
            let page = self.ports.cells.scan_buyers(cell, cursor, PAGE).await.map_err(down)?;
            b.extend(page.items);
            cursor = page.cursor;
            if b.len() > MOST {
                return Ok(None);
            }
            if cursor == 0 {
                return Ok(Some(b));
            }
        }
    }

    /// Ledger units per buyer at a position.
    pub(crate) async fn sums(
        &self,
        cell: &CellId,
        seq: u64,
    ) -> Result<HashMap<String, i64>, OperateError> {
        let mut units = HashMap::new();
        buyer_units(&*self.ports.store, cell, (0, seq), &mut units).await.map_err(down)?;
        Ok(units)
    }
}

fn stood_still(a: &CellView, b: &CellView) -> bool {
    let face = |v: &CellView| (v.totals, v.held, v.holds, v.mark.adds, v.mark.inc);
    face(a) == face(b)
}

fn wrong(cell: &CellId, view: &CellView, holds: &[Hold], counts: Option<&Counts>) -> Wrong {
    let mut out = Wrong::default();
    let mut add = |kind: DriftKind, ledger: String, redis: String| {
        let (cell, repair) = (cell.clone(), kind.repair());
        out.drift.push(Drift { cell, kind, ledger, redis, repair, applied: false });
    };
    if !invariant::held(view.held, holds).is_empty() {
        let sum: i64 = holds.iter().map(|h| i64::from(h.qty)).sum();
        let redis = format!("held {}", view.held);
        add(DriftKind::Held, format!("{} holds of {sum} units", holds.len()), redis);
    }
    let Some((b, sums)) = counts else { return out };
    let bad = invariant::buyers(b, sums, holds);
    if let Some(first) = bad.first() {
        add(DriftKind::Buyers, format!("{} buyers differ", bad.len()), first.detail.clone());
        out.buyers = wrong_buyers(holds, b, sums);
    }
    out
}

/// The buyers whose b is not ledger plus holds, with what the ledger says.
fn wrong_buyers(
    holds: &[Hold],
    b: &HashMap<String, i64>,
    sums: &HashMap<String, i64>,
) -> Vec<(String, i64)> {
    let mut want: HashMap<&str, i64> = sums.iter().map(|(n, q)| (n.as_str(), *q)).collect();
    for hold in holds {
        if let Some(buyer) = &hold.buyer {
            *want.entry(buyer.as_str()).or_default() += i64::from(hold.qty);
        }
    }
    b.keys().for_each(|n| {
        want.entry(n).or_default();
    });
    let differs = |n: &str, q: i64| b.get(n).copied().unwrap_or(0) != q;
    let want: BTreeMap<&str, i64> = want.into_iter().filter(|(n, q)| differs(n, *q)).collect();
    want.into_keys().map(|n| (n.to_owned(), sums.get(n).copied().unwrap_or(0))).collect()
}
