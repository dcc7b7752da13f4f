//! The store on SQLite: the conformance suite over one file and over two.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

mod facts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::{Giveback, Identity};
use runtime::Secret;
use runtime::clock::system_clock;
use sluicegate_store::port::InitOutcome;
use sluicegate_store::{
    CatalogRead, CatalogWrite, Init, LedgerRead, LedgerWrite, SqlStore, StoreConfig, Verdicts,
};
use testkit::store::make::{asks, one_line};
use testkit::store::{Subject, conformance};

fn open(dir: &Path, files: usize) -> Arc<SqlStore> {
    let url = |n| format!("sqlite://{}/shard-{n}.sqlite", dir.display());
    let cfg = StoreConfig {
        databases: (0..files).map(url).collect(),
        password: Secret::None,
        connections: 4,
        timeout: Duration::from_secs(5),
    };
    Arc::new(SqlStore::new(&cfg, identity(), system_clock()).unwrap())
}

fn identity() -> Identity {
    Identity::new(b"a secret of the tests")
}

fn subject(dir: &Path, files: usize) -> Subject {
    let (store, other) = (open(dir, files), open(dir, files));
    Subject { store, other, identity: identity(), tag: "t".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conformance(&subject(dir.path(), 1)).await.unwrap();
    let url = format!("sqlite://{}/shard-0.sqlite", dir.path().display());
    let db = sea_orm::Database::connect(url).await.unwrap();
    assert!(facts::one_for_each_version(&db).await > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_files_conform() {
    let dir = tempfile::tempdir().unwrap();
    conformance(&subject(dir.path(), 2)).await.unwrap();
}

#[tokio::test]
async fn another_number_of_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let fingerprint = identity().fingerprint_hex();
    open(dir.path(), 2).init(&fingerprint).await.unwrap();
    let more = open(dir.path(), 3).init(&fingerprint).await.unwrap();
    assert_eq!(more, InitOutcome::OtherDatabases(2));
}

/// A ledger that ends early may be a replica's; one with a hole is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_a_ledger_is_not_an_early_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1);
    store.init(&identity().fingerprint_hex()).await.unwrap();
    let cell = "hole".parse::<domain::OfferId>().unwrap().cell(0);
    let id = |n| identity().request_id(&cell.offer, "test", n);
    store.create_cells(&[(cell.clone(), 9)], (id("1"), id("2"))).await.unwrap();
    let order = |n: usize| one_line(&identity(), &cell, (&format!("buyer-{n}"), "k"));
    store.verdicts(&[asks(&cell, &(0..5).map(order).collect::<Vec<_>>())]).await.unwrap();
    let head = store.head(&cell).await.unwrap().unwrap().seq;
    assert_eq!(store.units(&cell, 0, head).await.unwrap().len(), 5);
    let early = store.units(&cell, 0, head + 1).await.unwrap_err();
    assert!(early.is_transient() && early.is_answer(), "{early}");
    let file = dir.path().join("shard-0.sqlite");
    let wrong = format!("DELETE FROM ledger WHERE seq = {}", head - 1);
    std::thread::scope(|t| {
        t.spawn(|| testkit::own::on_file(&file, &wrong).unwrap());
    });
    for (from, until) in [(0, head), (3, head), (head - 2, head), (0, head + 1)] {
        let hole = store.units(&cell, from, until).await.unwrap_err();
        assert!(!hole.is_transient(), "{from} to {until}: {hole}");
    }
    // What is before it is known, and what follows it.
    assert_eq!(store.units(&cell, 0, head - 2).await.unwrap().len(), 3);
    assert_eq!(store.units(&cell, head - 1, head).await.unwrap().len(), 1);
}

/// What cannot be read is an error, and never passes for what is not there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrupt_row_is_no_missing_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), 1);
    store.init(&identity().fingerprint_hex()).await.unwrap();
    let cell = "corrupt".parse::<domain::OfferId>().unwrap().cell(0);
    let id = |n| identity().request_id(&cell.offer, "test", n);
    store.create_cells(&[(cell.clone(), 9)], (id("1"), id("2"))).await.unwrap();
    let order = one_line(&identity(), &cell, ("ann", "k"));
    let batch = [asks(&cell, std::slice::from_ref(&order))];
    store.verdicts(&batch).await.unwrap();
    let file = dir.path().join("shard-0.sqlite");
    let hand = |sql: &str| {
        std::thread::scope(|t| {
            t.spawn(|| testkit::own::on_file(&file, sql).unwrap());
        });
    };
    // A claim that became a release, nothing that is known, or nothing at all.
    for kind in [4, 99, 0] {
        hand(&format!("UPDATE ledger SET kind = {kind} WHERE seq = 3"));
        let permanent = |what: &str, e: sluicegate_store::StoreError| {
            assert!(!e.is_transient(), "{what} of kind {kind}: {e}");
        };
        let ids = [order.order.into()];
        permanent("find", store.find_verdicts(&cell, &ids).await.unwrap_err());
        permanent("under", store.verdict_under(&cell, order.order.key()).await.unwrap_err());
        permanent("verdicts", store.verdicts(&batch).await.unwrap_err());
        let gives = [Giveback::release(order.order)];
        permanent("give back", store.give_back(&cell, &gives).await.unwrap_err());
    }
    hand("UPDATE ledger SET kind = 2 WHERE seq = 3");
    assert!(store.find_verdicts(&cell, &[order.order.into()]).await.unwrap()[0].is_some());
    // Where a row's word for its last flag is wrong, the ledger knows better.
    for seq in [0, 1, 3, 77] {
        hand(&format!("UPDATE cell SET flag_seq = {seq}"));
        assert_eq!(store.last_flag(&cell).await.unwrap().map(|e| e.seq), Some(2), "{seq}");
    }
    // A version that is none.
    let before = store.catalog_version().await.unwrap();
    hand("UPDATE meta SET value = 'x' WHERE name = 'catalog_version'");
    assert!(!store.catalog_version().await.unwrap_err().is_transient(), "{before}");
    let campaign = domain::Campaign::evergreen(&domain::Tenant::default());
    assert!(store.put_campaign(&campaign).await.is_err());
}
