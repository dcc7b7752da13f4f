//! held and b (INV-4): they change with every reserve, so they are compared in a moment in which
//! the cell stood still: the same counters before and after the scan. A busy cell is looked at
//! again in a later pass.
//!
//! A cell may have millions of buyers. They are compared in shares, each with one pass over the
//! ledger and over the cell: memory is that of a share. One large cell at a time.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

use cells::port::CellView;
use domain::drift::DriftKind;
use domain::{CellId, Hold, invariant};
use store::fold::buyer_units;
use view::{Drift, OperateError};

use crate::{Reconciler, down, metrics};

/// Buyers per scan call.
const PAGE: u32 = 500;
/// Entries and holds that make one more share.
const STEP: u64 = 250_000;
/// Buyers, or holds, of the cell in one share; where more crowd into one, the cell is left for
/// later.
const CROWD: usize = 2 * STEP as usize;
/// A cell with fewer entries and holds is compared beside others.
const SMALL: u64 = 5000;
/// Wrong buyers that one mend sets right; the next pass goes on.
const MOST_WRONG: usize = 50_000;
/// Tries to find the cell standing still.
const TRIES: usize = 5;

/// What a scan of a cell that stood still found wrong.
#[derive(Debug, Default)]
pub(crate) struct Wrong {
    /// Lines of the report.
    pub drift: Vec<Drift>,
    /// Buyers whose b is wrong, the first of them.
    pub buyers: Vec<String>,
    differ: usize,
    first: Option<String>,
}

/// One of the equal parts that the buyers of a cell are looked at in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    n: u64,
    of: u64,
}

impl Share {
    /// The shares of a cell with this many entries.
    pub fn all(entries: u64) -> impl Iterator<Item = Share> {
        let of = entries / STEP + 1;
        (0..of).map(move |n| Share { n, of })
    }

    fn has(self, name: &str) -> bool {
        let mut h = DefaultHasher::new();
        name.hash(&mut h);
        h.finish() % self.of == self.n
    }
}

/// The holds of a cell: how many, their units, and those of a share of its buyers.
#[derive(Default)]
struct Held {
    count: u64,
    units: i64,
    of_share: BTreeMap<domain::OrderId, Hold>,
}

impl Reconciler {
    /// Compares held and b; `None` when the cell never stood still, or is too large.
    pub(crate) async fn check_quiet(&self, cell: &CellId) -> Result<Option<Wrong>, OperateError> {
        for _ in 0..TRIES {
            let Some(before) = self.ports.cells.snapshot(cell).await.map_err(down)? else {
                return Ok(None);
            };
            // Every buyer with a field in b has an entry or a hold, or had a hold.
            let size = before.totals.seq + before.holds;
            if size > self.settings.compare_most {
                metrics::too_large();
                tracing::debug!(%cell, size, "too large: held and b are not compared");
                return Ok(None);
            }
            let large = if size > SMALL { Some(self.large.lock().await) } else { None };
            let Some(wrong) = self.compare_quiet(cell, &before).await? else { return Ok(None) };
            drop(large);
            let after = self.ports.cells.snapshot(cell).await.map_err(down)?;
            if let Some(wrong) = wrong
                && after.is_some_and(|a| stood_still(&before, &a))
            {
                return Ok(Some(wrong.told(cell)));
            }
        }
        Ok(None)
    }

    /// `None` when it is too large, `Some(None)` when it moved.
    async fn compare_quiet(
        &self,
        cell: &CellId,
        before: &CellView,
    ) -> Result<Option<Option<Wrong>>, OperateError> {
        // Without a limit b only marks who has bought; there is nothing to compare.
        let limited = self.limited(cell).await? == Some(true);
        let mut wrong = Wrong::default();
        let (seq, mut first) = (before.totals.seq, true);
        for share in Share::all(seq + before.holds) {
            let share = limited.then_some(share);
            let Some(held) = self.held_of(cell, share).await? else { return Ok(None) };
            if held.count != before.holds {
                return Ok(Some(None));
            }
            if std::mem::take(&mut first) && held.units != before.held {
                wrong.held(cell, before.held, &held);
            }
            let Some(share) = share else { break };
            let sums = self.sums_of(cell, seq, share).await?;
            let Some(b) = self.buyers_of(cell, share).await? else { return Ok(None) };
            let holds: Vec<Hold> = held.of_share.into_values().collect();
            wrong.compare(&holds, &b, &sums);
        }
        Ok(Some(Some(wrong)))
    }

