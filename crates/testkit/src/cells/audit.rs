//! The end of a sequence: scans against the model, INV-4 against the ledger.
//!
//! For an offer without a limit b only marks known buyers, so only `held` is summed there.

use cells::port::Page;
use domain::{EntryId, Hold};
use std::collections::BTreeMap;

use super::ops::{buyer, id};
use super::sequence::{Bench, Run, same};

impl Run<'_> {
    /// The scans against the model, and INV-4 against the ledger.
    pub(super) async fn audit(&self) -> Result<(), String> {
        let mut holds = all_holds(&self.bench).await?;
        let buyers = all_buyers(&self.bench).await?;
        let Some(cell) = &self.model.cell else {
            return same(&(holds.len(), buyers.len()), &(0, 0));
        };
        let mut want: Vec<Hold> =
            cell.holds.values().chain(cell.fences.values()).cloned().collect();
        want.sort_by_key(|h| (h.id, h.qty));
        holds.sort_by_key(|h| (h.id, h.qty));
        if self.bench.clock.is_none() {
            holds.iter_mut().chain(&mut want).for_each(|h| h.t_ms = 0);
        }
        same(&holds, &want)?;
        let ids: Vec<EntryId> = (0..30).map(|i| id((i % 5, i / 5 % 3, i / 15)).into()).collect();
        let found = self.bench.cells.find_holds(&self.bench.cell, &ids).await;
        let found: Vec<_> =
            found.map_err(|e| e.to_string())?.iter().map(|h| h.as_ref().map(|h| h.id)).collect();
        let expected: Vec<_> = ids.iter().map(|i| cell.find(*i).map(|h| h.id)).collect();
        same(&found, &expected)?;
        let keys: Vec<_> = ids.iter().map(|i| i.key()).collect();
        let found = self.bench.cells.find_keys(&self.bench.cell, &keys).await;
        let expected: Vec<_> = keys.iter().map(|k| cell.under(*k)).collect();
        same(&found.map_err(|e| e.to_string())?, &expected)?;
        self.inv_4(&holds, &buyers).await
    }

    async fn inv_4(&self, holds: &[Hold], b: &BTreeMap<String, i64>) -> Result<(), String> {
        let Some(view) = self.model.snapshot(0) else {
            return Ok(());
        };
        let held: i64 = holds.iter().map(|h| i64::from(h.qty)).sum();
        same(&view.held, &held).map_err(|e| format!("INV-4 held: {e}"))?;
        let names: Vec<String> = (0..4).filter_map(|i| buyer((i, 0, 0))).collect();
        let got = self.bench.cells.buyers(&self.bench.cell, &names).await;
        let got = got.map_err(|e| e.to_string())?;
        let model = self.model.cell.as_ref();
        let want: Vec<_> = names.iter().map(|n| model.and_then(|c| c.units(n))).collect();
        same(&got, &want)?;
        if !self.limited {
            return Ok(());
        }
        let mut sum = self.buyers_at(view.totals.seq);
        for h in holds {
            if let Some(buyer) = &h.buyer {
                *sum.entry(buyer.as_str().to_owned()).or_default() += i64::from(h.qty);
            }
        }
        sum.retain(|_, q| *q != 0);
        let b: BTreeMap<_, _> = b.clone().into_iter().filter(|(_, q)| *q != 0).collect();
        same(&b, &sum).map_err(|e| format!("INV-4 b: {e}"))
    }
}

/// All holds of a cell by small pages, each once.
pub async fn all_holds(bench: &Bench<'_>) -> Result<Vec<Hold>, String> {
    let (mut cursor, mut all) = (0, Vec::new());
    loop {
        let page = bench.cells.scan_holds(&bench.cell, cursor, 3).await;
        let Page { cursor: next, items } = page.map_err(|e| e.to_string())?;
        all.extend(items.into_iter().filter(|h| !all.contains(h)).collect::<Vec<_>>());
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}

/// All of b by small pages.
pub async fn all_buyers(bench: &Bench<'_>) -> Result<BTreeMap<String, i64>, String> {
    let (mut cursor, mut all) = (0, BTreeMap::new());
    loop {
        let page = bench.cells.scan_buyers(&bench.cell, cursor, 3).await;
        let Page { cursor: next, items } = page.map_err(|e| e.to_string())?;
        all.extend(items);
        if next == 0 {
            return Ok(all);
        }
        cursor = next;
    }
}
