//! What is kept of a person with an order.

use async_trait::async_trait;
use domain::{Buyer, OrderId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::marks::db_now;
use super::{Db, SqlStore, convert, insert};
use crate::entity::order_detail::{ActiveModel, Column, Entity};
use crate::error::StoreResult;
use crate::port::{DetailRead, DetailWrite, MAX_ORDERS};

async fn read(db: &Db, order: OrderId) -> StoreResult<Option<String>> {
    let conn = db.conn().await?;
    let row = Entity::find_by_id(order.0.to_vec()).one(&*conn).await.map_err(|e| db.err(e))?;
    row.map(|row| convert::text(db, row.data, "order_detail.data")).transpose()
}

async fn put(db: &Db, order: OrderId, buyer: &Buyer, data: &str) -> StoreResult<()> {
    let tx = db.begin().await?;
    let work = async {
        let row = ActiveModel {
            order_id: Set(order.0.to_vec()),
            buyer: Set(buyer.scoped().into_owned()),
            data: Set(data.as_bytes().to_vec()),
            at_ms: Set(db_now(db, &tx).await?),
        };
        let newer = OnConflict::column(Column::OrderId)
            .update_columns([Column::Data, Column::AtMs])
            .to_owned();
        insert::many(db, &tx, vec![row], Some(newer)).await
    };
    let done = work.await;
    db.end(tx, done).await
}

/// Erases those of some orders; how many there were.
async fn erase(db: &Db, buyer: &Buyer) -> StoreResult<u64> {
    let tx = db.begin().await?;
    let work = async {
        let ids: Vec<Vec<u8>> = Entity::find()
            .select_only()
            .column(Column::OrderId)
            .filter(Column::Buyer.eq(buyer.scoped().into_owned()))
            .limit(MAX_ORDERS as u64)
            .into_tuple()
            .all(&tx)
            .await
            .map_err(|e| db.err(e))?;
        for piece in ids.chunks(128) {
            let gone = Entity::delete_many().filter(Column::OrderId.is_in(piece.to_vec()));
            gone.exec(&tx).await.map_err(|e| db.err(e))?;
        }
        Ok(ids.len() as u64)
    };
    let done = work.await;
    db.end(tx, done).await
}

#[async_trait]
impl DetailRead for SqlStore {
    async fn details(&self, order: OrderId) -> StoreResult<Option<String>> {
        let db = self.db(self.db_of_order(order))?;
        db.run(|| read(db, order)).await
    }
}

#[async_trait]
impl DetailWrite for SqlStore {
    async fn put_details(&self, order: OrderId, buyer: &Buyer, data: &str) -> StoreResult<()> {
        let db = self.db(self.db_of_order(order))?;
        db.run(|| put(db, order, buyer, data)).await
    }
    async fn erase_details(&self, buyer: &Buyer) -> StoreResult<u64> {
        let db = self.db(crate::port::Shards::buyer_db(self, buyer))?;
        let mut all = 0;
        loop {
            match db.run(|| erase(db, buyer)).await? {
                0 => return Ok(all),
                n => all += n,
            }
        }
    }
}
