//! Supply, flags, transfers and releases: idempotent by their id (INV-6, INV-10).

use anyhow::{Context, Result, bail, ensure};
use domain::{Flag, Kind};
use store::port::{Appended, Change};

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
    let new = s.store.release(cell, &[ids[0], ids[2], ids[0]]).await?;
    same(entries(std::slice::from_ref(&new)), vec![(Kind::Release, 1)])?;
    same(new.entries[0].buyer.as_str(), orders[0].buyer.as_str())?;
    let again = s.store.release(cell, &ids[..1]).await?;
    same((again.entries.len(), again.prev.seq), (0, 6))?;
    let stranger = s.order("release-x", "k", std::slice::from_ref(cell)).order;
    same(s.store.release(cell, &[stranger]).await?.entries.len(), 0)?;
    // The unit is free again, and the verdict stays.
    let late = s.decide(cell, &s.orders("release-late", 1, cell)).await?;
    same(late.verdicts[0].kind, Kind::Claim)?;
    let found = s.store.find_verdicts(cell, &[ids[0].into()]).await?;
    let verdict = found[0].context("the claim")?;
    same(verdict.kind, Kind::Claim)?;
    permanent(s.store.release(&cell.offer.cell(7), &ids).await)?;
    let (_, head) = s.audit(cell).await?;
    same((head.supply, head.net), (2, 2))
}
