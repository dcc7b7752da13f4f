//! Reads of cell shards: positions, pages, sums.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use domain::{CellId, Giveback, Totals, invariant};

use store::fold::{buyer_units, part_of_buyers};
use store::port::MAX_STRETCH;

use super::subject::{Subject, permanent, same, transient};

pub(super) async fn pages(s: &Subject) -> Result<()> {
    let cell = &s.offer("pages", &[4]).await?[0];
    s.decide(cell, &s.orders("pages", 6, cell)).await?;
    let (all, head) = s.audit(cell).await?;
    same(all.len(), 8)?;
    same(s.store.head(cell).await?, Some(head))?;
    same(s.store.at(cell, 0).await?, Some(Totals::default()))?;
    for e in &all {
        same(s.store.at(cell, e.seq).await?, Some(e.totals()))?;
    }
    same(s.store.at(cell, 9).await?, None)?;
    for seq in [0, 3, 8, 9] {
        let proven = s.store.locked(cell, seq).await?.context("a cell")?;
        same((proven.head, proven.at), (head, s.store.at(cell, seq).await?))?;
    }
    same(s.store.locked(&cell.offer.cell(9), 0).await?, None)?;
    let page = s.store.after(cell, 3, 2).await?.context("page")?;
    same((page.base, page.head), (Some(all[2].totals()), head))?;
    same(page.entries, all[3..5].to_vec())?;
    let end = s.store.after(cell, 8, 2).await?.context("page")?;
    same((end.base, end.entries.len()), (Some(head), 0))?;
    let beyond = s.store.after(cell, 9, 2).await?.context("page")?;
    same((beyond.base, beyond.entries.len()), (None, 0))
}

pub(super) async fn folded(s: &Subject) -> Result<()> {
    let cell = &s.offer("units", &[50]).await?[0];
    let one = |n: usize| {
        s.order(&format!("units-{}", n % 5), &format!("k{n}"), std::slice::from_ref(cell))
    };
    let orders: Vec<_> = (0..12).map(one).collect();
    s.decide(cell, &orders).await?;
    // Buyer 4 has two claims; both go back, and the buyer stays listed with 0.
    let back = [orders[4].order, orders[9].order, orders[0].order];
    let back: Vec<Giveback> = back.into_iter().map(Giveback::release).collect();
    s.store.give_back(cell, &back).await?;
    let (entries, head) = s.audit(cell).await?;
    let mut carried = HashMap::new();
    let mut from = 0;
    for seq in [0, 2, 7, 14, head.seq] {
        let want = invariant::buyer_sums(&entries[..seq as usize]);
        let mut whole = HashMap::new();
        buyer_units(&*s.store, cell, (0, seq), |_| true, &mut whole).await?;
        same(&whole, &want)?;
        buyer_units(&*s.store, cell, (from, seq), |_| true, &mut carried).await?;
        same(&carried, &want)?;
        from = seq;
        for most in [1, 2, 3, 100] {
            same(in_parts(s, cell, seq, most).await?, want.clone())?;
        }
    }
    same(s.store.units(cell, head.seq, head.seq).await?, vec![])?;
    transient(s.store.units(cell, 0, head.seq + 1).await)?;
    transient(s.store.units(&cell.offer.cell(9), 0, 100).await)?;
    same(s.store.last(cell).await?, Some(head))?;
    same(s.store.last(&cell.offer.cell(9)).await?, None)?;
    permanent(s.store.units(cell, 0, MAX_STRETCH + 1).await)
}

/// The fold of all buyers, `most` of them in memory at once.
async fn in_parts(
    s: &Subject,
    cell: &CellId,
    seq: u64,
    most: usize,
) -> Result<HashMap<String, i64>> {
    let (mut all, mut next) = (HashMap::new(), Some(0));
    while let Some(from) = next {
        let (part, rest) = part_of_buyers(&*s.store, cell, seq, from, most).await?;
        ensure!(part.len() <= most, "{} buyers at once", part.len());
        ensure!(part.keys().all(|name| !all.contains_key(name)), "a buyer is in two parts");
        all.extend(part);
        next = rest;
    }
    Ok(all)
}

pub(super) async fn cells(s: &Subject) -> Result<()> {
    let mut want: Vec<CellId> = s.offer("cells", &[1; 12]).await?;
    // As text, the order of the key: `.10` is before `.2`.
    want.sort_by_key(ToString::to_string);
    let db = s.store.cell_db(&want[0].offer);
    // From right before the first: others may have ten thousand cells here.
    let (mut got, mut after) = (Vec::new(), s.offer_id("cell").cell(63));
    while got.len() < want.len() {
        let page = s.store.cells(db, Some(&after), 5).await?;
        after = page.last().context("the end")?.clone();
        got.extend(page.into_iter().filter(|c| c.offer == want[0].offer));
    }
    same(got, want)?;
    ensure!(s.store.ping(db).await, "ping");
    ensure!(!s.store.ping(999).await, "ping of a database that is not there");
    Ok(())
}
