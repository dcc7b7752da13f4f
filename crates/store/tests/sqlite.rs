//! The store on SQLite: the conformance suite over one file and over two.
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::Identity;
use runtime::Secret;
use runtime::clock::system_clock;
use sluicegate_store::{Catalog, SqlStore, StoreConfig, port::InitOutcome};
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
