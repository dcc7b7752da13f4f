//! The idempotent init that every service runs: migrations on every database under a named lock
//! of database 0, then the identity fingerprint and the shard map.

use domain::{Campaign, ShardMap, Tenant};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    EntityTrait, Statement,
};
use sea_orm_migration::MigratorTrait;

use super::meta::{CATALOG_VERSION, read_meta};
use super::{Db, SqlStore, catalog, charset, session};
use crate::entity::meta;
use crate::error::{StoreError, StoreResult};
use crate::migrations::Migrator;
use crate::port::InitOutcome;

/// Stores a fact unless it is there; answers what is in force.
async fn fact(db: &Db, tx: &DatabaseTransaction, name: &str, value: &str) -> StoreResult<String> {
    if let Some(found) = read_meta(db, tx, name).await? {
        return Ok(found);
    }
    let row = meta::ActiveModel { name: Set(name.to_owned()), value: Set(value.to_owned()) };
    meta::Entity::insert(row).exec_without_returning(tx).await.map_err(|e| db.err(e))?;
    Ok(value.to_owned())
}

impl SqlStore {
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum")]
    pub(super) async fn migrate(&self) -> StoreResult<()> {
        let first = self.db(0)?;
        let guard = match first.backend {
            DbBackend::MySql => Some(Guard::take(first).await?),
            _ => None,
        };
        for db in self.dbs.iter() {
            match self.migrate_one(db).await {
                Err(e) if e.is_transient() && self.is_migrated(db.no).await? => {
                    tracing::warn!(db = db.no, error = %e, "away; it has its tables already");
                }
                done => done?,
            }
        }
        if let Some(guard) = guard {
            guard.release().await;
        }
        Ok(())
    }

    /// Brings the tables of one database up to date and notes that in database 0.
    async fn migrate_one(&self, db: &Db) -> StoreResult<()> {
        // Its deadline tells a database that hangs; a migration itself may take its time.
        db.run(|| async {
            let conn = db.conn().await?;
            conn.execute_unprepared("SELECT 1").await.map_err(|e| db.err(e))
        })
        .await?;
        let conn = db.conn().await?;
        Migrator::up(&*conn, None).await.map_err(|e| db.err(e))?;
        charset::settle(db).await?;
        if !self.is_migrated(db.no).await? {
            let first = self.db(0)?;
            let row = meta::ActiveModel { name: Set(tables_of(db.no)), value: Set(newest()) };
            let tx = first.begin().await?;
            let old = meta::Entity::delete_by_id(tables_of(db.no)).exec(&tx).await;
            old.map_err(|e| first.err(e))?;
            let done = meta::Entity::insert(row).exec_without_returning(&tx).await;
            done.map_err(|e| first.err(e))?;
            first.commit(tx).await?;
        }
        Ok(())
    }

    /// True when some process saw that this database has all its tables: then a start does not
    /// need it, and the cells of the others are sold while it is away.
    async fn is_migrated(&self, no: u16) -> StoreResult<bool> {
        let first = self.db(0)?;
        let conn = first.conn().await?;
        let noted = meta::Entity::find_by_id(tables_of(no)).one(&*conn).await;
        Ok(noted.map_err(|e| first.err(e))?.is_some_and(|m| m.value == newest()))
    }

    pub(super) async fn facts(&self, fingerprint: &str) -> StoreResult<InitOutcome> {
        let db = self.db(0)?;
        db.run(|| async {
            let tx = db.begin().await?;
            let stored = fact(db, &tx, "identity", fingerprint).await?;
            if stored != fingerprint {
                return Ok(InitOutcome::OtherIdentity);
            }
            let map = format!("{} {}", self.map.version, self.map.databases);
            let map_in_force = fact(db, &tx, "shard_map", &map).await?;
            let databases = map_in_force.split(' ').nth(1).and_then(|n| n.parse().ok());
            if databases != Some(self.map.databases) {
                return Ok(InitOutcome::OtherDatabases(databases.unwrap_or(0)));
            }
            fact(db, &tx, CATALOG_VERSION, "1").await?;
            let evergreen = Campaign::evergreen(&Tenant::default());
            catalog::insert_campaign_if_absent(db, &tx, &evergreen).await?;
            db.commit(tx).await?;
            Ok(InitOutcome::Ready(ShardMap::clone(&self.map)))
        })
        .await
    }
}

/// The name of the fact that a database has its tables.
fn tables_of(no: u16) -> String {
    format!("tables_{no}")
}

/// The newest migration.
fn newest() -> String {
    Migrator::migrations().last().map(|m| m.name().to_owned()).unwrap_or_default()
}

/// The named lock of init, on a connection of its own: it ends with the connection, also after a
/// crash. No transaction is open on it, and its session may wait for as long as a migration of
/// large tables takes.
struct Guard(DatabaseConnection);

/// How long another process may take for its init.
const PATIENCE: &str = "60";

impl Guard {
    async fn take(db: &Db) -> StoreResult<Self> {
        let conn = db.alone().await?;
        conn.execute_unprepared(session::LONG).await.map_err(|e| db.err(e))?;
        let sql = format!("SELECT GET_LOCK('sluicegate_init', {PATIENCE}) AS taken");
        let row = conn.query_one_raw(Statement::from_string(db.backend, sql)).await;
        let row = row.map_err(|e| db.err(e))?;
        let taken: Option<i64> = match row {
            Some(row) => row.try_get("", "taken").map_err(|e| db.err(e))?,
            None => None,
        };
        if taken == Some(1) {
            return Ok(Self(conn));
        }
        let what = format!("another process has held the lock of init for {PATIENCE} s");
        Err(StoreError::Busy { db: db.no, what })
    }

    async fn release(self) {
        // With the connection the lock is gone; failing to say so changes nothing.
        if let Err(e) = self.0.close().await {
            tracing::debug!(error = %e, "closing the connection of init's lock");
        }
    }
}
