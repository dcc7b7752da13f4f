//! A client that vanishes below TCP in the middle of a transaction: no FIN, no RST, only silence.
//! Its lock is on one cell; the others of the database go on at once, and that one in seconds.
#![allow(clippy::print_stdout, reason = "a test tells what it saw")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::{CellId, OfferId};
use runtime::Secret;
use runtime::clock::system_clock;
use sluicegate_store::port::{CellAsks, Skipped};
use sluicegate_store::{Init, LedgerRead, LedgerWrite, Shards, SqlStore, StoreConfig, Verdicts};
use testkit::own::Own;
use testkit::store::make;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::identity;

/// A way to a server that goes silent for ever, both connections open, as soon as the client says
/// `word`; what it says then does not arrive.
struct Way {
    address: SocketAddr,
    silent: Arc<AtomicBool>,
}

impl Way {
    async fn to(server: String, word: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let silent = Arc::new(AtomicBool::new(false));
        let said = silent.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let said = said.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
                        if bytes[..n].windows(word.len()).any(|w| w == word) {
                            said.store(true, Ordering::SeqCst);
                            std::future::pending::<()>().await;
                        }
                        to_server.write_all(&bytes[..n]).await.unwrap();
                    }
                });
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                    // Not even the end of the server's side gets through.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { address, silent }
    }
}

fn store(url: String) -> SqlStore {
    let (databases, timeout) = (vec![url], Duration::from_secs(2));
    let cfg = StoreConfig { databases, password: Secret::None, connections: 2, timeout };
    SqlStore::new(&cfg, identity(), system_clock()).unwrap()
}

fn asks(cell: &CellId, n: usize) -> CellAsks {
    make::asks(cell, &[make::one_line(&identity(), cell, (&format!("buyer-{n}"), "k"))])
}

async fn vanishes_at(word: &'static [u8]) {
    let own = Own::create().await.unwrap();
    let url = own.urls[0].clone();
    let (_, place) = url.split_once('@').unwrap();
    let (server, _) = place.split_once('/').unwrap();
    let here = store(url.clone());
    here.init(&identity().fingerprint_hex()).await.unwrap();
    let cells: Vec<CellId> = ["one", "two", "three"]
        .map(|name| name.parse::<OfferId>().unwrap().cell(0))
        .into_iter()
        .collect();
    for cell in &cells {
        let id = |n| identity().request_id(&cell.offer, "test", n);
        here.create_cells(&[(cell.clone(), 9)], (id("1"), id("2"))).await.unwrap();
    }
    let way = Way::to(server.to_owned(), word).await;
    let there = store(url.replace(server, &way.address.to_string()));
    // Silent in the middle: the cell is locked, nothing is committed.
    let gone = there.verdicts(&[asks(&cells[1], 1)]).await;
    assert!(gone.as_ref().is_err_and(|e| e.is_transient()), "{gone:?}");
    assert!(way.silent.load(Ordering::SeqCst), "it got through");

    let began = Instant::now();
    let batch: Vec<CellAsks> = cells.iter().map(|c| asks(c, 2)).collect();
    let done = here.verdicts(&batch).await.unwrap();
    let skipped: Vec<Option<Skipped>> = done.iter().map(|c| c.skipped).collect();
    assert_eq!(skipped, [None, Some(Skipped::Busy), None], "the other cells go on");
    assert_eq!(done.iter().map(|c| c.verdicts.len()).collect::<Vec<_>>(), [1, 0, 1]);
    // While the lock lasts nobody waits for it any more.
    let done = here.verdicts(&[asks(&cells[0], 3), asks(&cells[1], 3)]).await.unwrap();
    assert_eq!(done[0].skipped, None);
    let mut waited = 0;
    while here.verdicts(&[asks(&cells[1], 2)]).await.unwrap()[0].skipped.is_some() {
        waited += 1;
        assert!(waited < 600, "the lock lasts for ever");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("free again after {:?}", began.elapsed());
    for (cell, net) in cells.iter().zip([2, 1, 1]) {
        assert_eq!(here.head(cell).await.unwrap().unwrap().net, net, "{cell}");
    }
    own.drop_all().await.unwrap();
}

/// After the lock, before the entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanished_with_a_lock() {
    let _calm = testkit::stack::calm().unwrap();
    vanishes_at(b"INSERT INTO `ledger`").await;
}

/// After the entries, before the commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanished_before_its_commit() {
    let _calm = testkit::stack::calm().unwrap();
    // A command of its own, not the word in the name of an isolation level.
    vanishes_at(b"\x03COMMIT").await;
}

/// The order of an operator waits for the same lock, and says so instead of hanging.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_of_a_lock() {
    let _calm = testkit::stack::calm().unwrap();
    let own = Own::create().await.unwrap();
    let here = store(own.urls[0].clone());
    here.init(&identity().fingerprint_hex()).await.unwrap();
    let cell = "locked".parse::<OfferId>().unwrap().cell(0);
    let id = |n| identity().request_id(&cell.offer, "test", n);
    let one = [(cell.clone(), 9)];
    here.create_cells(&one, (id("1"), id("2"))).await.unwrap();
    let lock = format!("SELECT * FROM cell WHERE cell_id = '{cell}' FOR UPDATE");
    let holder = own.holds(0, &lock).await.unwrap();
    let told = here.supply(&one, id("3")).await;
    assert!(matches!(told, Err(sluicegate_store::StoreError::Busy { .. })), "{told:?}");
    assert!(here.ping(0).await, "the database is well");
    holder.close().await.unwrap();
    here.supply(&one, id("3")).await.unwrap();
    own.drop_all().await.unwrap();
}
