//! held and b (INV-4): they change with every reserve, so they are compared in a moment in which
//! the cell stood still: the same counters before and after the scan of Redis. A busy cell is
//! looked at again in a later pass.
//!
//! A cell may have millions of buyers. One pass over the ledger, the holds and b fills a sketch of
//! fixed size that is zero where nothing differs; what is not is looked at again, name by name.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use cells::port::{CellView, Cells};
use domain::drift::DriftKind;
use domain::{CellId, Hold, invariant};
use store::fold::{buyer_units, moves};
use store::port::Moved;
use store::{CatalogRead, LedgerRead};
use view::{Drift, OperateError};

use crate::down::down;
use crate::metrics::METRICS;
use crate::scan::Scan;

/// Parts of a sketch: 16 bytes each.
const PARTS: usize = 16_384;
/// Buyers that are compared by name at once; more that differ are left to the next pass.
const NAMED: u64 = 250_000;
/// Buyers, or holds, in memory at once; where more crowd into the parts that were picked, the cell
/// is left for later.
const CROWD: usize = 2 * NAMED as usize;
/// Wrong buyers that one mend sets right; the next pass goes on.
const MOST_WRONG: usize = 50_000;
/// Tries to find the cell standing still; one, where it has more entries and holds than these.
const TRIES: usize = 5;
const LARGE: u64 = 100_000;

/// What a scan of a cell that stood still found wrong.
#[derive(Debug, Default)]
pub(crate) struct QuietDrift {
    /// Lines of the report.
    pub drift: Vec<Drift>,
    /// Buyers whose b is wrong, the first of them.
    pub buyers: Vec<String>,
    differ: usize,
    /// Parts that were left to the next pass.
    left: usize,
    first: Option<String>,
}

fn hash(salt: u8, name: &str) -> u64 {
    let mut h = DefaultHasher::new();
    (salt, name).hash(&mut h);
    h.finish()
}

fn part_of(name: &str) -> usize {
    hash(0, name) as usize % PARTS
}

/// What b has too much, of all buyers at once: in each part the sum of units times a hash of 128
/// bits. Where something differs a sum is 0 once in 2^80.
struct Sketch(Vec<u128>);

impl Sketch {
    fn new() -> Self {
        Self(vec![0; PARTS])
    }

    fn add(&mut self, name: &str, units: i64) {
        let by = u128::from(hash(1, name)) << 64 | u128::from(hash(2, name));
        if let Some(sum) = self.0.get_mut(part_of(name)) {
            *sum = sum.wrapping_add(by.wrapping_mul(i128::from(units) as u128));
        }
    }

    fn wrong(&self) -> Vec<usize> {
        self.0.iter().enumerate().filter(|(_, sum)| **sum != 0).map(|(n, _)| n).collect()
    }
}

/// The parts whose buyers are compared by name.
struct Picked(Vec<bool>);

impl Picked {
    /// As many of the wrong parts as have some [`NAMED`] buyers, of a cell with `size` entries and
    /// holds; how many are left out.
    fn of(wrong: &[usize], size: u64) -> (Self, usize) {
        let most = (PARTS as u64 * NAMED / size.max(1)).max(1) as usize;
        let mut picked = vec![false; PARTS];
        for n in wrong.iter().take(most) {
            if let Some(p) = picked.get_mut(*n) {
                *p = true;
            }
        }
        (Self(picked), wrong.len().saturating_sub(most))
    }

    fn has(&self, name: &str) -> bool {
        self.0.get(part_of(name)).is_some_and(|p| *p)
    }
}

/// The step.
pub(crate) struct Quiet {
    pub cells: Arc<dyn Cells>,
    pub scan: Scan,
    pub ledger: Arc<dyn LedgerRead>,
    pub catalog: Arc<dyn CatalogRead>,
    /// Held while the buyers of a large cell are in memory.
    pub large: Arc<tokio::sync::Mutex<()>>,
    /// Ledger entries and holds beyond which a cell is not compared.
    pub most: u64,
}

