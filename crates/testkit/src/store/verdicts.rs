//! The verdict transaction (INV-1, INV-2) and the list of verdicts whose rows may be missing.

use anyhow::{Context, Result, ensure};
use domain::frame::Mode;
use domain::kept::Kept;
use domain::{CellId, EntryId, Kind, OrderId, Payload};
use store::port::{CellAsks, CellVerdicts, Skipped};

use super::make::{T_MS, ask, asks, row, sealed};
use super::subject::{Subject, permanent, same};

impl Subject {
    pub(super) fn orders(&self, name: &str, n: usize, cell: &CellId) -> Vec<Payload> {
        let one = |i| self.order(&format!("{name}-{i}"), "k", std::slice::from_ref(cell));
        (0..n).map(one).collect()
    }

    pub(super) async fn decide(&self, cell: &CellId, orders: &[Payload]) -> Result<CellVerdicts> {
        let mut out = self.store.verdicts(&[asks(cell, orders)]).await?;
        out.pop().context("no answer for the cell")
    }

    async fn decide_as(&self, cell: &CellId, p: &Payload, mode: Mode) -> Result<(Kind, bool)> {
        let batch = [CellAsks { cell: cell.clone(), asks: vec![ask(p, mode)] }];
        let out = self.store.verdicts(&batch).await?;
        let v = out[0].verdicts.first().context("no verdict")?;
        Ok((v.kind, v.fresh))
    }
}

pub(super) fn kinds(v: &CellVerdicts) -> Vec<(Kind, bool)> {
    v.verdicts.iter().map(|v| (v.kind, v.fresh)).collect()
}

pub(super) async fn until_full(s: &Subject) -> Result<()> {
    let cell = &s.offer("full", &[3]).await?[0];
    let orders = s.orders("full", 5, cell);
    let got = s.decide(cell, &orders).await?;
    let (claim, reject) = ((Kind::Claim, true), (Kind::Reject, true));
    same(kinds(&got), vec![claim, claim, claim, reject, reject])?;
    let prev = got.prev.context("prev")?;
    same((prev.seq, prev.supply, prev.net), (2, 3, 0))?;
    same(got.entries.iter().map(|e| e.seq).collect::<Vec<_>>(), vec![3, 4, 5, 6, 7])?;
    let (entries, head) = s.audit(cell).await?;
    same(entries[2..].to_vec(), got.entries)?;
    same((head.seq, head.supply, head.net), (7, 3, 3))
}

pub(super) async fn repeated(s: &Subject) -> Result<()> {
    let cell = &s.offer("repeat", &[2]).await?[0];
    let orders = s.orders("repeat", 3, cell);
    let first = s.decide(cell, &orders).await?;
    let again = s.decide(cell, &orders).await?;
    ensure!(again.entries.is_empty() && again.unrowed.is_none(), "a repeat wrote {again:?}");
    for (a, b) in first.verdicts.iter().zip(&again.verdicts) {
        same((a.kind, a.seq, b.fresh), (b.kind, b.seq, false))?;
    }
    let ids: Vec<_> = orders.iter().map(|o| o.order).collect();
    let asked: Vec<_> = ids.iter().map(|o| EntryId::from(*o)).collect();
    let found = s.store.find_verdicts(cell, &asked).await?;
    for ((found, verdict), order) in found.into_iter().zip(&again.verdicts).zip(&orders) {
        same(found, Some(*verdict))?;
        let kept = s.store.kept(cell, verdict.seq).await?;
        ensure!(
            kept.contains(&Kept { seq: verdict.seq, mode: Mode::Full, sealed: sealed(order) }),
            "{kept:?}"
        );
    }
    for order in &ids {
        same(s.store.verdict_under(cell, order.key()).await?, Some(*order))?;
    }
    let stranger = s.order("repeat-x", "k", std::slice::from_ref(cell)).order;
    same(s.store.find_verdicts(cell, &[stranger.into()]).await?, vec![None])?;
    same(s.store.verdict_under(cell, stranger.key()).await?, None)?;
    // Of two contents of one key the claimed one, however the ids are ordered.
    let claimed = ids.iter().zip(&again.verdicts).filter(|(_, v)| v.kind == Kind::Claim);
    for (order, _) in claimed {
        for content in [[0; 4], [255; 4]] {
            let other = Payload { order: OrderId::join(order.key(), content), ..orders[0].clone() };
            let refused = s.decide(cell, &[other]).await?;
            same(refused.verdicts[0].kind, Kind::Reject)?;
        }
        same(s.store.verdict_under(cell, order.key()).await?, Some(*order))?;
    }
    s.audit(cell).await.map(drop)
}

