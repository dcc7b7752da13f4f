//! A first look at the embedded backend: a cell is loaded, sold, applied and scanned.
//!
//! The conformance suite says everything else.
#![allow(clippy::unwrap_used, missing_docs)]

use sluicegate_lua as cells;
use cells::{ApplyCall, ApplyEntry, Cells, LoadCall, ReserveCall, ReserveItem, Reserved};
use domain::ledger::{Draft, Flag, Totals};
use domain::{CampaignNo, HoldState, Kind, Nonce, OrderId};
use std::sync::Arc;

#[tokio::test]
async fn a_cell_lives() {
    let cells = cells::embedded::new(Arc::new(runtime::SystemClock));
    let cell = "sku.0".parse().unwrap();
    let mut totals = Totals { supply: 5, open: Flag::Open, seq: 2, ..Totals::default() };
    let call = LoadCall {
        totals,
        inc: 7,
        adds: 0,
        ticket: None,
        staged: None,
        staged_len: 0,
        limited: true,
    };
    cells.load(&cell, call).await.unwrap();
    let order = OrderId::compose(CampaignNo(1), 2, 3, 4);
    let item = ReserveItem {
        order,
        buyer: Some("ann".parse().unwrap()),
        buyer_hash: 99,
        qty: 2,
        nonce: Nonce(1),
        state: HoldState::Sealed,
        payload: bytes::Bytes::from_static(b"\0pay\xff"),
        checked: false,
        relay: false,
    };
    let call = ReserveCall {
        limit: 3,
        deadline_ms: 0,
        opens_at_ms: 0,
        closes_at_ms: 0,
        items: vec![item],
    };
    let reply = cells.reserve(&cell, call).await.unwrap();
    assert!(matches!(reply.results[0], Reserved::New { .. }), "{reply:?}");
    println!("{:?}", cells.scan_holds(&cell, 0, 10).await.unwrap());
    let before = totals;
    let draft = Draft {
        kind: Kind::Claim,
        order,
        buyer: "ann".into(),
        qty: 2,
        payload: vec![],
    };
    let entry = totals.append(draft, 0).unwrap();
    let call = ApplyCall {
        prev_seq: before.seq,
        prev_tok: before.tok,
        entries: vec![ApplyEntry::of(&entry, 99)],
    };
    println!("{:?}", cells.apply(&cell, call).await.unwrap());
    println!("{:?}", cells.snapshot(&cell).await.unwrap());
    println!("{:?}", cells.scan_buyers(&cell, 0, 10).await.unwrap());
}
