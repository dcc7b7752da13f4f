//! The holds and buyers of a cell, page by page: a cell may have millions, and only a page of them
//! is ever in memory.
//!
//! A scan shows an element that is there all the time at least once; while Redis rehashes it may
//! show one twice, so what is done with a hold must be harmless when it is done again.

use std::sync::Arc;

use cells::port::Cells;
use domain::{CellId, Hold};
use view::OperateError;

use crate::down::down;

/// Holds, or buyers, per scan call (a hint; a small hash comes whole).
const PAGE: u32 = 500;

/// A walk over the holds of one cell.
pub(crate) struct Holds<'a> {
    cells: &'a dyn Cells,
    cell: &'a CellId,
    /// `None` at the end.
    cursor: Option<u64>,
}

impl Holds<'_> {
    /// The next page, by order id; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Hold>>, OperateError> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let page = self.cells.scan_holds(self.cell, cursor, PAGE).await.map_err(down)?;
        self.cursor = (page.cursor != 0).then_some(page.cursor);
        let mut items = page.items;
        // Sorted: what a pass does in which order is a function of what it sees.
        items.sort_unstable_by_key(|h| h.id);
        items.dedup_by_key(|h| h.id);
        Ok(Some(items))
    }
}

/// What a cell holds.
#[derive(Clone)]
pub(crate) struct Scan {
    pub cells: Arc<dyn Cells>,
}

impl Scan {
    /// A walk over the holds of a cell, from the start.
    pub(crate) fn holds<'a>(&'a self, cell: &'a CellId) -> Holds<'a> {
        Holds { cells: &*self.cells, cell, cursor: Some(0) }
    }

    /// All fields of b: buyers with their units.
    pub(crate) async fn buyers(
        &self,
        cell: &CellId,
        mut each: impl FnMut(String, i64) + Send,
    ) -> Result<(), OperateError> {
        let mut cursor = 0;
        loop {
            let page = self.cells.scan_buyers(cell, cursor, PAGE).await.map_err(down)?;
            page.items.into_iter().for_each(|(name, units)| each(name, units));
            cursor = page.cursor;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