    /// All holds counted, those of a share kept without their bytes; `None` when it has too many.
    async fn held_of(
        &self,
        cell: &CellId,
        share: Option<Share>,
    ) -> Result<Option<Held>, OperateError> {
        let mut out = Held::default();
        let mut pages = self.holds_of(cell);
        while let Some(page) = pages.next().await? {
            for mut hold in page {
                out.count += 1;
                out.units += i64::from(hold.qty);
                let Some(share) = share else { continue };
                if hold.buyer.as_ref().is_some_and(|b| share.has(b.as_str())) {
                    (hold.payload, hold.att) = (Vec::new(), String::new());
                    out.of_share.insert(hold.order, hold);
                }
            }
            if out.of_share.len() > CROWD {
                metrics::too_large();
                return Ok(None);
            }
        }
        Ok(Some(out))
    }

    /// True when the offer has a limit per buyer, so that b counts; `None` without its row.
    pub(crate) async fn limited(&self, cell: &CellId) -> Result<Option<bool>, OperateError> {
        let offer = self.ports.store.offer(&cell.offer).await.map_err(down)?;
        Ok(offer.map(|(o, _)| o.limit_per_buyer.is_some()))
    }

    /// b of a share; `None` when there are too many to compare (a part of them would only look
    /// wrong).
    async fn buyers_of(
        &self,
        cell: &CellId,
        share: Share,
    ) -> Result<Option<HashMap<String, i64>>, OperateError> {
        let mut b = HashMap::new();
        let mut cursor = 0;
        loop {
            let page = self.ports.cells.scan_buyers(cell, cursor, PAGE).await.map_err(down)?;
            b.extend(page.items.into_iter().filter(|(name, _)| share.has(name)));
            cursor = page.cursor;
            if b.len() > CROWD {
                metrics::too_large();
                return Ok(None);
            }
            if cursor == 0 {
                return Ok(Some(b));
            }
        }
    }

    /// Ledger units at a position of the buyers of a share, folded in one pass over the ledger.
    pub(crate) async fn sums_of(
        &self,
        cell: &CellId,
        seq: u64,
        share: Share,
    ) -> Result<HashMap<String, i64>, OperateError> {
        let mut sums = HashMap::new();
        let keep = |name: &str| share.has(name);
        buyer_units(&*self.ports.store, cell, (0, seq), keep, &mut sums).await.map_err(down)?;
        Ok(sums)
    }
}

fn stood_still(a: &CellView, b: &CellView) -> bool {
    let face = |v: &CellView| (v.totals, v.held, v.holds, v.mark.adds, v.mark.inc);
    face(a) == face(b)
}

fn line(cell: &CellId, kind: DriftKind, ledger: String, redis: String) -> Drift {
    Drift { cell: cell.clone(), kind, ledger, redis, repair: kind.repair(), applied: false }
}

impl Wrong {
    fn held(&mut self, cell: &CellId, in_redis: i64, held: &Held) {
        let ledger = format!("{} holds of {} units", held.count, held.units);
        self.drift.push(line(cell, DriftKind::Held, ledger, format!("held {in_redis}")));
    }

    /// One share: b is ledger plus holds.
    fn compare(&mut self, holds: &[Hold], b: &HashMap<String, i64>, sums: &HashMap<String, i64>) {
        let bad = invariant::buyers(b, sums, holds);
        self.differ += bad.len();
        self.first = self.first.take().or(bad.into_iter().next().map(|v| v.detail));
        let room = MOST_WRONG.saturating_sub(self.buyers.len());
        self.buyers.extend(wrong_buyers(holds, b, sums).into_iter().take(room));
    }

    fn told(mut self, cell: &CellId) -> Self {
        if let Some(first) = self.first.take() {
            let ledger = format!("{} buyers differ", self.differ);
            self.drift.push(line(cell, DriftKind::Buyers, ledger, first));
        }
        self
    }
}

/// The buyers whose b is not ledger plus holds.
fn wrong_buyers(
    holds: &[Hold],
    b: &HashMap<String, i64>,
    sums: &HashMap<String, i64>,
) -> Vec<String> {
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
    let mut wrong: Vec<&str> =
        want.into_iter().filter(|(n, q)| differs(n, *q)).map(|(n, _)| n).collect();
    wrong.sort_unstable();
    wrong.into_iter().map(str::to_owned).collect()
}