/// Batches that know none, some and all of their orders, in every sequence.
pub(super) async fn known_and_new(s: &Subject) -> Result<()> {
    let cell = &s.offer("known", &[9]).await?[0];
    let one = |n| s.order("known", &format!("k{n}"), std::slice::from_ref(cell));
    let orders: Vec<Payload> = (0..9).map(one).collect();
    let (old, new) = ((Kind::Claim, false), (Kind::Claim, true));
    let batches = [
        (0..2, vec![new, new]),
        (2..3, vec![new]),
        (1..5, vec![old, old, new, new]),
        (4..6, vec![old, new]),
        (0..6, vec![old; 6]),
        (6..8, vec![new, new]),
        (7..9, vec![old, new]),
    ];
    for (range, want) in batches {
        let rows: Vec<_> = orders[range.clone()].iter().map(row).collect();
        let rows = s.insert(&rows).await?;
        let fresh: Vec<bool> = rows.iter().map(|r| r.fresh).collect();
        same(fresh, want.iter().map(|w| w.1).collect())?;
        same(kinds(&s.decide(cell, &orders[range]).await?), want)?;
    }
    let (entries, head) = s.audit(cell).await?;
    same((entries.len(), head.net), (9 + 2, 9))
}

pub(super) async fn aborts(s: &Subject) -> Result<()> {
    let cell = &s.offer("abort", &[5]).await?[0];
    let orders = s.orders("abort", 2, cell);
    same(s.decide_as(cell, &orders[0], Mode::Abort).await?, (Kind::Reject, true))?;
    same(s.decide_as(cell, &orders[0], Mode::Full).await?, (Kind::Reject, false))?;
    same(s.decide_as(cell, &orders[1], Mode::Full).await?, (Kind::Claim, true))?;
    same(s.decide_as(cell, &orders[1], Mode::Abort).await?, (Kind::Claim, false))?;
    let (_, head) = s.audit(cell).await?;
    same((head.seq, head.net), (4, 1))
}

pub(super) async fn one_order_twice_in_a_batch(s: &Subject) -> Result<()> {
    let cell = &s.offer("twice", &[1]).await?[0];
    let mut orders = s.orders("twice", 2, cell);
    orders.insert(1, orders[0].clone());
    orders.push(orders[2].clone());
    let got = s.decide(cell, &orders).await?;
    let (claim, reject) = (Kind::Claim, Kind::Reject);
    same(kinds(&got), vec![(claim, true), (claim, false), (reject, true), (reject, false)])?;
    same(got.entries.len(), 2)?;
    s.audit(cell).await.map(drop)
}

pub(super) async fn several_cells(s: &Subject) -> Result<()> {
    let cells = s.offer("several", &[2, 1, 4]).await?;
    let carts: Vec<Payload> =
        (0..3).map(|n| s.order(&format!("several-{n}"), "k", &cells)).collect();
    // Not in cell order: the locks are taken in order all the same.
    let batch = [asks(&cells[2], &carts), asks(&cells[0], &carts), asks(&cells[1], &carts)];
    let got = s.store.verdicts(&batch).await?;
    let order: Vec<&CellId> = got.iter().map(|c| &c.cell).collect();
    same(order, vec![&cells[2], &cells[0], &cells[1]])?;
    let claims = |c: &CellVerdicts| c.verdicts.iter().filter(|v| v.kind == Kind::Claim).count();
    same(got.iter().map(claims).collect::<Vec<_>>(), vec![3, 2, 1])?;
    for (cell, net) in cells.iter().zip([2, 1, 3]) {
        same(s.audit(cell).await?.1.net, net)?;
    }
    // All cells of a call live on one database.
    let home = s.store.cell_db(&cells[0].offer);
    let mut others = (0..200).map(|n| s.offer_id(&format!("away{n}")).cell(0));
    match others.find(|c| s.store.cell_db(&c.offer) != home) {
        Some(away) => permanent(s.store.verdicts(&[asks(&cells[0], &[]), asks(&away, &[])]).await),
        None => same(s.store.databases(), 1),
    }
}