impl Quiet {
    /// Compares held and b; `None` when the cell never stood still, or is too large.
    pub(crate) async fn run(&self, cell: &CellId) -> Result<Option<QuietDrift>, OperateError> {
        for tried in 0..TRIES {
            let Some(before) = self.cells.snapshot(cell).await.map_err(down)? else {
                return Ok(None);
            };
            // Every buyer with a field in b has an entry or a hold, or had a hold.
            let size = before.totals.seq + before.holds;
            if size > self.most {
                METRICS.too_large.increment(1);
                tracing::debug!(%cell, size, "too large: held and b are not compared");
                return Ok(None);
            }
            // A large one is read for too long to be read again at once.
            if tried > 0 && size > LARGE {
                return Ok(None);
            }
            if let Some(wrong) = self.compare(cell, &before).await? {
                return Ok(Some(wrong.told(cell)));
            }
        }
        Ok(None)
    }

    /// `None` when it moved, or too many buyers crowd into a part.
    async fn compare(
        &self,
        cell: &CellId,
        before: &CellView,
    ) -> Result<Option<QuietDrift>, OperateError> {
        // Without a limit b only marks who has bought; there is nothing to compare.
        let mut sketch = (self.limited(cell).await? == Some(true)).then(Sketch::new);
        let (mut count, mut units) = (0, 0);
        let mut pages = self.scan.holds(cell);
        while let Some(page) = pages.next().await? {
            for hold in page {
                (count, units) = (count + 1, units + i64::from(hold.qty));
                if let (Some(sketch), Some(buyer)) = (&mut sketch, &hold.buyer) {
                    sketch.add(buyer.as_str(), -i64::from(hold.qty));
                }
            }
        }
        if let Some(sketch) = &mut sketch {
            self.scan.buyers(cell, |name, b| sketch.add(&name, b)).await?;
        }
        if count != before.holds || !self.stood_still(cell, before).await? {
            return Ok(None);
        }
        let mut wrong = QuietDrift::default();
        if units != before.held {
            wrong.held(cell, before.held, Sum { count, units });
        }
        let Some(mut sketch) = sketch else { return Ok(Some(wrong)) };
        // The long part, during which it may move: a ledger up to a position never changes.
        let seq = before.totals.seq;
        let sold = |m: Moved| sketch.add(&m.buyer, m.units.saturating_neg());
        moves(&*self.ledger, cell, 0, seq, sold).await.map_err(down)?;
        let parts = sketch.wrong();
        if parts.is_empty() {
            return Ok(Some(wrong));
        }
        let (picked, left) = Picked::of(&parts, seq + before.holds);
        wrong.left = left;
        let named = self.compare_named(cell, before, &picked, &mut wrong).await?;
        Ok(named.then_some(wrong))
    }

    async fn stood_still(&self, cell: &CellId, before: &CellView) -> Result<bool, OperateError> {
        let face = |v: &CellView| (v.totals, v.held, v.holds, v.mark.adds, v.mark.inc);
        let after = self.cells.snapshot(cell).await.map_err(down)?;
        Ok(after.is_some_and(|a| face(&a) == face(before)))
    }

    /// False when it moved, or the buyers of the parts are too many.
    async fn compare_named(
        &self,
        cell: &CellId,
        before: &CellView,
        picked: &Picked,
        wrong: &mut QuietDrift,
    ) -> Result<bool, OperateError> {
        let _alone = self.large.lock().await;
        let mut holds = BTreeMap::new();
        let mut pages = self.scan.holds(cell);
        while let Some(page) = pages.next().await? {
            for mut hold in page {
                if hold.buyer.as_ref().is_some_and(|b| picked.has(b.as_str())) {
                    (hold.payload, hold.att) = (Vec::new(), String::new());
                    holds.insert(hold.id, hold);
                }
            }
            if holds.len() > CROWD {
                METRICS.too_large.increment(1);
                return Ok(false);
            }
        }
        let mut b = HashMap::new();
        let mut crowd = false;
        self.scan
            .buyers(cell, |name, units| {
                crowd |= b.len() > CROWD;
                if !crowd && picked.has(&name) {
                    b.insert(name, units);
                }
            })
            .await?;
        if crowd {
            METRICS.too_large.increment(1);
            return Ok(false);
        }
        if !self.stood_still(cell, before).await? {
            return Ok(false);
        }
        let (mut sums, keep) = (HashMap::new(), |name: &str| picked.has(name));
        let stretch = (0, before.totals.seq);
        buyer_units(&*self.ledger, cell, stretch, keep, &mut sums).await.map_err(down)?;
        let holds: Vec<Hold> = holds.into_values().collect();
        wrong.compare(&holds, &b, &sums);
        Ok(true)
    }

