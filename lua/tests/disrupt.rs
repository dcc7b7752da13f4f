//! Faults of a real cluster under load: lost scripts, a migrated slot, failovers.
//!
//! Each test holds the stack alone (a file lock) and puts things back in order before it judges.
//! A caller repeats with the same nonce; then every order has exactly one hold (INV-4), because
//! neither a migration nor a manual failover loses a write.
#![cfg(feature = "cluster")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod nodes;

use domain::{CellId, Totals};
use nodes::{ask, migrate, owner, promote, replica_of, topology, waits};
use sluicegate_lua::{CellError, Cells, Changed, LoadCall, Reserved, fred, redisrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::cells::case::{Case, call, item, order};
use testkit::cells::stack;
use tokio::time::{Instant, sleep};

/// Reserves fresh orders until `stop`; how many, and the longest wait of one.
async fn crowd(cells: &dyn Cells, cell: &CellId, stop: &AtomicBool) -> (u64, Duration) {
    let (mut count, mut worst) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let start = Instant::now();
        let item = item(order((count % 4000) as u16, count, 1), count);
        loop {
            match cells.reserve(cell, &call(0, vec![item.clone()])).await {
                Ok(reply) => {
                    let new = matches!(reply.results[0], Reserved::New { .. });
                    assert!(new, "{:?}", reply.results);
                    break;
                }
                Err(e @ CellError::Broken(..)) => panic!("{e}"),
                Err(e) => {
                    assert!(start.elapsed() < Duration::from_secs(30), "for 30 s: {e}");
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        worst = worst.max(start.elapsed());
        sleep(Duration::from_millis(1)).await;
    }
    (count, worst)
}

async fn under_load<F>(cells: &dyn Cells, what: &str, fault: impl FnOnce(CellId) -> F)
where
    F: Future<Output = ()>,
{
    let cell: CellId = format!("{}.0", stack::fresh_name()).parse().unwrap();
    let _case = Case::new(cells, cell.clone(), 1_000_000, 0).await;
    let stop = AtomicBool::new(false);
    let breaker = async {
        sleep(Duration::from_millis(100)).await;
        fault(cell.clone()).await;
        sleep(Duration::from_millis(300)).await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((), (count, worst)) = tokio::join!(breaker, crowd(cells, &cell, &stop));
    let view = cells.snapshot(&cell).await.unwrap().unwrap();
    assert_eq!((view.held as u64, view.holds), (count, count), "{what}");
    let seen = (view.mark.inc, view.totals.seq, view.totals.tok);
    cells.drop_cell(&cell, seen, true).await.unwrap();
    println!("{what}: {count} orders, the longest wait {worst:?}");
}

async fn clients() -> Vec<(&'static str, Box<dyn Cells>)> {
    let fred = fred::connect(&stack::cells(), &fred::Tuning::default()).await.unwrap();
    let redisrs = redisrs::connect(&stack::cells()).await.unwrap();
    let waits = waits().await;
    vec![("fred", Box::new(fred)), ("redis-rs", Box::new(redisrs)), ("waiting", Box::new(waits))]
}

#[tokio::test]
async fn nodes_that_forgot_the_scripts_get_them_again() {
    let _alone = stack::alone();
    for (name, cells) in clients().await {
        under_load(&*cells, name, |_| async {
            for node in topology().await {
                ask::<String>(&node.addr, "SCRIPT FLUSH").await.unwrap();
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_slot_moves_under_load_and_back() {
    let _alone = stack::alone();
    for (name, cells) in clients().await {
        under_load(&*cells, name, |cell| async move {
            let (from, slot) = owner(&cell).await;
            let all = topology().await;
            let to = all.into_iter().find(|n| n.primary && n.id != from.id).unwrap();
            migrate(slot, &from, &to).await;
            sleep(Duration::from_millis(300)).await;
            migrate(slot, &to, &from).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_failover_under_load_and_back() {
    let _alone = stack::alone();
    for (name, cells) in clients().await {
        under_load(&*cells, name, |cell| async move {
            let (primary, _) = owner(&cell).await;
            promote(&replica_of(&primary).await).await;
            sleep(Duration::from_millis(500)).await;
            promote(&primary).await;
        })
        .await;
    }
}

/// Calls that a node refused because the slot is another's.
async fn redirected() -> u64 {
    let mut sum = 0;
    for node in topology().await.iter().filter(|n| n.primary) {
        let text: String = ask(&node.addr, "INFO commandstats").await.unwrap();
        let line = text.lines().find(|l| l.starts_with("cmdstat_evalsha:")).unwrap_or_default();
        let field = line.split(',').find_map(|f| f.strip_prefix("rejected_calls="));
        sum += field.map_or(0, |n| n.parse::<u64>().unwrap());
    }
    sum
}

#[tokio::test]
async fn a_call_goes_to_the_node_that_has_the_slot() {
    let _alone = stack::alone();
    for (name, cells) in clients().await {
        let before = redirected().await;
        for n in 0..40 {
            let cell = format!("{}-{n}.0", stack::fresh_name()).parse().unwrap();
            assert_eq!(cells.snapshot(&cell).await.unwrap(), None);
        }
        assert_eq!(redirected().await, before, "{name}");
    }
}

/// After a failover the slot may be what it was before a load that is lost: a second load with the
/// same ticket would build the cell without the orders that were accepted in between.
#[tokio::test]
async fn a_ticket_dies_with_its_primary() {
    let _alone = stack::alone();
    let cells = redisrs::connect(&stack::cells()).await.unwrap();
    let cell: CellId = format!("{}.0", stack::fresh_name()).parse().unwrap();
    let load = |ticket: &str| LoadCall {
        totals: Totals { supply: 5, seq: 1, ..Totals::default() },
        inc: 6,
        adds: 0,
        ticket: Some(ticket.to_owned()),
        staged: None,
        staged_len: 0,
        limited: true,
    };
    cells.ticket(&cell, "before").await.unwrap();
    let (primary, _) = owner(&cell).await;
    promote(&replica_of(&primary).await).await;
    let old = cells.load(&cell, load("before")).await;
    let stored = cells.ticket(&cell, "after").await;
    let new = cells.load(&cell, load("after")).await;
    sleep(Duration::from_millis(500)).await;
    promote(&primary).await;
    assert_eq!(old.unwrap(), Changed::Changed);
    stored.unwrap();
    assert_eq!(new.unwrap(), Changed::Ok);
    cells.drop_cell(&cell, (6, 1, Totals::default().tok), false).await.unwrap();
}
