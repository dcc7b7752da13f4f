//! Supply, flags, transfers and givebacks: idempotent by their id (INV-6, INV-10, INV-15).

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use domain::{Flag, Giveback, Gives, Kind, OrderId, Ordinal};
use store::fold::buyer_units;
use store::port::{Appended, Change, GivenBack};

use super::make::asks;
use super::subject::{Subject, permanent, same};

/// The new entries of a call that was done.
fn done(c: Change) -> Result<Vec<Appended>> {
    match c {
        Change::Done(new) => Ok(new),
        other @ (Change::OtherUnits | Change::Illegal(_) | Change::Refused(_) | Change::NoCell) => {
            bail!("want Done, got {other:?}")
        }
    }
}

fn entries(new: &[Appended]) -> Vec<(Kind, i64)> {
    new.iter().flat_map(|a| a.entries.iter().map(|e| (e.kind, e.qty))).collect()
}

pub(super) async fn supply(s: &Subject) -> Result<()> {
    let cells = s.offer("supply", &[1, 2]).await?;
    let more = [(cells[0].clone(), 10), (cells[1].clone(), 20)];
    let id = s.request("supply-1");
    let new = done(s.store.supply(&more, id).await?)?;
    same(entries(&new), vec![(Kind::Supply, 10), (Kind::Supply, 20)])?;
    same(new[0].prev.seq, 2)?;
    same(entries(&done(s.store.supply(&more, id).await?)?), vec![])?;
    let other = [(cells[0].clone(), 11), (cells[1].clone(), 20)];
    ensure!(matches!(s.store.supply(&other, id).await?, Change::OtherUnits));
    let nowhere = [(cells[0].offer.cell(7), 1)];
    ensure!(matches!(s.store.supply(&nowhere, s.request("supply-2")).await?, Change::NoCell));
    same(s.audit(&cells[0]).await?.1.supply, 11)?;
    same(s.audit(&cells[1]).await?.1.supply, 22)
}

pub(super) async fn flag(s: &Subject) -> Result<()> {
    let cells = s.offer("flag", &[1, 1]).await?;
    let set = |id: &str, to, from: &'static [Flag], note: &'static [u8]| {
        let id = s.request(id);
        let cells = cells.clone();
        async move { s.store.flag(&cells, id, (to, from), note).await }
    };
    let new = done(set("pause", Flag::Paused, &[Flag::Open], b"why").await?)?;
    same(entries(&new), vec![(Kind::Flag, 2), (Kind::Flag, 2)])?;
    same(new[1].entries[0].payload.as_slice(), b"why".as_slice())?;
    let again = done(set("pause", Flag::Paused, &[Flag::Open], b"why").await?)?;
    same(entries(&again), vec![])?;
    let same_flag = done(set("pause-2", Flag::Paused, &[Flag::Open], b"").await?)?;
    same(entries(&same_flag), vec![])?;
    let illegal = set("close", Flag::Closed, &[Flag::Open], b"").await?;
    ensure!(matches!(illegal, Change::Illegal(Flag::Paused)), "{illegal:?}");
    let new = done(set("open", Flag::Open, &[Flag::Paused], b"").await?)?;
    same(entries(&new), vec![(Kind::Flag, 1), (Kind::Flag, 1)])?;
    let nowhere = [cells[0].offer.cell(7)];
    let none = s.store.flag(&nowhere, s.request("none"), (Flag::Open, &[]), b"").await?;
    ensure!(matches!(none, Change::NoCell), "{none:?}");
    same(s.audit(&cells[0]).await?.1.open, Flag::Open)
}

pub(super) async fn transfer(s: &Subject) -> Result<()> {
    let cells = s.offer("transfer", &[5, 1]).await?;
    let (a, b) = (&cells[0], &cells[1]);
    s.decide(a, &s.orders("transfer", 2, a)).await?;
    let id = s.request("transfer-1");
    let new = done(s.store.transfer(id, a, Some(b), 2).await?)?;
    same(entries(&new), vec![(Kind::TransferOut, 2), (Kind::Supply, 2)])?;
    same(entries(&done(s.store.transfer(id, a, Some(b), 2).await?)?), vec![])?;
    ensure!(matches!(s.store.transfer(id, a, Some(b), 1).await?, Change::OtherUnits));
    let much = s.request("transfer-2");
    let Change::Refused(new) = s.store.transfer(much, a, Some(b), 2).await? else {
        bail!("3 units, 2 of them claimed, and 2 left");
    };
    same(entries(&new), vec![(Kind::Reject, 0)])?;
    let Change::Refused(new) = s.store.transfer(much, a, Some(b), 2).await? else {
        bail!("a refusal does not last");
    };
    same(entries(&new), vec![])?;
    let new = done(s.store.transfer(s.request("remove"), a, None, 1).await?)?;
    same(entries(&new), vec![(Kind::TransferOut, 1)])?;
    let none = s.store.transfer(s.request("none"), a, Some(&a.offer.cell(7)), 1).await?;
    ensure!(matches!(none, Change::NoCell), "{none:?}");
    let ((_, from), (_, to)) = (s.audit(a).await?, s.audit(b).await?);
    same((from.supply, from.net, to.supply), (2, 2, 3))
}

