//! Directed cases: every reply of every operation, and its repeat.
//!
//! The sequences find what nobody thought of; these say in words what the protocol promises.
//! Times are only those that hold on any clock: long past, far away.

use bytes::Bytes;
use cells::port::{Cells, Changed, FenceReply, Refusal, ReserveCall, ReserveItem, Reserved};
use domain::names::{MAX_TENANT, Tenant};
use domain::{CellId, HoldState, Kind, Nonce, Tok};

use super::case::{Case, call, is_new, item, order, refused};
use super::conformance_ledger::{batches, fences, folding, many, returns, tickets};

const FAR: u64 = 4_000_000_000_000;

/// Runs every case; `offer` names a fresh offer by number.
pub async fn conformance(cells: &dyn Cells, offer: &(dyn Fn(u32) -> CellId + Sync)) {
    missing(cells, offer(0)).await;
    replays(cells, offer(1)).await;
    conflicts(cells, offer(2)).await;
    refusals(cells, offer(3)).await;
    relay_and_transfer(cells, offer(4)).await;
    fences(cells, offer(5)).await;
    folding(cells, offer(6)).await;
    returns(cells, offer(12)).await;
    tickets(cells, offer(7)).await;
    batches(cells, offer(8), offer(9)).await;
    many(cells, offer(10)).await;
    of_a_tenant(cells, offer(11)).await;
    assert!(cells.ping().await);
}

/// The same name in two tenants is two cells; whose buyer a hold has is the cell's to say.
async fn of_a_tenant(cells: &dyn Cells, cell: CellId) {
    let tenant: Tenant = "x".repeat(MAX_TENANT).parse().expect("a tenant");
    let theirs = CellId::of(&tenant, &cell.name()).expect("a cell");
    let (id, sub) = (order(1, 1, 1), "ü".repeat(64));
    for cell in [&cell, &theirs] {
        let buyer = Some(cell.buyer(&sub).expect("a buyer"));
        let case = Case::new(cells, cell.clone(), 3, 1).await;
        assert!(is_new(&case.one(ReserveItem { buyer: buyer.clone(), ..item(id, 1) }).await));
        let held = cells.find_holds(cell, &[id.into()]).await.expect("find").remove(0);
        assert_eq!(held.expect("a hold").buyer, buyer);
        let page = cells.scan_holds(cell, 0, 10).await.expect("scan");
        assert_eq!(page.items.iter().map(|h| h.buyer.clone()).collect::<Vec<_>>(), [buyer]);
        let view = cells.snapshot(cell).await.expect("snapshot").expect("a cell");
        assert_eq!((view.available(), view.holds), (2, 1));
    }
}

/// A cell that is not there: every operation says so and changes nothing.
async fn missing(cells: &dyn Cells, cell: CellId) {
    let id = order(1, 1, 1);
    let reply = cells.reserve(&cell, &call(1, vec![item(id, 1)])).await.expect("reserve");
    assert_eq!(reply.results, [Reserved::Missing]);
    assert!(reply.mark.redis_ms > 0, "the time comes with every reply");
    assert_eq!(cells.fence(&cell, id, b"").await.expect("fence"), FenceReply::Missing);
    let att = Nonce(1).to_string();
    assert_eq!(cells.unseal(&cell, id, &att).await.expect("unseal"), FenceReply::Missing);
    assert_eq!(cells.cancel(&cell, id, Nonce(1)).await.expect("cancel"), Changed::Missing);
    assert_eq!(cells.resolve(&cell, &[(id.into(), 0)]).await.expect("resolve"), 0);
    let seen = (0, 0, Tok(0));
    assert_eq!(cells.drop_cell(&cell, seen, true).await.expect("drop"), Changed::Missing);
    assert_eq!(cells.snapshot(&cell).await.expect("snapshot"), None);
    assert_eq!(cells.find_holds(&cell, &[id.into()]).await.expect("find"), [None]);
    let empty = cells.reserve(&cell, &call(1, vec![])).await;
    assert!(empty.is_err_and(|e| !e.is_transient()), "an empty call is a bug");
}

/// NEW, its repeat, HELD with the first bytes, and what cancel may drop.
async fn replays(cells: &dyn Cells, cell: CellId) {
    let case = Case::new(cells, cell, 10, 5).await;
    let id = order(1, 1, 1);
    let line = ReserveItem { state: HoldState::Line, ..item(id, 1) };
    let first = case.one(line.clone()).await;
    assert!(is_new(&first));
    assert_eq!(case.one(line.clone()).await, first, "the same nonce");
    assert_eq!(cells.cancel(&case.cell, id, Nonce(2)).await.expect("cancel"), Changed::Changed);
    assert_eq!(cells.cancel(&case.cell, id, Nonce(1)).await.expect("cancel"), Changed::Ok);
    assert_eq!(cells.cancel(&case.cell, id, Nonce(1)).await.expect("cancel"), Changed::Changed);
    assert!(is_new(&case.one(line.clone()).await));
    let other = ReserveItem { nonce: Nonce(2), payload: Bytes::from_static(b"x"), ..line.clone() };
    for late in [other, line] {
        let Reserved::Held { payload, .. } = case.one(late).await else { panic!("HELD") };
        assert_eq!(payload, "payload of 1");
    }
    assert_eq!(cells.cancel(&case.cell, id, Nonce(1)).await.expect("cancel"), Changed::Changed);
    let held =
        cells.find_holds(&case.cell, &[id.into()]).await.expect("find").remove(0).expect("held");
    assert_eq!(held.att, format!("shared:{}", Nonce(1)));
}

