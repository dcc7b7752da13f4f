//! Following a ledger: gaps, forks, missing cells, long replays. And the catalog cache.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cloned_ref_to_slice_refs,
    missing_docs,
    reason = "a step that fails fails the test"
)]

use std::time::Duration;

use domain::frame::{Mode, Sealed};
use domain::{CellId, EntryId};
use sluicegate_view::{CatalogCache, Followed};
use store::port::{Appended, Ask, CellAsks, Change};
use store::{LedgerWrite, Verdicts};
use testkit::ports::{Fail, START_MS, Site};

async fn supply(site: &Site, cell: &CellId, n: u32) -> Appended {
    let id = EntryId::from_slice(&[&[7; 12][..], &n.to_be_bytes()].concat()).unwrap();
    match site.store.supply(&[(cell.clone(), 1)], id).await.unwrap() {
        Change::Done(mut list) => list.remove(0),
        other @ (Change::OtherUnits | Change::Illegal(_) | Change::Refused(_) | Change::NoCell) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test]
async fn a_gap_is_read_from_the_ledger_and_a_repeat_changes_nothing() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[9], 2).await.remove(0);
    let follow = site.ports.follow();
    let first = supply(&site, &cell, 1).await;
    let second = verdicts_of(&site, &cell, 0, 5).await;
    let head = site.head(&cell).await.seq;
    let Followed::Ok { watermark, without_hold } = follow.apply(&second).await else {
        panic!("not applied")
    };
    assert_eq!((watermark, without_hold), (head, 5));
    for late in [&first, &second, &first] {
        let again = follow.apply(late).await;
        assert_eq!(again, Followed::Ok { watermark: head, without_hold: 0 });
    }
    let none = Appended { entries: Vec::new(), ..second };
    assert!(matches!(follow.apply(&none).await, Followed::Ok { .. }));
    site.quiet(&[cell]).await;
}

#[tokio::test]
async fn a_replay_of_more_than_one_page() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[3000], 0).await.remove(0);
    let saved = site.cells.runner().save(&cell);
    let mut last = None;
    for n in 0..4 {
        supply(&site, &cell, n).await;
        let asks = verdicts_of(&site, &cell, n, 400).await;
        last = Some(asks);
    }
    let follow = site.ports.follow();
    let head = site.head(&cell).await.seq;
    assert!(head > 3 * 512);
    let got = follow.apply(&last.unwrap()).await;
    assert_eq!(got, Followed::Ok { watermark: head, without_hold: 1600 });
    site.quiet(&[cell.clone()]).await;
    // The slot falls back to its beginning: catching up walks all pages again.
    site.cells.runner().restore(&cell, &saved);
    let again = follow.catch_up(&cell).await;
    assert_eq!(again, Followed::Ok { watermark: head, without_hold: 1600 });
    site.quiet(&[cell]).await;
}

/// Verdicts for `n` orders that nobody holds.
async fn verdicts_of(site: &Site, cell: &CellId, round: u32, n: usize) -> Appended {
    let ask = |i: usize| {
        let p = site.order(&format!("b{round}-{i}"), "k", &[(cell, 1)]);
        Ask {
            order: p.order,
            buyer: p.buyer.clone(),
            qty: 1,
            mode: Mode::Full,
            anchor: false,
            sealed: Sealed { t_ms: START_MS, payload: p.encode().into() },
        }
    };
    let asks = vec![CellAsks { cell: cell.clone(), asks: (0..n).map(ask).collect() }];
    let done = site.store.verdicts(&asks).await.unwrap().remove(0);
    Appended { cell: done.cell, prev: done.prev.unwrap(), entries: done.entries }
}

#[tokio::test]
async fn missing_fork_and_silence_are_told_apart() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[9], 0).await.remove(0);
    let follow = site.ports.follow();
    // Falsified: the token at W is not the ledger's.
    let saved = site.cells.runner().save(&cell);
    site.cells.runner().falsify(&cell, "c", b"tok", b"00000000000000aa");
    let more = supply(&site, &cell, 1).await;
    assert_eq!(follow.apply(&more).await, Followed::Fork);
    assert_eq!(follow.catch_up(&cell).await, Followed::Fork);
    // Ahead of the ledger.
    site.cells.runner().restore(&cell, &saved);
    site.cells.runner().falsify(&cell, "c", b"W", b"99");
    assert_eq!(follow.catch_up(&cell).await, Followed::Fork);
    site.cells.runner().restore(&cell, &saved);
    // The ledger cannot be read: a gap stays a gap.
    let far = supply(&site, &cell, 2).await;
    site.store.rules.set(|c| if c.name == "after" { Fail::Before } else { Fail::No });
    assert_eq!(follow.apply(&far).await, Followed::Unknown);
    site.store.rules.clear();
    assert!(matches!(follow.apply(&far).await, Followed::Ok { .. }));
    site.quiet(&[cell.clone()]).await;
    site.cells.runner().wipe_cell(&cell);
    assert_eq!(follow.apply(&far).await, Followed::Missing);
    assert_eq!(follow.catch_up(&cell).await, Followed::Missing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_followers_in_any_order_agree() {
    let site = Site::new(1, 1).await;
    let cell = site.offer("shoe", &[200], 3).await.remove(0);
    let mut all = Vec::new();
    for n in 0..12 {
        all.push(supply(&site, &cell, n).await);
        all.push(verdicts_of(&site, &cell, n, 7).await);
    }
    let follow = site.ports.follow();
    let forth = async {
        for a in &all {
            assert!(matches!(follow.apply(a).await, Followed::Ok { .. }));
        }
    };
    let back = async {
        for a in all.iter().rev() {
            assert!(matches!(follow.apply(a).await, Followed::Ok { .. }));
        }
    };
    tokio::join!(forth, back);
    site.quiet(&[cell]).await;
}

#[tokio::test]
async fn a_new_offer_is_seen_although_it_was_denied_before() {
    let site = Site::new(1, 1).await;
    let catalog = CatalogCache::new(site.ports.store.clone());
    let id = "shoe".parse().unwrap();
    assert!(catalog.get(&id).await.unwrap().is_none());
    site.offer("shoe", &[1], 0).await;
    // The poll finds it at once, the denial does not hide it.
    catalog.refresh().await.unwrap();
    assert!(catalog.get(&id).await.unwrap().is_some());
    assert_eq!(catalog.all().len(), 1);
    // What is known stays while the database is away; what is not known is an error, no denial.
    site.store.rules.set(|_| Fail::Before);
    assert!(catalog.get(&id).await.unwrap().is_some());
    assert!(catalog.get(&"boot".parse().unwrap()).await.is_err());
    site.store.rules.clear();
    assert!(catalog.get(&"boot".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_flood_of_made_up_ids_shares_its_reads() {
    let site = Site::new(1, 1).await;
    let catalog = CatalogCache::new(site.ports.store.clone());
    catalog.refresh().await.unwrap();
    site.store.rules.set(|_| Fail::Late(Duration::from_millis(20)));
    let ids: Vec<domain::OfferId> =
        (0..200).map(|n| format!("made-up-{n}").parse().unwrap()).collect();
    let mut set = tokio::task::JoinSet::new();
    for id in ids {
        let catalog = catalog.clone();
        #[allow(clippy::disallowed_methods)]
        set.spawn(async move { catalog.get(&id).await.unwrap().is_none() });
    }
    while let Some(none) = set.join_next().await {
        assert!(none.unwrap());
    }
    assert!(site.store.rules.calls() <= 3, "{} reads", site.store.rules.calls());
}
