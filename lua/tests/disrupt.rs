//! Faults of a real cluster under load: lost scripts, a migrated slot, failovers.
//!
//! Each test holds the stack alone (a file lock) and puts things back in order before it judges.
//! A caller repeats with the same nonce; then every order has exactly one hold (INV-4), because
//! neither a migration nor a manual failover loses a write.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod nodes;

use domain::CellId;
use nodes::{ask, migrate, owner, promote, topology, waits};
use sluicegate_lua::{CellError, Cells, Reserved, fred, redisrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use testkit::cells::conformance::{Case, call, item, order};
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
    let fred = fred::connect(&stack::nodes(), &fred::Tuning::default()).await.unwrap();
    let redisrs = redisrs::connect(&stack::nodes()).await.unwrap();
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
            let all = topology().await;
            let replica = all.into_iter().find(|n| n.of == primary.id).unwrap();
            promote(&replica).await;
            sleep(Duration::from_millis(500)).await;
            promote(&primary).await;
        })
        .await;
    }
}
