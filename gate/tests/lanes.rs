//! A panic in a call takes that call's answers, and nothing else: its lane goes on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod stand;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use stand::{Heard, Stand, counter};
use testkit::ports::Site;

/// Rounds of purchases at once, so that every driver of the lane meets panics.
async fn crowd(stand: &Stand, round: usize, n: usize) -> Vec<Heard> {
    let buy = |i| async move { stand.buy(&format!("b{round}-{i}"), "k", "hot").await };
    join_all((0..n).map(buy)).await
}

fn with(all: &[Heard], status: &str) -> usize {
    all.iter().filter(|h| h.status == 202 && h.at("status") == status).count()
}

#[tokio::test]
async fn a_reserve_that_panics_leaves_its_lane() {
    let site = Site::new(1, 1).await;
    site.offer("hot", &[100_000], 0).await;
    let broken = Arc::new(AtomicBool::new(true));
    let (rule, panics) = (broken.clone(), Arc::new(AtomicU64::new(0)));
    let count = panics.clone();
    let stand = Stand::wild(site, move |script, n| {
        if script == "reserve" && rule.load(Ordering::SeqCst) && n.is_multiple_of(2) {
            count.fetch_add(1, Ordering::SeqCst);
            panic!("a bug of the test");
        }
    })
    .await;
    let before = counter(r#"sluicegate_task_panics_total{task="reserve lane"}"#);
    for round in 0..5 {
        let all = crowd(&stand, round, 600).await;
        // Every one of them is told something, and nobody that nothing was taken.
        assert_eq!(with(&all, "accepted") + with(&all, "unconfirmed"), 600, "{:?}", all[0]);
    }
    let met = panics.load(Ordering::SeqCst);
    assert!(met >= 5, "{met}");
    let counted = counter(r#"sluicegate_task_panics_total{task="reserve lane"}"#) - before;
    assert_eq!(counted, met);
    broken.store(false, Ordering::SeqCst);
    let all = crowd(&stand, 9, 600).await;
    assert_eq!(with(&all, "accepted"), 600);
    // And repeats of those who were left in the dark find out.
    let all = crowd(&stand, 0, 600).await;
    assert_eq!(with(&all, "accepted"), 600);
}

#[tokio::test]
async fn a_publish_that_panics_leaves_its_lane() {
    let site = Site::new(1, 1).await;
    site.offer("hot", &[100_000], 0).await;
    let stand = Stand::new(site).await;
    let before = counter(r#"sluicegate_task_panics_total{task="publish lane"}"#);
    stand.site.log.rules.set(|_| panic!("a bug of the test"));
    for round in 0..5 {
        let all = crowd(&stand, round, 600).await;
        assert_eq!(with(&all, "unconfirmed"), 600);
    }
    assert!(stand.gate.is_flushed(), "a drain would wait for these frames");
    assert!(counter(r#"sluicegate_task_panics_total{task="publish lane"}"#) > before);
    stand.site.log.rules.clear();
    assert_eq!(with(&crowd(&stand, 9, 600).await, "accepted"), 600);
    assert!(stand.gate.is_flushed());
}

/// One filter is built at a time; one whose build panicked must not be the last.
#[tokio::test]
async fn a_filter_whose_build_panics_is_built_again() {
    let site = Site::new(1, 1).await;
    site.offer("hot", &[1], 0).await;
    let (broken, reserves) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let (rule, count) = (broken.clone(), reserves.clone());
    let stand = Stand::wild(site, move |script, _| {
        assert!(script != "scan" || !rule.load(Ordering::SeqCst), "a bug of the test");
        count.fetch_add(u64::from(script == "reserve"), Ordering::SeqCst);
    })
    .await;
    let before = counter(r#"sluicegate_task_panics_total{task="sold-out filter"}"#);
    assert_eq!(stand.buy("first", "k", "hot").await.at("status"), "accepted");
    // How many of some late requests came to the cell.
    let late = async |from: u64| {
        let asked = reserves.load(Ordering::SeqCst);
        for n in from..from + 50 {
            let heard = stand.buy(&format!("late-{n}"), "k", "hot").await;
            assert_eq!(heard.at("reason"), "sold_out");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        reserves.load(Ordering::SeqCst) - asked
    };
    assert_eq!(late(0).await, 50);
    let panics = counter(r#"sluicegate_task_panics_total{task="sold-out filter"}"#) - before;
    assert!(panics > 1, "{panics}");
    broken.store(false, Ordering::SeqCst);
    late(100).await;
    assert!(late(200).await < 10);
}
