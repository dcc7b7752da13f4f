//! Directed cases, second half: fences, folding, loads, batches, scans.
//!
//! See the first half for what they stand on.

use cells::port::{Applied, ApplyCall, ApplyEntry, Cells, Changed, FenceReply, LoadCall};
use cells::port::{Refusal, ReserveItem, Reserved};
use domain::ledger::Flag;
use domain::{CellId, Kind, Nonce, Ordinal, Tok, Totals};

use super::audit::{all_buyers, all_holds};
use super::case::{Case, call, is_new, item, order, refused};
use super::sequence::Bench;

/// fence and unseal compare the whole id; F stops exactly its own anchor.
pub(super) async fn fences(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 10, 5).await;
    let fence = |id| cells.fence(&case.cell, id, b"cart");
    let (a, b) = (order(1, 1, 1), order(1, 1, 2));
    for _ in 0..2 {
        assert_eq!(fence(a).await.expect("fence"), FenceReply::Fenced);
    }
    assert_eq!(case.one(item(a, 1)).await, Reserved::Fenced);
    assert!(is_new(&case.one(item(b, 2)).await), "other content is not fenced");
    assert_eq!(fence(b).await.expect("fence"), FenceReply::Sealed);
    assert_eq!(fence(a).await.expect("fence"), FenceReply::Fenced);
    let att = Nonce(2).to_string();
    assert!(matches!(case.one(item(b, 3)).await, Reserved::Held { .. }));
    assert_eq!(cells.unseal(&case.cell, b, &att).await.expect("unseal"), FenceReply::Changed);
    let seen = format!("shared:{}", Nonce(3));
    for _ in 0..2 {
        let reply = cells.unseal(&case.cell, b, &seen).await.expect("unseal");
        assert_eq!(reply, FenceReply::Fenced);
    }
    let view = cells.snapshot(&case.cell).await.expect("snapshot").expect("a cell");
    assert_eq!((view.held, view.holds), (0, 2), "fences hold no units");
    assert_eq!(cells.resolve(&case.cell, &[(a.into(), 99)]).await.expect("resolve"), 0, "s > W");
    assert_eq!(
        cells.resolve(&case.cell, &[(a.into(), 2), (a.into(), 2)]).await.expect("resolve"),
        1
    );
    case.fold(Kind::Reject, b, 0).await;
    let reply = cells.fence(&case.cell, b, b"cart").await.expect("fence");
    assert_eq!(reply, FenceReply::Verdict(Kind::Reject));
    let view = cells.snapshot(&case.cell).await.expect("snapshot").expect("a cell");
    assert_eq!(view.holds, 0);
}

/// GAP, FORK, claims with and without a hold.
pub(super) async fn folding(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 10, 5).await;
    let id = order(1, 1, 1);
    assert!(is_new(&case.one(item(id, 1)).await));
    let claim = case.fold(Kind::Claim, id, 1).await;
    assert_eq!(claim, Applied::Ok { watermark: 3, without_hold: 0 });
    let bare = case.fold(Kind::Claim, order(2, 1, 1), 2).await;
    assert_eq!(bare, Applied::Ok { watermark: 4, without_hold: 1 });
    let entry = |seq| ApplyEntry {
        seq,
        kind: Kind::Supply,
        id: order(9, 9, 9).into(),
        buyer: String::new(),
        buyer_hash: 0,
        qty: 1,
        tok: Tok(1),
    };
    let gap = ApplyCall { prev_seq: 9, prev_tok: Tok(0), entries: vec![entry(10)] };
    let reply = cells.apply(&case.cell, gap).await.expect("apply");
    assert_eq!(reply, Applied::Gap { watermark: 4 });
    let forks = [(4, vec![entry(5)]), (3, vec![entry(4), entry(5)])];
    for (prev_seq, entries) in forks {
        let fork = ApplyCall { prev_seq, prev_tok: Tok(0), entries };
        assert_eq!(cells.apply(&case.cell, fork).await.expect("apply"), Applied::Fork);
    }
    case.fold(Kind::Release, id, 1).await;
    let b = cells.buyers(&case.cell, &["b1".into(), "b2".into(), "b3".into()]).await;
    assert_eq!(b.expect("buyers"), [Some(0), Some(2), None], "a field stays at 0");
}

/// Returns give units and limit back, and the order keeps its verdict.
pub(super) async fn returns(cells: &dyn Cells, cell: CellId) {
    let mut case = Case::new(cells, cell, 3, 3).await;
    let id = order(1, 1, 1);
    assert!(is_new(&case.one(ReserveItem { qty: 3, ..item(id, 1) }).await));
    case.fold(Kind::Claim, id, 3).await;
    let more = || item(order(1, 2, 1), 2);
    assert_eq!(case.one(more()).await, refused(Refusal::Limit, true));
    for (n, units) in [(0, 1), (7, 1)] {
        let kind = Kind::Return(Ordinal::new(n).expect("an ordinal"));
        let folded = case.fold(kind, id, units).await;
        assert!(matches!(folded, Applied::Ok { without_hold: 0, .. }), "{folded:?}");
        assert_eq!(case.one(item(id, 3)).await, Reserved::Verdict(Kind::Claim));
    }
    let view = cells.snapshot(&case.cell).await.expect("snapshot").expect("a cell");
    assert_eq!((view.totals.net, view.mark.available), (1, 2));
    assert_eq!(cells.buyers(&case.cell, &["b1".into()]).await.expect("buyers"), [Some(1)]);
    assert!(is_new(&case.one(more()).await));
}