pub(super) async fn missing_cell(s: &Subject) -> Result<()> {
    let cells = s.offer("present", &[1]).await?;
    let missing = cells[0].offer.cell(9);
    let order = s.order("missing", "k", &[cells[0].clone(), missing.clone()]);
    let one = std::slice::from_ref(&order);
    let got = s.store.verdicts(&[asks(&missing, one), asks(&cells[0], one)]).await?;
    same(got[0].skipped, Some(Skipped::NoCell))?;
    same(s.store.kept(&missing, 3).await?, vec![])?;
    ensure!(got[0].prev.is_none() && got[0].verdicts.is_empty(), "{:?}", got[0]);
    ensure!(got[0].entries.is_empty() && got[0].unrowed.is_none(), "{:?}", got[0]);
    same(kinds(&got[1]), vec![(Kind::Claim, true)])?;
    ensure!(s.store.head(&missing).await?.is_none(), "head of no cell");
    ensure!(s.store.after(&missing, 0, 9).await?.is_none(), "ledger of no cell");
    same(s.store.find_verdicts(&missing, &[order.order.into()]).await?, vec![None])
}

/// The largest call: every step of the ladder, and payloads of a real size.
pub(super) async fn large_batch(s: &Subject) -> Result<()> {
    let cell = &s.offer("large", &[400]).await?[0];
    let orders = s.orders("large", store::port::MAX_ORDERS, cell);
    let got = s.decide(cell, &orders).await?;
    let claims = got.verdicts.iter().filter(|v| v.kind == Kind::Claim).count();
    same((claims, got.verdicts.len()), (400, 512))?;
    let more = s.orders("larger", store::port::MAX_ORDERS + 1, cell);
    permanent(s.store.verdicts(&[asks(cell, &more)]).await)?;
    let rows: Vec<_> = more.iter().map(super::make::row).collect();
    permanent(s.store.rows(s.store.buyer_db(&more[0].buyer), &rows).await)?;
    let (entries, head) = s.audit(cell).await?;
    same((entries.len(), head.net), (514, 400))
}

pub(super) async fn unrowed(s: &Subject) -> Result<()> {
    let cell = &s.offer("unrowed", &[10]).await?[0];
    let db = s.store.cell_db(&cell.offer);
    let listed = |before| async move {
        let mut all = s.store.unrowed(db, before, 10_000).await?;
        all.retain(|r| r.cell == *cell);
        anyhow::Ok(all)
    };
    let kept = s.orders("unrowed-a", 3, cell);
    let first = s.decide(cell, &kept).await?;
    let first = first.unrowed.context("no range")?;
    same((first.first_seq, first.last_seq), (3, 5))?;
    ensure!(first.at_ms > T_MS, "{first:?}");
    let mut line = asks(cell, &s.orders("unrowed-l", 1, cell));
    line.asks[0].anchor = false;
    let lines = s.store.verdicts(&[line]).await?;
    ensure!(lines[0].unrowed.is_none(), "a line that is no anchor: {lines:?}");
    let second = s.decide(cell, &s.orders("unrowed-b", 2, cell)).await?;
    let second = second.unrowed.context("no range")?;
    same((second.first_seq, second.last_seq), (7, 8))?;
    same(listed(u64::MAX >> 1).await?, vec![first.clone(), second.clone()])?;
    let as_kept = |(seq, order)| Kept { seq, mode: Mode::Full, sealed: sealed(order) };
    let orders: Vec<_> = (3..).zip(&kept).map(as_kept).collect();
    for seq in 3..=5 {
        same(&s.store.kept(cell, seq).await?, &orders)?;
    }
    same(s.store.kept(cell, 6).await?, vec![])?;
    same(listed(first.at_ms).await?, vec![])?;
    s.store.finish_unrowed(db, std::slice::from_ref(&first)).await?;
    s.store.finish_unrowed(db, &[first, second.clone()]).await?;
    same(listed(u64::MAX >> 1).await?, vec![])?;
    same(s.store.kept(cell, 4).await?, vec![])?;
    s.store.finish_unrowed(db, &[]).await?;
    Ok(())
}
