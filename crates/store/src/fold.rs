//! Units of each buyer at a position of a ledger, folded from its claims and releases.
//!
//! No table keeps them: what a rebuild or a check needs once would cost each order a row. A fold
//! reads the ledger once, in stretches, and can be carried on from where it ended, since what is
//! before a position never changes.

use std::collections::HashMap;

use domain::CellId;

use crate::error::StoreResult;
use crate::port::{Ledger, MAX_STRETCH};

/// Carries a fold of the buyers that are kept on from position `from` to `until`. A buyer whose
/// units fell to 0 is listed too.
pub async fn buyer_units(
    store: &(impl Ledger + ?Sized),
    cell: &CellId,
    (mut from, until): (u64, u64),
    keep: impl Fn(&str) -> bool + Send,
    units: &mut HashMap<String, i64>,
) -> StoreResult<()> {
    while from < until {
        let to = until.min(from + MAX_STRETCH);
        for moved in store.units(cell, from, to).await?.into_iter().filter(|m| keep(&m.buyer)) {
            *units.entry(moved.buyer).or_default() += moved.units;
        }
        from = to;
    }
    Ok(())
}
