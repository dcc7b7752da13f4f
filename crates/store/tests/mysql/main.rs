//! The store on the stack's MariaDB servers: the conformance suite, and a server that hangs.
//! Needs `cargo xtask stack up`. Every test makes databases of its own and drops them.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tasks end with their test, and a step that fails fails it"
)]

#[path = "../facts/mod.rs"]
mod facts;
mod migrate;
mod plans;
mod server;
mod texts;
mod vanished;

use std::sync::Arc;
use std::time::Duration;

use domain::Identity;
use runtime::Secret;
use runtime::clock::system_clock;
use sluicegate_store::{
    Init, LedgerRead, LedgerWrite, Marks, OrdersWrite, Shards, SqlStore, StoreConfig,
};
use testkit::own::Own;
use testkit::store::{Subject, conformance, make};
use tokio::time::Instant;

fn identity() -> Identity {
    Identity::new(b"a secret of the tests")
}

fn open(own: &Own, timeout: Duration) -> Arc<SqlStore> {
    let databases = own.urls.clone();
    let cfg = StoreConfig { databases, password: Secret::None, connections: 4, timeout };
    Arc::new(SqlStore::new(&cfg, identity(), system_clock()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_conform() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let done = conforms(&own).await;
    let mut orders = 0;
    for url in own.urls.iter().filter(|_| done.is_ok()) {
        let db = sea_orm::Database::connect(url).await.unwrap();
        orders += facts::one_for_each_version(&db).await;
    }
    own.drop_all().await.unwrap();
    done.unwrap();
    assert!(orders > 100, "{orders} orders");
}

async fn conforms(own: &Own) -> anyhow::Result<()> {
    let open = || open(own, Duration::from_secs(10));
    let subject = Subject { store: open(), other: open(), identity: identity(), tag: "t".into() };
    conformance(&subject).await
}

/// A hanging server costs its own calls the timeout and nothing else; afterwards all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_and_comes_back() {
    let mut disruption = testkit::stack::disrupt().unwrap();
    let own = Own::create().await.unwrap();
    let timeout = Duration::from_millis(1500);
    let store = open(&own, timeout);
    store.init(&identity().fingerprint_hex()).await.unwrap();
    let offer = (0..1000).map(|n| format!("hang-{n}").parse().unwrap());
    let offer: domain::OfferId = offer.clone().find(|o| store.cell_db(o) == 1).unwrap();
    let (cells, id) = ([(offer.cell(0), 5)], identity().request_id(&offer, "test", "1"));
    store.create_cells(&cells, (id, id)).await.unwrap();

    disruption.pause("mariadb-2").unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let calls = (0..8).map(|_| store.supply(&cells, id));
        for hung in futures::future::join_all(calls).await {
            assert!(hung.as_ref().is_err_and(|e| e.is_transient() && e.db() == 1), "{hung:?}");
        }
        let took = start.elapsed();
        assert!(took < timeout + Duration::from_millis(500), "took {took:?}");
        assert!(!store.ping(1).await && store.ping(0).await);
        store.set_progress("main-0", 1).await.expect("the other server works");
    }
    disruption.heal("mariadb-2").unwrap();

    let back = Instant::now();
    while let Err(e) = store.supply(&cells, id).await {
        assert!(e.is_transient() && back.elapsed() < Duration::from_secs(5), "{e}");
    }
    println!("worked {:?} after the server was back", back.elapsed());
    let head = store.head(&offer.cell(0)).await.unwrap().unwrap();
    assert_eq!(head.supply, 5, "the id of the first supply was used again");
    own.drop_all().await.unwrap();
}

/// Connections that a dead server left behind are noticed and replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server() {
    let mut disruption = testkit::stack::disrupt().unwrap();
    let own = Own::create().await.unwrap();
    let store = open(&own, Duration::from_millis(1500));
    store.init(&identity().fingerprint_hex()).await.unwrap();
    assert!(store.ping(1).await);
    disruption.kill("mariadb-2").unwrap();
    assert!(!store.ping(1).await && store.ping(0).await);
    disruption.heal("mariadb-2").unwrap();
    let back = Instant::now();
    while !store.ping(1).await {
        assert!(back.elapsed() < Duration::from_secs(5), "does not come back");
    }
    own.drop_all().await.unwrap();
}

/// Prints how fast order rows are written; run with `--ignored --nocapture`, in release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn rows_per_second() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let store = open(&own, Duration::from_secs(30));
    store.init(&identity().fingerprint_hex()).await.unwrap();
    let cell = "rows".parse::<domain::OfferId>().unwrap().cell(0);
    let batch = |n: usize| -> Vec<_> {
        let buyers = (0..512).map(|b| format!("buyer-{n}-{b}"));
        buyers.map(|b| make::row(&make::one_line(&identity(), &cell, (&b, "key")))).collect()
    };
    store.rows(0, &batch(0)).await.unwrap();
    let batches: Vec<_> = (1..=20).map(batch).collect();
    let start = Instant::now();
    for batch in &batches {
        store.rows(0, batch).await.unwrap();
    }
    println!("{:.0} rows/s", 20.0 * 512.0 / start.elapsed().as_secs_f64());
    own.drop_all().await.unwrap();
}