/// A load is for the ticket that is stored, and for all that was staged.
pub(super) async fn tickets(cells: &dyn Cells, cell: CellId) {
    let totals = Totals { supply: 5, net: 3, seq: 9, open: Flag::Open, ..Totals::default() };
    let load = |ticket: Option<&str>, staged_len| LoadCall {
        totals,
        inc: 6,
        adds: 3,
        ticket: ticket.map(str::to_owned),
        staged: Some("x".to_owned()),
        staged_len,
        limited: true,
    };
    cells.ticket(&cell, "t").await.expect("ticket");
    cells.stage(&cell, "x", &[("a".into(), 2)]).await.expect("stage");
    cells.stage(&cell, "x", &[("b".into(), 1)]).await.expect("stage");
    for bad in [load(None, 2), load(Some("other"), 2), load(Some("t"), 3)] {
        assert_eq!(cells.load(&cell, bad).await.expect("load"), Changed::Changed);
    }
    assert_eq!(cells.load(&cell, load(Some("t"), 2)).await.expect("load"), Changed::Ok);
    assert_eq!(cells.load(&cell, load(Some("t"), 2)).await.expect("load"), Changed::Exists);
    let b = cells.buyers(&cell, &["a".into(), "b".into()]).await.expect("buyers");
    assert_eq!(b, [Some(2), Some(1)]);
    let seen = (6, 9, Tok(0));
    assert_eq!(cells.drop_cell(&cell, (5, 9, Tok(0)), true).await.expect("drop"), Changed::Changed);
    assert_eq!(cells.drop_cell(&cell, seen, false).await.expect("drop"), Changed::Ok);
    assert_eq!(cells.drop_cell(&cell, seen, false).await.expect("drop"), Changed::Missing);
    let again = cells.load(&cell, load(Some("t"), 2)).await.expect("load");
    assert_eq!(again, Changed::Changed, "a ticket is good for one load");
    for (ticket, respect, want) in [
        ("one", None, Changed::Changed),
        ("one", Some(60_000), Changed::Ok),
        ("two", Some(60_000), Changed::Changed),
        ("one", Some(60_000), Changed::Ok),
        ("one", None, Changed::Ok),
        ("two", Some(0), Changed::Ok),
        ("one", None, Changed::Changed),
        ("one", Some(60_000), Changed::Changed),
    ] {
        let got = cells.take_ticket(&cell, ticket, respect).await.expect("ticket");
        assert_eq!(got, want, "{ticket} for {respect:?} ms");
    }
}

/// One call equals its single calls in order.
pub(super) async fn batches(cells: &dyn Cells, one: CellId, two: CellId) {
    let (a, b) = (Case::new(cells, one, 4, 2).await, Case::new(cells, two, 4, 2).await);
    let big = ReserveItem { qty: 2, ..item(order(2, 1, 1), 5) };
    let items = vec![
        item(order(1, 1, 1), 1),
        item(order(1, 1, 1), 1),
        item(order(1, 1, 1), 2),
        item(order(1, 1, 2), 3),
        ReserveItem { checked: false, ..item(order(1, 2, 1), 4) },
        item(order(1, 2, 1), 4),
        item(order(1, 3, 1), 4),
        big,
        item(order(3, 1, 1), 6),
    ];
    let mut codes = a.reserve(call(2, items.clone())).await;
    let mut singles = Vec::new();
    for i in items {
        singles.push(b.one(i).await);
    }
    for r in codes.iter_mut().chain(&mut singles) {
        if let Reserved::New { t_ms } | Reserved::Held { t_ms, .. } = r {
            *t_ms = 0;
        }
    }
    assert_eq!(codes, singles);
    assert_eq!(codes[8], refused(Refusal::SoldOut, false));
}

/// 128 orders a call; scans see each hold and each buyer.
pub(super) async fn many(cells: &dyn Cells, cell: CellId) {
    let case = Case::new(cells, cell.clone(), 10_000, 5).await;
    for page in 0..4u16 {
        let items = (0..128).map(|i| item(order(page * 128 + i, 1, 1), 1)).collect();
        assert!(case.reserve(call(5, items)).await.iter().all(is_new));
    }
    let bench = Bench { cells, cell, clock: None };
    assert_eq!(all_holds(&bench).await.expect("scan").len(), 512);
    let b = all_buyers(&bench).await.expect("scan");
    assert!(b.len() == 512 && b.values().all(|q| *q == 1));
}