/// Other content under one key: in h, and in d.
async fn conflicts(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 10, 5).await;
    let (first, other) = (order(1, 1, 1), order(1, 1, 2));
    assert!(is_new(&case.one(item(first, 1)).await));
    assert_eq!(case.one(item(other, 2)).await, Reserved::Conflict(first));
    case.fold(Kind::Claim, first, 1).await;
    assert_eq!(case.one(item(other, 2)).await, Reserved::Conflict(first));
    assert_eq!(case.one(item(first, 3)).await, Reserved::Verdict(Kind::Claim));
    case.fold(Kind::Release, first, 1).await;
    assert_eq!(case.one(item(first, 3)).await, Reserved::Verdict(Kind::Release));
    let rejected = order(2, 1, 1);
    case.fold(Kind::Reject, rejected, 0).await;
    assert_eq!(case.one(item(rejected, 4)).await, Reserved::Verdict(Kind::Reject));
}

/// Every "no", with and without `+`, in the order of the table.
async fn refusals(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 3, 2).await;
    let (mine, next) = (order(1, 1, 1), order(1, 2, 1));
    let open = call(2, vec![item(mine, 1)]);
    let late = ReserveCall { deadline_ms: 1, ..open.clone() };
    assert_eq!(case.reserve(late).await, [Reserved::Late]);
    let early = ReserveCall { opens_at_ms: FAR, ..open.clone() };
    assert_eq!(case.reserve(early).await, [Reserved::NotOpen]);
    let over = ReserveCall { closes_at_ms: 1, ..open.clone() };
    assert_eq!(case.reserve(over.clone()).await, [refused(Refusal::Closed, false)]);
    assert!(is_new(&case.one(item(mine, 1)).await));
    assert!(is_new(&case.reserve(over).await[0]), "a replay after closing gets its order");
    let fresh = ReserveItem { checked: false, ..item(next, 2) };
    assert_eq!(case.one(fresh).await, Reserved::Returning);
    let much = ReserveItem { qty: 2, ..item(next, 2) };
    assert_eq!(case.one(much).await, refused(Refusal::Limit, true));
    let more = ReserveItem { qty: 2, ..item(order(2, 1, 1), 3) };
    assert!(is_new(&case.one(more).await));
    assert_eq!(case.one(item(next, 2)).await, refused(Refusal::SoldOut, true));
    assert_eq!(case.one(item(order(3, 1, 1), 3)).await, refused(Refusal::SoldOut, false));
    for (flag, why) in [(2, Refusal::Paused), (0, Refusal::Closed)] {
        case.fold(Kind::Flag, order(9, flag as u64, 1), flag).await;
        assert_eq!(case.one(item(next, 2)).await, refused(why, true));
        assert_eq!(case.one(item(order(3, 1, 1), 3)).await, refused(why, false));
    }
}

/// The relay passes flag and RETURNING; a transfer passes all but stock.
async fn relay_and_transfer(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 4, 2).await;
    assert!(is_new(&case.one(item(order(1, 1, 1), 1)).await));
    case.fold(Kind::Flag, order(9, 1, 1), 0).await;
    let relay = ReserveItem { relay: true, checked: false, ..item(order(1, 2, 1), 2) };
    assert!(is_new(&case.one(relay.clone()).await));
    let third = ReserveItem { id: order(1, 3, 1).into(), ..relay };
    assert_eq!(case.one(third).await, refused(Refusal::Limit, true));
    let moved = |id, qty| ReserveItem {
        buyer: None,
        buyer_hash: 0,
        state: HoldState::Transfer,
        qty,
        ..item(id, 4)
    };
    let late = |item| ReserveCall { deadline_ms: 1, ..call(2, vec![item]) };
    let (big, fits) = (order(7, 1, 1), order(7, 2, 1));
    assert_eq!(case.reserve(late(moved(big, 3))).await, [refused(Refusal::SoldOut, false)]);
    assert!(is_new(&case.reserve(late(moved(fits, 2))).await[0]));
    case.fold(Kind::TransferOut, fits, 2).await;
    let view = cells.snapshot(&case.cell).await.expect("snapshot").expect("a cell");
    assert_eq!((view.totals.supply, view.held, view.holds), (2, 2, 2));
}