    /// True when the offer has a limit per buyer, so that b counts; `None` without its row.
    pub(crate) async fn limited(&self, cell: &CellId) -> Result<Option<bool>, OperateError> {
        let offer = self.catalog.offer(&cell.offer).await.map_err(down)?;
        Ok(offer.map(|(o, _)| o.limit_per_buyer.is_some()))
    }
}

fn line(cell: &CellId, kind: DriftKind, ledger: String, redis: String) -> Drift {
    Drift { cell: cell.clone(), kind, ledger, redis, repair: kind.repair(), applied: false }
}

/// Holds that were seen.
struct Sum {
    count: u64,
    units: i64,
}

impl QuietDrift {
    fn held(&mut self, cell: &CellId, in_redis: i64, holds: Sum) {
        let ledger = format!("{} holds of {} units", holds.count, holds.units);
        self.drift.push(line(cell, DriftKind::Held, ledger, format!("held {in_redis}")));
    }

    /// The picked buyers: b is ledger plus holds.
    fn compare(&mut self, holds: &[Hold], b: &HashMap<String, i64>, sums: &HashMap<String, i64>) {
        let bad = invariant::buyers(b, sums, holds);
        self.differ += bad.len();
        self.first = self.first.take().or(bad.into_iter().next().map(|v| v.detail));
        let room = MOST_WRONG.saturating_sub(self.buyers.len());
        self.buyers.extend(wrong_buyers(holds, b, sums).into_iter().take(room));
    }

    fn told(mut self, cell: &CellId) -> Self {
        if let Some(first) = self.first.take() {
            let least = if self.left > 0 { "at least " } else { "" };
            let ledger = format!("{least}{} buyers differ", self.differ);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// b is what the ledger says of 1,000 buyers, in another order and in other steps.
    fn filled(wrong: &[(&str, i64)]) -> Sketch {
        let mut sketch = Sketch::new();
        for n in 0..1000i64 {
            let name = format!("buyer-{n}");
            sketch.add(&name, n);
            sketch.add(&name, -1);
            sketch.add(&name, 1 - n);
        }
        wrong.iter().for_each(|(name, units)| sketch.add(name, *units));
        sketch
    }

    #[test]
    fn a_sketch_is_zero_where_nothing_differs() {
        assert!(filled(&[]).wrong().is_empty());
        let far: Vec<String> = (0..100).map(|n| format!("buyer-{n}")).collect();
        for units in [1, -1, 7, i64::from(u32::MAX), i64::MAX, i64::MIN, 1 << 40] {
            for name in ["", "b", "buyer-7", "nobody", "ä\u{1f600}"] {
                let wrong = filled(&[(name, units)]).wrong();
                assert_eq!(wrong, [part_of(name)], "{name:?} {units}");
                // The sums of what differs may well be 0.
                let other = far.iter().find(|n| n.as_str() != name && part_of(n) != part_of(name));
                let other = other.map(String::as_str).unwrap_or_default();
                let wrong = filled(&[(name, units), (other, units.wrapping_neg())]).wrong();
                assert_eq!(wrong.len(), 2, "{name:?} {units}");
            }
        }
    }

    #[test]
    fn as_many_parts_are_picked_as_memory_allows() {
        let all: Vec<usize> = (0..PARTS).collect();
        for (wrong, size, picked) in [
            (&all[..0], 0, 0),
            (&all[..9], 0, 9),
            (&all[..], NAMED, PARTS),
            (&all[..], 4 * NAMED, PARTS / 4),
            (&all[..9], 4 * NAMED, 9),
            (&all[..], u64::MAX, 1),
        ] {
            let (chosen, left) = Picked::of(wrong, size);
            let is = chosen.0.iter().filter(|p| **p).count();
            assert_eq!((is, left), (picked, wrong.len() - picked), "{} {size}", wrong.len());
        }
    }
}
