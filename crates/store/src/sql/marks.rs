//! Progress, barriers and leases, all in database 0.
//!
//! Leases are decided by the database's clock, so that processes with skewed clocks agree; safety
//! never depends on them.

use async_trait::async_trait;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait,
    IntoActiveModel, QueryFilter, QuerySelect, Statement,
};

use super::{Db, SqlStore};
use crate::entity::{barrier_seen, lease, progress};
use crate::error::StoreResult;
use crate::port::Marks;

const NOW_MYSQL: &str = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS now_ms";
const NOW_SQLITE: &str =
    "SELECT CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER) AS now_ms";

pub(super) async fn db_now(db: &Db, conn: &impl ConnectionTrait) -> StoreResult<i64> {
    let sql = if db.backend == DbBackend::Sqlite { NOW_SQLITE } else { NOW_MYSQL };
    let row = conn
        .query_one_raw(Statement::from_string(db.backend, sql))
        .await
        .map_err(|e| db.err(e))?
        .ok_or_else(|| db.corrupt("the clock query gave no row"))?;
    row.try_get("", "now_ms").map_err(|e| db.err(e))
}

async fn set_progress(db: &Db, partition: &str, until: i64) -> StoreResult<()> {
    let tx = db.begin().await?;
    let found = progress::Entity::find_by_id(partition)
        .lock_exclusive()
        .one(&tx)
        .await
        .map_err(|e| db.err(e))?;
    match found {
        Some(p) if p.finished_until >= until => {}
        Some(p) => {
            let mut p = p.into_active_model();
            p.finished_until = Set(until);
            p.update(&tx).await.map_err(|e| db.err(e))?;
        }
        None => {
            let p = progress::ActiveModel {
                partition_name: Set(partition.to_owned()),
                finished_until: Set(until),
            };
            progress::Entity::insert(p).exec_without_returning(&tx).await.map_err(|e| db.err(e))?;
        }
    }
    db.commit(tx).await
}

async fn take_lease(db: &Db, name: &str, holder: &str, ttl_ms: i64) -> StoreResult<bool> {
    let tx = db.begin().await?;
    let now = db_now(db, &tx).await?;
    let found =
        lease::Entity::find_by_id(name).lock_exclusive().one(&tx).await.map_err(|e| db.err(e))?;
    let fresh = lease::ActiveModel {
        name: Set(name.to_owned()),
        holder: Set(holder.to_owned()),
        until_ms: Set(now + ttl_ms),
    };
    match found {
        Some(l) if l.holder != holder && l.until_ms > now => return Ok(false),
        Some(_) => {
            fresh.update(&tx).await.map_err(|e| db.err(e))?;
        }
        None => {
            lease::Entity::insert(fresh)
                .exec_without_returning(&tx)
                .await
                .map_err(|e| db.err(e))?;
        }
    }
    db.commit(tx).await?;
    Ok(true)
}

async fn mark_barrier(db: &Db, barrier: &str, partition: &str, at_ms: i64) -> StoreResult<()> {
    let conn = db.conn().await?;
    let row = barrier_seen::ActiveModel {
        barrier: Set(barrier.to_owned()),
        partition_name: Set(partition.to_owned()),
        at_ms: Set(at_ms),
    };
    let same = [barrier_seen::Column::Barrier, barrier_seen::Column::PartitionName];
    barrier_seen::Entity::insert(row)
        .on_conflict(OnConflict::columns(same).update_column(same[0]).to_owned())
        .exec_without_returning(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    // Barriers older than a day have served; the table stays small.
    barrier_seen::Entity::delete_many()
        .filter(Expr::col(barrier_seen::Column::AtMs).lt(at_ms - 86_400_000))
        .exec(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    Ok(())
}

#[async_trait]
impl Marks for SqlStore {
    async fn now_ms(&self) -> StoreResult<u64> {
        let db = self.db(0)?;
        if db.backend == DbBackend::Sqlite {
            // In this very process: its clock is ours.
            return Ok(self.clock.now_ms());
        }
        let read = || async {
            let conn = db.conn().await?;
            db_now(db, &*conn).await
        };
        Ok(db.run(read).await? as u64)
    }
    async fn set_progress(&self, partition: &str, finished_until: u64) -> StoreResult<()> {
        let db = self.db(0)?;
        db.run(|| set_progress(db, partition, finished_until as i64)).await
    }
    async fn progress(&self) -> StoreResult<Vec<(String, u64)>> {
        let db = self.db(0)?;
        let read = || async {
            let conn = db.conn().await?;
            progress::Entity::find().all(&*conn).await.map_err(|e| db.err(e))
        };
        let rows = db.run(read).await?;
        Ok(rows.into_iter().map(|p| (p.partition_name, p.finished_until as u64)).collect())
    }
    async fn mark_barrier(&self, barrier: &str, partition: &str) -> StoreResult<()> {
        let db = self.db(0)?;
        db.run(|| mark_barrier(db, barrier, partition, self.clock.now_ms() as i64)).await
    }
    async fn barrier_seen(&self, barrier: &str) -> StoreResult<Vec<String>> {
        let db = self.db(0)?;
        let read = || async {
            let conn = db.conn().await?;
            barrier_seen::Entity::find()
                .filter(barrier_seen::Column::Barrier.eq(barrier))
                .all(&*conn)
                .await
                .map_err(|e| db.err(e))
        };
        Ok(db.run(read).await?.into_iter().map(|b| b.partition_name).collect())
    }
    async fn lease(&self, name: &str, holder: &str, ttl_ms: u64) -> StoreResult<bool> {
        let db = self.db(0)?;
        db.run(|| take_lease(db, name, holder, ttl_ms as i64)).await
    }
}
