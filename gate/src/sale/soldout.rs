//! The sold-out short circuit: refuse by path, before the body is read, without Redis.
//!
//! The flag lives at most 250 ms without a fresh look from the script, and only together with a
//! filter of the buyers who have a field in the cell's b, tagged with the cell's `adds`, `inc` and
//! W: another value or a smaller W switches it off until the filter is built again. A buyer in the
//! filter goes the long way, so a replay gets its original answer after the sell-out too.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use cells::port::{CellError, CellResult, Cells, Mark};
use domain::{CellId, Identity};
use mutants::Mutant;
use tokio::time::Instant;

/// How long the flag is believed without a fresh look.
const FRESH: Duration = Duration::from_millis(250);
/// The most buyers of a filter; a cell with more goes the long way.
const MAX_BUYERS: usize = 4_000_000;
/// Buyers per scan call.
const PAGE: u32 = 1000;

struct Filter {
    adds: u64,
    inc: u64,
    watermark: u64,
    buyers: HashSet<u64>,
}

impl Filter {
    /// A buyer of whom the cell may know something goes the long way.
    fn knows(&self, buyer_hash: impl FnOnce() -> u64) -> bool {
        if mutants::on(Mutant::FlagNoFilter) {
            return false;
        }
        self.buyers.contains(&buyer_hash())
    }
}

struct SoldOutFlag {
    until: Instant,
    filter: std::sync::Arc<Filter>,
}

/// One cell's flag.
#[derive(Default)]
pub(crate) struct SoldOut {
    flag: ArcSwapOption<SoldOutFlag>,
    building: AtomicBool,
}

impl SoldOut {
    /// False when nobody can be refused right now.
    pub(crate) fn is_on(&self) -> bool {
        self.flag.load().is_some()
    }

    /// True when the buyer of this hash may be refused right now; the hash is asked for only when
    /// the flag is on.
    pub(crate) fn refuses(&self, buyer_hash: impl FnOnce() -> u64) -> bool {
        let flag = self.flag.load();
        flag.as_ref().is_some_and(|f| Instant::now() < f.until && !f.filter.knows(buyer_hash))
    }

    /// Takes a fresh look at the stock. True when a filter should be built.
    pub(crate) fn look(&self, mark: &Mark, refused: bool) -> bool {
        if mark.available > 0 || mark.inc == 0 {
            self.flag.store(None);
            return false;
        }
        let flag = self.flag.load_full();
        match flag {
            Some(f) if f.filter.fits(mark) => {
                let until = Instant::now() + FRESH;
                self.flag.store(Some(SoldOutFlag { until, filter: f.filter.clone() }.into()));
                false
            }
            _ => {
                self.flag.store(None);
                refused && !self.building.swap(true, Ordering::AcqRel)
            }
        }
    }

    /// Scans b and switches the flag on if nothing was added meanwhile.
    pub(crate) async fn build(&self, cells: &dyn Cells, identity: &Identity, cell: &CellId) {
        let _building = Building(&self.building);
        match scan(cells, identity, cell).await {
            Ok(Some(filter)) => {
                let until = Instant::now() + FRESH;
                self.flag.store(Some(SoldOutFlag { until, filter: filter.into() }.into()));
            }
            Ok(None) => {}
            // Everybody goes the long way, which is slower and as right.
            Err(e) => drop(view::failed::redis(e)),
        }
    }
}

/// One filter is built at a time, also after one whose build panicked.
struct Building<'a>(&'a AtomicBool);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Filter {
    fn fits(&self, mark: &Mark) -> bool {
        self.adds == mark.adds && self.inc == mark.inc && mark.watermark >= self.watermark
    }
}

/// The filter; `None` for a cell that is gone, has too many buyers, or has stock again.
async fn scan(cells: &dyn Cells, identity: &Identity, cell: &CellId) -> CellResult<Option<Filter>> {
    let Some(before) = cells.snapshot(cell).await? else { return Ok(None) };
    let mut buyers = HashSet::new();
    let mut cursor = 0;
    loop {
        let page = cells.scan_buyers(cell, cursor, PAGE).await?;
        for (buyer, _) in page.items {
            let broken = |e| CellError::Broken(cell.clone(), format!("a buyer's field: {e}"));
            buyers.insert(identity.buyer_hash(&cell.buyer(&buyer).map_err(broken)?));
        }
        if buyers.len() > MAX_BUYERS {
            return Ok(None);
        }
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    let Some(after) = cells.snapshot(cell).await? else { return Ok(None) };
    let mark = after.mark;
    let filter = Filter {
        adds: before.mark.adds,
        inc: before.mark.inc,
        watermark: before.totals.seq,
        buyers,
    };
    let seen = Mark { watermark: after.totals.seq, ..mark };
    Ok((filter.fits(&seen) && after.available() <= 0).then_some(filter))
}
