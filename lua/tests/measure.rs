//! What a reserve costs. Not a check: run it by hand, in a release build, with `--ignored`.
//!
//! Orders are fresh and succeed, the payload has 300 bytes, the offer has a limit.
#![cfg(feature = "cluster")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use domain::{CellId, Kind};
use sluicegate_lua::{ApplyCall, ApplyEntry, Cells, Changed, LoadCall, embedded, fred};
use testkit::cells::case::{call, item, order};
use testkit::cells::stack;
use tokio::time::Instant;

const ORDERS: u64 = 200_000;

async fn reserve(cells: &dyn Cells, cell: &CellId, n: u64) {
    let totals = domain::Totals {
        supply: 1_000_000_000,
        open: domain::ledger::Flag::Open,
        ..domain::Totals::default()
    };
    let load = LoadCall {
        totals,
        inc: 1,
        adds: 0,
        ticket: None,
        staged: None,
        staged_len: 0,
        limited: true,
    };
    assert_eq!(cells.load(cell, load).await.unwrap(), Changed::Ok);
    let one = |i: u64| {
        let mut item = item(order((i % 4000) as u16, i, 1), i);
        item.buyer = Some(format!("buyer-{i:012}").parse().unwrap());
        item.payload = bytes::Bytes::from(vec![7; 300]);
        item
    };
    let mut took = std::time::Duration::ZERO;
    for batch in 0..ORDERS / n {
        let call = call(5, (0..n).map(|i| one(batch * n + i)).collect());
        let start = Instant::now();
        cells.reserve(cell, &call).await.unwrap();
        took += start.elapsed();
    }
    println!("reserve N={n}: {:.2} us/order as called", took.as_secs_f64() * 1e6 / ORDERS as f64);
    let mut head = totals;
    let mut took = std::time::Duration::ZERO;
    for batch in 0..ORDERS / n {
        let before = head;
        let entry = |i| {
            let (order, buyer) = (order((i % 4000) as u16, i, 1), format!("buyer-{i:012}"));
            let kind = Kind::Claim;
            domain::ledger::Draft { kind, id: order.into(), buyer, qty: 1, payload: Vec::new() }
        };
        let drafts = (0..n).map(|i| entry(batch * n + i));
        let entries = drafts.map(|d| ApplyEntry::of(&head.append(d, 0).unwrap(), 1)).collect();
        let call = ApplyCall { prev_seq: before.seq, prev_tok: before.tok, entries };
        let start = Instant::now();
        cells.apply(cell, call).await.unwrap();
        took += start.elapsed();
    }
    println!("apply   N={n}: {:.2} us/entry as called", took.as_secs_f64() * 1e6 / ORDERS as f64);
}

#[tokio::test]
#[ignore = "a measurement"]
async fn embedded_cost() {
    let cells = embedded::new(std::sync::Arc::new(runtime::SystemClock));
    for n in [1, 8, 32, 128] {
        let cell = format!("measure-{n}.0").parse().unwrap();
        reserve(&cells, &cell, n).await;
        cells.runner().wipe_all();
    }
}

#[tokio::test]
#[ignore = "a measurement"]
async fn redis_cost() {
    let _quiet = stack::share();
    let cells = fred::connect(&stack::cells(), &fred::Tuning::default()).await.unwrap();
    for n in [1, 8, 32, 128] {
        let cell = format!("{}.0", stack::fresh_name()).parse().unwrap();
        println!("-- {cell}: compare `INFO commandstats` of its node");
        reserve(&cells, &cell, n).await;
        let seen = cells.snapshot(&cell).await.unwrap().unwrap();
        let seen = (seen.mark.inc, seen.totals.seq, seen.totals.tok);
        assert_eq!(cells.drop_cell(&cell, seen, true).await.unwrap(), Changed::Ok);
    }
}
