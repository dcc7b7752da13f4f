//! What the simulator does to store and log in memory does what it says.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::time::Duration;

use domain::frame::{Mode, Sealed};
use domain::{CellId, Identity, OrderId, Totals, invariant};
use orderlog::{LogError, OrderLog, Partition};
use sluicegate_testkit::log::{frame, number};
use sluicegate_testkit::memory::{MemoryLog, MemoryStore, PausedClock};
use store::port::{Ask, CellAsks};
use store::{Init, LedgerRead, LedgerWrite, Verdicts};
use tokio::time::{Instant, timeout};

const START_MS: u64 = 1_800_000_000_000;
const P: Partition = Partition::Main(0);

async fn log_of(frames: u64) -> MemoryLog {
    let log = MemoryLog::new(2, PausedClock::starting_at(START_MS));
    log.init(1).await.unwrap();
    for n in 0..frames {
        log.publish(P, frame(n)).await.unwrap();
    }
    log
}

async fn next(c: &mut Box<dyn orderlog::Consumer>) -> Option<u64> {
    let next = timeout(Duration::from_millis(5), c.next()).await.ok()?;
    Some(number(&next.unwrap()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn acked_frames_come_again_at_their_place() {
    let log = log_of(3).await;
    let mut c = log.consumer(P).await.unwrap();
    for n in 0..2 {
        let d = c.next().await.unwrap();
        assert_eq!(number(&d).unwrap(), n);
        c.ack(&d.id).await.unwrap();
    }
    let acked = log.acked(P);
    assert_eq!((acked.len(), log.backlog_now()), (2, 1));
    assert_eq!(log.redeliver(P, &[acked[0].id.clone(), acked[0].id.clone()]), 1);
    assert_eq!((next(&mut c).await, next(&mut c).await), (Some(0), Some(2)));
    assert_eq!(next(&mut c).await, None);
    let out = log.unacked(P);
    assert!(out.iter().all(|f| f.out));
    assert!(log.repeat(P, &out[1].id) && !log.repeat(P, &acked[1].id));
    assert_eq!(next(&mut c).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_lost_frame_never_comes() {
    let log = log_of(3).await;
    assert_eq!(log.lose(P, 1).map(|f| f.frame), Some(frame(1)));
    assert!(log.lose(P, 2).is_none());
    let mut c = log.consumer(P).await.unwrap();
    assert_eq!((next(&mut c).await, next(&mut c).await), (Some(0), Some(2)));
    assert_eq!(next(&mut c).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_pick_reorders_and_an_ended_consumer_is_succeeded() {
    let log = log_of(4).await;
    log.set_pick(Some(Box::new(|_, n| n - 1)));
    let mut first = log.consumer(P).await.unwrap();
    let mut second = log.consumer(P).await.unwrap();
    assert_eq!((next(&mut first).await, next(&mut first).await), (Some(3), Some(2)));
    log.set_pick(None);
    assert_eq!(next(&mut second).await, None);
    assert!(log.end_consumer(P));
    assert!(matches!(first.next().await, Err(LogError::Ended(..))));
    assert_eq!((next(&mut second).await, next(&mut second).await), (Some(0), Some(1)));
    drop(first);
    assert_eq!((next(&mut second).await, next(&mut second).await), (Some(2), Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publish_gives_its_place_back() {
    let log = MemoryLog::with_queue(1, PausedClock::starting_at(START_MS), 1);
    log.init(1).await.unwrap();
    for n in 0..5 {
        // Dropped at its first step: not stored, and the queue of one is free again.
        assert!(timeout(Duration::ZERO, log.publish(P, frame(n))).await.is_err());
    }
    assert_eq!(log.backlog_now(), 0);
    let (a, b) = tokio::join!(log.publish(P, frame(8)), log.publish(P, frame(9)));
    assert!(a.is_ok() && matches!(b, Err(LogError::NotStored(..))));
}

struct Shop {
    store: MemoryStore,
    cell: CellId,
}

fn order(n: u64) -> OrderId {
    OrderId::compose(domain::CampaignNo(1), 1, n, 1)
}

impl Shop {
    async fn new() -> Self {
        let identity = Identity::new(b"a secret of the tests");
        let store = MemoryStore::new(2, identity, PausedClock::starting_at(START_MS));
        store.init("f").await.unwrap();
        let cell: CellId = "o.0".parse().unwrap();
        store
            .create_cells(&[(cell.clone(), 10)], (order(1).into(), order(2).into()))
            .await
            .unwrap();
        Self { store, cell }
    }

    async fn claim(&self, n: u64) -> u64 {
        let ask = Ask {
            order: order(n),
            buyer: "b".parse().unwrap(),
            qty: 1,
            mode: Mode::Full,
            anchor: true,
            sealed: Sealed { t_ms: START_MS, payload: vec![1; 100].into() },
        };
        let batch = [CellAsks { cell: self.cell.clone(), asks: vec![ask] }];
        self.store.verdicts(&batch).await.unwrap()[0].verdicts[0].seq
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_cuts_one_ledger_and_its_list() {
    let shop = Shop::new().await;
    for n in 10..13 {
        shop.claim(n).await;
    }
    let before = shop.store.ledger_of(&shop.cell).unwrap();
    let commits = shop.store.commits();
    assert_eq!(shop.store.fork(&shop.cell, 4), 1);
    assert!(shop.store.commits() > commits);
    let (head, entries) = shop.store.ledger_of(&shop.cell).unwrap();
    assert_eq!((head, entries.len()), (before.1[3].totals(), 4));
    assert_eq!(shop.store.unrowed_now().len(), 2);
    // The order is unknown again, and another one takes its position with another chain.
    assert_eq!(
        shop.store.find_verdicts(&shop.cell, &[order(12).into()]).await.unwrap(),
        vec![None]
    );
    assert_eq!(shop.claim(13).await, 5);
    let (head, entries) = shop.store.ledger_of(&shop.cell).unwrap();
    assert_ne!(head.tok, before.0.tok);
    assert_eq!(invariant::ledger(&entries, head), vec![]);
    shop.store.fork(&shop.cell, 0);
    assert_eq!(shop.store.ledger_of(&shop.cell).unwrap(), (Totals::default(), vec![]));
}

/// Prints what a schedule costs; run with `--ignored --nocapture`, in release.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "tokio's clock stands still here")]
async fn speed() {
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        Shop::new().await;
        log_of(0).await;
    }
    println!("store, one cell, log: {:?} each", begun.elapsed() / 1000);
    let (shop, begun) = (Shop::new().await, std::time::Instant::now());
    for n in 10..10_010 {
        shop.claim(n).await;
    }
    println!("verdicts: {:?} each", begun.elapsed() / 10_000);
    let (log, begun) = (log_of(0).await, std::time::Instant::now());
    let mut c = log.consumer(P).await.unwrap();
    for n in 0..10_000 {
        log.publish(P, frame(n)).await.unwrap();
        let d = c.next().await.unwrap();
        c.ack(&d.id).await.unwrap();
    }
    println!("publish, next, ack: {:?} each", begun.elapsed() / 10_000);
    assert_eq!(Instant::now().elapsed(), Duration::ZERO);
}
