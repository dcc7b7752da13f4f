//! Units of each buyer at a position of a ledger, folded from its claims and releases.
//!
//! No table keeps them: what a rebuild or a check needs once would cost each order a row. A fold
//! reads the ledger once, in stretches, and can be carried on from where it ended, since what is
//! before a position never changes.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use domain::CellId;

use crate::error::StoreResult;
use crate::port::{LedgerRead, MAX_STRETCH, Moved};

/// Reads what claims and releases in `from + 1 ..= until` did, in the order of the ledger.
pub async fn moves(
    store: &(impl LedgerRead + ?Sized),
    cell: &CellId,
    mut from: u64,
    until: u64,
    mut each: impl FnMut(Moved) + Send,
) -> StoreResult<()> {
    while from < until {
        let to = until.min(from + MAX_STRETCH);
        store.units(cell, from, to).await?.into_iter().for_each(&mut each);
        from = to;
    }
    Ok(())
}

/// Carries a fold of the buyers that are kept on from position `from` to `until`. A buyer whose
/// units fell to 0 is listed too.
pub async fn buyer_units(
    store: &(impl LedgerRead + ?Sized),
    cell: &CellId,
    stretch: (u64, u64),
    keep: impl Fn(&str) -> bool + Send,
    units: &mut HashMap<String, i64>,
) -> StoreResult<()> {
    moves(store, cell, stretch.0, stretch.1, move |moved| {
        if keep(&moved.buyer) {
            *units.entry(moved.buyer).or_default() += moved.units;
        }
    })
    .await
}

/// The same of so many buyers that at most `most` are in memory at once: those whose hash is at
/// least `from`, up to one that the ledger decides. Answers them, and where the next part begins;
/// `None` after the last one. The first part begins at 0; each reads the ledger up to `until` once.
pub async fn part_of_buyers(
    store: &(impl LedgerRead + ?Sized),
    cell: &CellId,
    until: u64,
    from: u64,
    most: usize,
) -> StoreResult<(HashMap<String, i64>, Option<u64>)> {
    let (mut units, mut last) = (HashMap::new(), u64::MAX);
    moves(store, cell, 0, until, |moved| {
        if !(from..=last).contains(&hash(&moved.buyer)) {
            return;
        }
        *units.entry(moved.buyer).or_default() += moved.units;
        while units.len() > most && last > from {
            last = from + (last - from) / 2;
            units.retain(|name, _| hash(name) <= last);
        }
    })
    .await?;
    Ok((units, last.checked_add(1)))
}

fn hash(name: &str) -> u64 {
    let mut h = DefaultHasher::new();
    name.hash(&mut h);
    h.finish()
}
