//! The row transaction (INV-5, INV-7, INV-8) and the reads of buyer shards.

use anyhow::{Context, Result, ensure};
use domain::order::{RejectReason, RowStatus};
use domain::{OrderId, Payload};
use store::port::{RowAsk, RowPage, RowState};

use super::make::{T_MS, row};
use super::subject::{Subject, same};

impl Subject {
    /// The rows of one buyer's orders.
    pub(super) async fn insert(&self, asks: &[RowAsk]) -> Result<Vec<RowState>> {
        let db = self.store.buyer_db(&asks[0].payload.buyer);
        Ok(self.store.rows(db, asks).await?)
    }
}

fn state(p: &Payload, status: RowStatus, reason: Option<RejectReason>, fresh: bool) -> RowState {
    RowState { order: p.order, status, reason, fresh }
}

pub(super) async fn inserted_once(s: &Subject) -> Result<()> {
    let cells = s.offer("rows", &[5, 5]).await?;
    let p = s.order("rows", "k1", &cells);
    let dead = RowAsk { rejected: Some(RejectReason::SoldOut), ..row(&p) };
    let pending = state(&p, RowStatus::Pending, None, true);
    // The same order twice in one batch, then again with another word about it: the first holds.
    let got = s.insert(&[row(&p), dead.clone()]).await?;
    let known = RowState { fresh: false, ..pending.clone() };
    same(got, vec![pending, known.clone()])?;
    same(s.insert(std::slice::from_ref(&dead)).await?, vec![known.clone()])?;
    let other = s.order("rows", "k2", &cells);
    let dead = RowAsk { payload: other.clone(), ..dead };
    let sold_out = state(&other, RowStatus::Rejected, Some(RejectReason::SoldOut), true);
    same(s.insert(&[dead]).await?, vec![sold_out])?;
    let db = s.store.order_db(p.order);
    same(db, s.store.buyer_db(&p.buyer))?;
    let nobody = OrderId::compose(p.campaign, p.order.shard(), 1, 2);
    let got = s.store.statuses(db, &[nobody, p.order]).await?;
    same(got, vec![None, Some(known)])?;
    whole(s, &p).await
}

/// Every field comes back.
async fn whole(s: &Subject, p: &Payload) -> Result<()> {
    let r = s.store.order(p.order).await?.context("the row")?;
    same((r.order, &r.buyer, r.key.as_ref()), (p.order, &p.buyer, p.key.as_ref()))?;
    same((r.status, r.reason, r.version), (RowStatus::Pending, None, 1))?;
    let lines = p.lines.iter().map(|l| (l.cell.offer.clone(), l.cell.bucket, l.qty, l.unit_minor));
    same(r.lines.clone(), lines.collect())?;
    same((r.currency.as_str(), r.amount), ("EUR", 500))?;
    same((r.metadata.as_str(), r.created_at), (p.metadata.as_str(), T_MS))?;
    same(r.expires_at, T_MS + p.window_ms)?;
    ensure!(r.updated_at > T_MS, "{r:?}");
    same(s.by_key(p).await?, Some(r))
}

pub(super) async fn key_conflict(s: &Subject) -> Result<()> {
    let cells = s.offer("conflict", &[5, 5]).await?;
    let first = s.order("conflict", "k", &cells[..1]);
    let second = s.order("conflict", "k", &cells[1..]);
    let third = s.order("conflict", "k", &cells);
    ensure!(first.order != second.order, "another content is another id");
    let lost = |p, fresh| state(p, RowStatus::Rejected, Some(RejectReason::KeyConflict), fresh);
    let got = s.insert(&[row(&first), row(&second)]).await?;
    same(got, vec![state(&first, RowStatus::Pending, None, true), lost(&second, true)])?;
    let got = s.insert(&[row(&third), row(&second), row(&first)]).await?;
    let known = state(&first, RowStatus::Pending, None, false);
    same(got, vec![lost(&third, true), lost(&second, false), known])?;
    let loser = s.store.order(second.order).await?.context("the loser's row")?;
    same((loser.key, loser.lines.len()), (None, 1))?;
    let owner = s.by_key(&first).await?;
    same(owner.map(|o| o.order), Some(first.order))
}

/// Bytes are compared as bytes: case and trailing spaces make another name.
pub(super) async fn exact_bytes(s: &Subject) -> Result<()> {
    let cells = s.offer("exact", &[9]).await?;
    let mut orders = Vec::new();
    for buyer in ["exact", "Exact", "exact ", "exäct", "exa\u{308}ct"] {
        for key in ["key", "Key"] {
            orders.push(s.order(buyer, key, &cells));
        }
    }
    for p in &orders {
        let got = s.insert(&[row(p)]).await?;
        same(got, vec![state(p, RowStatus::Pending, None, true)])?;
    }
    for p in &orders {
        let found = s.by_key(p).await?.context("by its key")?;
        same((found.order, found.buyer), (p.order, p.buyer.clone()))?;
    }
    let cell = &cells[0];
    s.decide(cell, &orders).await?;
    let head = s.store.head(cell).await?.context("head")?;
    let mut units = std::collections::HashMap::new();
    store::fold::buyer_units(&*s.store, cell, (0, head.seq), |_| true, &mut units).await?;
    same(units.len(), 5)?;
    same(units.values().sum::<i64>(), 9)
}

pub(super) async fn scanned(s: &Subject) -> Result<()> {
    let cells = s.offer("scan", &[9]).await?;
    let orders: Vec<Payload> = (0..7).map(|n| s.order("scan", &format!("k{n}"), &cells)).collect();
    s.insert(&orders.iter().map(row).collect::<Vec<_>>()).await?;
    let (db, offer) = (s.store.buyer_db(&orders[0].buyer), &cells[0].offer);
    let mut want: Vec<OrderId> = orders.iter().map(|p| p.order).collect();
    want.sort_unstable();
    // From right before the first: others may have a million rows here.
    let first = u128::from_be_bytes(want[0].0) - 1;
    let (mut got, mut after) = (Vec::new(), Some(OrderId(first.to_be_bytes())));
    while got.len() < want.len() {
        let page = s.store.scan_rows(db, offer, after, 3).await?;
        got.extend(page.rows.iter().map(|(r, _)| r.order));
        ensure!(page.rows.iter().all(|(_, key)| key.is_some()), "{page:?}");
        after = page.next;
        ensure!(after.is_some() || got.len() == want.len(), "the end after {got:?}");
    }
    same(got, want)?;
    let end = s.store.scan_rows(db, offer, Some(OrderId([0xff; 16])), 3).await?;
    same(end, RowPage { rows: vec![], next: None })
}
