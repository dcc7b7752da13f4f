//! Rows and ledgers compared, as after a database lost commits.

use anyhow::{Context, Result, ensure};
use domain::order::{RejectReason, RowStatus};
use domain::rows::Trace;
use domain::{Giveback, OrderId, Payload};
use store::port::{KeptRow, RowAsk};

use super::make::{T_MS, row};
use super::subject::{Subject, same};

/// The rows of these orders, found in pages.
async fn found(s: &Subject, db: u16, wanted: &[OrderId]) -> Result<Vec<KeptRow>> {
    // From right before the first: others may have a million rows here.
    let first = wanted.iter().min().context("an order")?;
    let mut after = Some(OrderId((u128::from_be_bytes(first.0) - 1).to_be_bytes()));
    let mut out: Vec<KeptRow> = Vec::new();
    while out.len() < wanted.len() {
        let page = s.store.kept_rows(db, after, 3).await?;
        ensure!(page.rows.len() <= 3 && page.rows.is_sorted_by_key(|r| r.order), "{page:?}");
        after = page.next;
        out.extend(page.rows.into_iter().filter(|r| wanted.contains(&r.order)));
        if after.is_none() {
            break;
        }
    }
    Ok(out)
}

/// What was published can be made again from a row, byte by byte.
pub(super) async fn rows_give_the_payload_back(s: &Subject) -> Result<()> {
    let cells = s.offer("kept", &[5, 5, 5]).await?;
    let one = s.order("kept", "k1", &cells[1..2]);
    let cart = s.order("kept", "k2", &cells);
    let twin = s.order("kept", "k1", &cells[2..]);
    s.insert(&[row(&one), row(&cart), row(&twin)]).await?;
    let db = s.store.order_db(one.order);
    let mut ids = [one.order, cart.order, twin.order];
    ids.sort_unstable();
    let rows = found(s, db, &ids).await?;
    same(rows.iter().map(|r| r.order).collect::<Vec<_>>(), ids.to_vec())?;
    for row in rows {
        let p = [&one, &cart, &twin].into_iter().find(|p| p.order == row.order).context("one")?;
        same(row.cells, p.lines.iter().map(|l| l.cell.clone()).collect::<Vec<_>>())?;
        ensure!(row.updated_ms > T_MS, "{}", row.updated_ms);
        let Some(sealed) = row.sealed else {
            same((p.order, row.status), (twin.order, RowStatus::Rejected))?;
            continue;
        };
        same((row.status, sealed.t_ms), (RowStatus::Pending, T_MS))?;
        same(Payload::decode(&sealed.payload)?, (*p).clone())?;
        same(sealed.payload.to_vec(), p.encode())?;
    }
    let last = OrderId([0xff; 16]);
    same(s.store.kept_rows(db, Some(last), 9).await?.next, None)
}

pub(super) async fn traces(s: &Subject) -> Result<()> {
    let cells = s.offer("traces", &[2, 9]).await?;
    let all = s.orders("traces", 4, &cells[0]);
    s.decide(&cells[0], &all).await?;
    s.decide(&cells[1], &all[..1]).await?;
    s.store.give_back(&cells[0], &[Giveback::release(all[1].order)]).await?;
    let ids: Vec<OrderId> = all.iter().map(|p| p.order).collect();
    let got = s.store.traces(s.store.cell_db(&cells[0].offer), &ids).await?;
    let claim = |released| Trace { claimed: Some(true), released, returned: false };
    let reject = Trace { claimed: Some(false), released: false, returned: false };
    same(got.len(), 5)?;
    for (n, want) in [claim(false), claim(true), reject, reject].into_iter().enumerate() {
        same(got.get(&(ids[n], cells[0].clone())), Some(&want))?;
    }
    same(got.get(&(ids[0], cells[1].clone())), Some(&claim(false)))?;
    let db = s.store.cell_db(&cells[0].offer);
    same(s.store.traces(db, &[OrderId([7; 16])]).await?.len(), 0)?;
    same(s.store.traces(db, &[]).await?.len(), 0)
}

/// Only what is pending, once.
pub(super) async fn rejected(s: &Subject) -> Result<()> {
    let cells = s.offer("reject", &[9]).await?;
    let orders: Vec<Payload> = (0..3).map(|n| s.order("rej", &format!("k{n}"), &cells)).collect();
    let dead = RowAsk { rejected: Some(RejectReason::Aborted), ..row(&orders[2]) };
    s.insert(&[row(&orders[0]), row(&orders[1]), dead]).await?;
    let db = s.store.order_db(orders[0].order);
    let nobody = OrderId::compose(orders[0].campaign, orders[0].order.shard(), 5, 6);
    let asked = [orders[2].order, nobody, orders[0].order, orders[0].order];
    same(s.store.reject(db, &asked).await?, vec![orders[0].order])?;
    same(s.store.reject(db, &asked).await?, vec![])?;
    same(s.store.reject(db, &[]).await?, vec![])?;
    let is = async |n: usize| -> Result<_> {
        let r = s.store.order(orders[n].order).await?.context("a row")?;
        Ok((r.status, r.reason, r.version, r.key.is_some()))
    };
    same(is(0).await?, (RowStatus::Rejected, Some(RejectReason::SoldOut), 2, true))?;
    same(is(1).await?, (RowStatus::Pending, None, 1, true))?;
    same(is(2).await?, (RowStatus::Rejected, Some(RejectReason::Aborted), 1, true))
}

/// The loser of a key conflict whose row is written again leaves the key to the winner.
pub(super) async fn a_loser_takes_no_key(s: &Subject) -> Result<()> {
    let cells = s.offer("loser", &[9, 9]).await?;
    let winner = s.order("loser", "k", &cells[..1]);
    let loser = s.order("loser", "k", &cells[1..]);
    let lost = RowAsk { rejected: Some(RejectReason::KeyConflict), ..row(&loser) };
    let got = s.insert(&[lost, row(&winner)]).await?;
    same(got[0].reason, Some(RejectReason::KeyConflict))?;
    same(got[1].status, RowStatus::Pending)?;
    let owner = s.by_key(&winner).await?;
    same(owner.map(|o| o.order), Some(winner.order))
}