pub(super) async fn release(s: &Subject) -> Result<()> {
    let cell = &s.offer("release", &[2]).await?[0];
    let orders = s.orders("release", 3, cell);
    s.decide(cell, &orders).await?;
    let ids: Vec<_> = orders.iter().map(|o| o.order).collect();
    let release = |ids: &[OrderId]| ids.iter().copied().map(Giveback::release).collect::<Vec<_>>();
    let new = s.store.give_back(cell, &release(&[ids[0], ids[2], ids[0]])).await?;
    same(given(&new), (vec![(Kind::Release, 1)], 0))?;
    same(new.appended.entries[0].buyer.as_str(), orders[0].buyer.as_str())?;
    let again = s.store.give_back(cell, &release(&ids[..1])).await?.appended;
    same((again.entries.len(), again.prev.seq), (0, 6))?;
    let stranger = s.order("release-x", "k", std::slice::from_ref(cell)).order;
    same(given(&s.store.give_back(cell, &release(&[stranger])).await?), (vec![], 0))?;
    // The unit is free again, and the verdict stays.
    let late = s.decide(cell, &s.orders("release-late", 1, cell)).await?;
    same(late.verdicts[0].kind, Kind::Claim)?;
    let found = s.store.find_verdicts(cell, &[ids[0].into()]).await?;
    let verdict = found[0].context("the claim")?;
    same(verdict.kind, Kind::Claim)?;
    permanent(s.store.give_back(&cell.offer.cell(7), &release(&ids)).await)?;
    let (_, head) = s.audit(cell).await?;
    same((head.supply, head.net), (2, 2))
}

fn given(back: &GivenBack) -> (Vec<(Kind, i64)>, usize) {
    (entries(std::slice::from_ref(&back.appended)), back.refused.len())
}

/// INV-15: several returns of one order, each once, never more than its claim, none beside a
/// release; what is refused holds up no other of the call.
pub(super) async fn returns(s: &Subject) -> Result<()> {
    let cells = s.offer("returns", &[9, 9]).await?;
    let cell = &cells[0];
    let orders = s.orders("returns", 3, cell);
    let mut batch = asks(cell, &orders);
    batch.asks.iter_mut().for_each(|a| a.qty = 3);
    s.store.verdicts(&[batch]).await?;
    let [a, b, c] = [0, 1, 2].map(|n: usize| orders[n].order);
    let back = |order, n, units, frees_limit| {
        let ordinal = Ordinal::new(n).expect("an ordinal");
        Giveback { order, gives: Gives::Return { ordinal, units, frees_limit } }
    };
    let nth = |n| Kind::Return(Ordinal::new(n).expect("an ordinal"));
    let call = [
        back(a, 0, 1, true),
        back(b, 5, 2, false),
        back(b, 6, 2, true),
        back(a, 111, 2, true),
        Giveback::release(c),
        back(a, 0, 1, true),
    ];
    let list = vec![(nth(0), 1), (nth(5), 2), (nth(111), 2), (Kind::Release, 3)];
    let new = s.store.give_back(cell, &call).await?;
    same(given(&new), (list, 1))?;
    same(new.refused, call[2..3].to_vec())?;
    let buyers: Vec<&str> = new.appended.entries.iter().map(|e| e.buyer.as_str()).collect();
    let of = |n: usize| orders[n].buyer.as_str();
    same(buyers, vec![of(0), "", of(0), of(2)])?;
    same(given(&s.store.give_back(cell, &call).await?), (vec![], 1))?;
    // Other units under an ordinal, more than is left, both sorts beside each other.
    let wrong = [
        back(a, 0, 2, true),
        back(a, 1, 1, true),
        back(c, 0, 1, true),
        Giveback::release(a),
        back(s.order("returns-x", "k", std::slice::from_ref(cell)).order, 0, 1, true),
    ];
    same(given(&s.store.give_back(cell, &wrong).await?), (vec![], wrong.len()))?;
    // An ordinal is of one cell: the same one is free in another.
    s.decide(&cells[1], &orders[..1]).await?;
    same(given(&s.store.give_back(&cells[1], &call[..1]).await?), (vec![(nth(0), 1)], 0))?;
    let (_, head) = s.audit(cell).await?;
    same((head.supply, head.net), (9, 1))?;
    let mut sums = HashMap::new();
    buyer_units(&*s.store, cell, (0, head.seq), |_| true, &mut sums).await?;
    let units = |n: usize| sums.get(of(n)).copied().unwrap_or(0);
    same([units(0), units(1), units(2), sums.len() as i64], [0, 3, 0, 3])?;
    let traces = s.store.traces(s.store.cell_db(&cell.offer), &[a, c]).await?;
    let trace = |order| traces.get(&(order, cell.clone())).copied().unwrap_or_default();
    same((trace(a).returned, trace(a).released), (true, false))?;
    same((trace(c).returned, trace(c).released), (false, true))
}
