//! Parked work: orders and frames that wait for a person, in database 0.

use async_trait::async_trait;
use bytes::Bytes;
use domain::OrderId;
use domain::frame::{Mode, Sealed};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};

use super::find::forced;
use super::{Db, SqlStore, convert};
use crate::entity::{parked, parked_frame};
use crate::error::StoreResult;
use crate::ladder;
use crate::port::{MOST_COUNTED, Parked, ParkedFrame, ParkedOrder, ParkedRead, ParkedWrite};

fn short(reason: &str) -> String {
    reason.chars().take(480).collect()
}

/// What is parked again counts: whoever forgets it meanwhile sees that it is another time.
fn once_more<E: EntityTrait>(
    key: E::Column,
    times: E::Column,
    newer: [E::Column; 4],
) -> OnConflict {
    let again = Expr::col((E::default(), times)).add(1);
    OnConflict::column(key).update_columns(newer).value(times, again).to_owned()
}

async fn park(db: &Db, row: parked::ActiveModel) -> StoreResult<()> {
    use parked::Column::{AtMs, IsOpen, OrderId, Payload, Reason, Times};
    let conn = db.conn().await?;
    parked::Entity::insert(row)
        .on_conflict(once_more::<parked::Entity>(OrderId, Times, [AtMs, Reason, Payload, IsOpen]))
        .exec_without_returning(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    Ok(())
}

async fn park_frame(db: &Db, row: parked_frame::ActiveModel) -> StoreResult<()> {
    use parked_frame::Column::{AtMs, Id, IsOpen, PartitionName, Reason, Times};
    let conn = db.conn().await?;
    parked_frame::Entity::insert(row)
        .on_conflict(once_more::<parked_frame::Entity>(
            Id,
            Times,
            [AtMs, Reason, PartitionName, IsOpen],
        ))
        .exec_without_returning(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    Ok(())
}

/// What a frame asked for, then the order: one byte, 8 of time, the payload.
fn item_bytes(mode: Mode, sealed: &Sealed) -> Vec<u8> {
    let mode = match mode {
        Mode::Full => 1,
        Mode::Abort => 2,
    };
    [&[mode], &sealed.t_ms.to_be_bytes()[..], &sealed.payload].concat()
}

fn item_of(bytes: &[u8]) -> Option<(Mode, Sealed)> {
    let (mode, rest) = bytes.split_first()?;
    let (t, payload) = rest.split_first_chunk()?;
    let mode = match mode {
        1 => Mode::Full,
        2 => Mode::Abort,
        _ => return None,
    };
    let payload = Bytes::copy_from_slice(payload);
    Some((mode, Sealed { t_ms: u64::from_be_bytes(*t), payload }))
}

fn to_parked(db: &Db, m: parked::Model) -> StoreResult<Parked> {
    let order = convert::order_id(db, &m.order_id)?;
    let item = item_of(&m.payload);
    let (mode, sealed) =
        item.ok_or_else(|| db.corrupt(format!("parked order {order}: no bytes")))?;
    Ok(Parked { order, reason: m.reason, mode, sealed, times: m.times as u32 })
}

async fn parked_orders(
    db: &Db,
    after: Option<OrderId>,
    limit: u64,
) -> StoreResult<Vec<ParkedOrder>> {
    use parked::Column::{IsOpen, OrderId, Reason, Times};
    let conn = db.conn().await?;
    let from = after.map(|o| o.0.to_vec()).unwrap_or_default();
    let rows: Vec<(Vec<u8>, String, i32)> = parked::Entity::find()
        .select_only()
        .columns([OrderId, Reason, Times])
        .filter(OrderId.gt(from))
        .filter(IsOpen.eq(1))
        .order_by_asc(OrderId)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let one = |(id, reason, times): (Vec<u8>, String, i32)| {
        let order = convert::order_id(db, &id)?;
        Ok(ParkedOrder { order, reason, times: times as u32 })
    };
    rows.into_iter().map(one).collect()
}

async fn parked_frames(db: &Db, after: &str, limit: u64) -> StoreResult<Vec<ParkedFrame>> {
    use parked_frame::Column::{Id, IsOpen, PartitionName, Reason, Times};
    let conn = db.conn().await?;
    let rows: Vec<(String, String, String, i32)> = parked_frame::Entity::find()
        .select_only()
        .columns([Id, PartitionName, Reason, Times])
        .filter(Id.gt(after))
        .filter(IsOpen.eq(1))
        .order_by_asc(Id)
        .limit(limit)
        .into_tuple()
        .all(&*conn)
        .await
        .map_err(|e| db.err(e))?;
    let one = |(id, partition, reason, times): (String, String, String, i32)| ParkedFrame {
        id,
        partition,
        reason,
        frame: Bytes::new(),
        times: times as u32,
    };
    Ok(rows.into_iter().map(one).collect())
}

/// Rows of a table, counted up to [`MOST_COUNTED`].
async fn count(db: &Db, conn: &impl ConnectionTrait, table: &str, key: &str) -> StoreResult<u64> {
    let some =
        format!("SELECT {key} FROM {table} WHERE is_open = 1 ORDER BY {key} LIMIT {MOST_COUNTED}");
    let sql = format!("SELECT COUNT(*) AS n FROM ({some}) AS some");
    let row = conn.query_one_raw(Statement::from_string(db.backend, sql)).await;
    let row = row.map_err(|e| db.err(e))?.ok_or_else(|| db.corrupt("a count gave no row"))?;
    row.try_get::<i64>("", "n").map(|n| n as u64).map_err(|e| db.err(e))
}

#[async_trait]
impl ParkedRead for SqlStore {
    async fn parked_among(&self, orders: &[OrderId]) -> StoreResult<Vec<OrderId>> {
        let db = self.db(0)?;
        let ids: Vec<Vec<u8>> = orders.iter().map(|o| o.0.to_vec()).collect();
        let read = || async {
            let conn = db.conn().await?;
            let mut found = Vec::new();
            for piece in ladder::padded(&ids, ladder::STEPS[0]) {
                let mut find = parked::Entity::find()
                    .select_only()
                    .column(parked::Column::OrderId)
                    .filter(parked::Column::OrderId.is_in(piece))
                    .filter(parked::Column::IsOpen.eq(1));
                forced(&mut find, "PRIMARY");
                let rows: Vec<Vec<u8>> =
                    find.into_tuple().all(&*conn).await.map_err(|e| db.err(e))?;
                found.extend(rows);
            }
            Ok(found)
        };
        db.run(read).await?.iter().map(|b| convert::order_id(db, b)).collect()
    }
    async fn parked(&self, order: OrderId) -> StoreResult<Option<Parked>> {
        let db = self.db(0)?;
        let read = || async {
            let conn = db.conn().await?;
            let open = parked::Column::IsOpen.eq(1);
            let row = parked::Entity::find_by_id(order.0.to_vec()).filter(open).one(&*conn).await;
            row.map_err(|e| db.err(e))?.map(|m| to_parked(db, m)).transpose()
        };
        db.run(read).await
    }
    async fn parked_orders(
        &self,
        after: Option<OrderId>,
        limit: u64,
    ) -> StoreResult<Vec<ParkedOrder>> {
        let db = self.db(0)?;
        db.run(|| parked_orders(db, after, limit)).await
    }
    async fn parked_frame(&self, id: &str) -> StoreResult<Option<ParkedFrame>> {
        let db = self.db(0)?;
        let read = || async {
            let conn = db.conn().await?;
            let found = parked_frame::Entity::find_by_id(id);
            let found = found.filter(parked_frame::Column::IsOpen.eq(1)).one(&*conn).await;
            found.map_err(|e| db.err(e))
        };
        let of = |m: parked_frame::Model| ParkedFrame {
            id: m.id,
            partition: m.partition_name,
            reason: m.reason,
            frame: m.frame.into(),
            times: m.times as u32,
        };
        Ok(db.run(read).await?.map(of))
    }
    async fn parked_frames(
        &self,
        after: Option<&str>,
        limit: u64,
    ) -> StoreResult<Vec<ParkedFrame>> {
        let db = self.db(0)?;
        db.run(|| parked_frames(db, after.unwrap_or(""), limit)).await
    }
    async fn parked_counts(&self) -> StoreResult<(u64, u64)> {
        let db = self.db(0)?;
        let read = || async {
            let conn = db.conn().await?;
            let orders = count(db, &*conn, "parked", "order_id").await?;
            Ok((orders, count(db, &*conn, "parked_frame", "id").await?))
        };
        db.run(read).await
    }
}

#[async_trait]
impl ParkedWrite for SqlStore {
    async fn park(&self, order: OrderId, reason: &str, item: (Mode, &Sealed)) -> StoreResult<()> {
        let db = self.db(0)?;
        let row = || parked::ActiveModel {
            order_id: Set(order.0.to_vec()),
            reason: Set(short(reason)),
            payload: Set(item_bytes(item.0, item.1)),
            at_ms: Set(self.clock.now_ms() as i64),
            times: Set(1),
            is_open: Set(1),
        };
        db.run(|| park(db, row())).await
    }
    async fn unpark(&self, order: OrderId, times: u32) -> StoreResult<bool> {
        let db = self.db(0)?;
        let forget = || async {
            let conn = db.conn().await?;
            let done = parked::Entity::update_many()
                .col_expr(parked::Column::IsOpen, Expr::value(0))
                .filter(parked::Column::OrderId.eq(order.0.to_vec()))
                .filter(parked::Column::Times.eq(times as i32))
                .filter(parked::Column::IsOpen.eq(1))
                .exec(&*conn)
                .await;
            done.map(|d| d.rows_affected > 0).map_err(|e| db.err(e))
        };
        db.run(forget).await
    }
    async fn park_frame(&self, partition: &str, reason: &str, frame: &Bytes) -> StoreResult<()> {
        let db = self.db(0)?;
        let row = || parked_frame::ActiveModel {
            id: Set(domain::identity::sha256_hex(frame)),
            partition_name: Set(partition.to_owned()),
            reason: Set(short(reason)),
            frame: Set(frame.to_vec()),
            at_ms: Set(self.clock.now_ms() as i64),
            times: Set(1),
            is_open: Set(1),
        };
        db.run(|| park_frame(db, row())).await
    }
    async fn unpark_frame(&self, id: &str, times: u32) -> StoreResult<bool> {
        let db = self.db(0)?;
        let forget = || async {
            let conn = db.conn().await?;
            let done = parked_frame::Entity::update_many()
                .col_expr(parked_frame::Column::IsOpen, Expr::value(0))
                .filter(parked_frame::Column::Id.eq(id))
                .filter(parked_frame::Column::Times.eq(times as i32))
                .filter(parked_frame::Column::IsOpen.eq(1))
                .exec(&*conn)
                .await;
            done.map(|d| d.rows_affected > 0).map_err(|e| db.err(e))
        };
        db.run(forget).await
    }
}
