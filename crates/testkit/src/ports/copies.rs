//! Copies of a site's databases: a replica that is behind, a backup that is put back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::Secret;
use sea_orm::{ConnectionTrait, TransactionTrait};
use store::{SqlStore, Store, StoreConfig};

use super::Site;

/// What every database of a site had at one moment.
pub struct Copies(Vec<PathBuf>);

impl Site {
    /// All databases as they are now.
    pub async fn copies(&self) -> Copies {
        let mut files = Vec::new();
        for db in 0..self.ports.store.databases() {
            let name = format!("copy-{db}-{:x}.sqlite", self.ports.unique.next());
            let file = self.dir.path().join(name);
            self.sql(db, &format!("VACUUM INTO '{}'", file.display())).await;
            files.push(file);
        }
        Copies(files)
    }

    /// A store over the copies.
    pub fn replica(&self, copies: &Copies) -> Arc<dyn Store> {
        let databases = copies.0.iter().map(|f| format!("sqlite://{}", f.display())).collect();
        let timeout = Duration::from_secs(5);
        let cfg = StoreConfig { databases, connections: 1, timeout, password: Secret::None };
        let ports = &self.ports;
        let store = SqlStore::new(&cfg, ports.identity.clone(), ports.clock.clone());
        Arc::new(store.expect("copies of SQLite files"))
    }

    /// One database has what its copy has, in one step, while everything runs.
    pub async fn restore(&self, db: u16, copies: &Copies) {
        let file = self.dir.path().join(format!("db-{db}.sqlite"));
        let mut options = sea_orm::ConnectOptions::new(format!("sqlite://{}", file.display()));
        options.max_connections(1).sqlx_logging(false);
        let one = sea_orm::Database::connect(options).await.expect("the file of a database");
        let copy = copies.0[usize::from(db)].display();
        one.execute_unprepared(&format!("ATTACH '{copy}' AS old")).await.expect("the copy");
        let tables = "SELECT name FROM old.sqlite_master WHERE type = 'table' \
                      AND name NOT LIKE 'sqlite_%'";
        let tables = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, tables);
        let tables = one.query_all_raw(tables).await.expect("its tables");
        let tx = one.begin().await.expect("a transaction");
        for table in tables {
            let t: String = table.try_get_by_index(0).expect("a name");
            let sql = format!("DELETE FROM main.{t}; INSERT INTO main.{t} SELECT * FROM old.{t}");
            tx.execute_unprepared(&sql).await.expect("a table put back");
        }
        tx.commit().await.expect("a commit");
        one.close().await.expect("closed");
    }
}
