//! What is kept of a person with an order, in memory.

use async_trait::async_trait;
use domain::{Buyer, OrderId};
use store::StoreResult;
use store::port::{DetailRead, DetailWrite, Shards};

use super::state::MemoryStore;

#[async_trait]
impl DetailRead for MemoryStore {
    async fn details(&self, order: OrderId) -> StoreResult<Option<String>> {
        let db = self.db_of_order(order);
        self.read(db, |db| Ok(db.life.details.get(&order).map(|(_, data)| data.clone()))).await
    }
}

#[async_trait]
impl DetailWrite for MemoryStore {
    async fn put_details(&self, order: OrderId, buyer: &Buyer, data: &str) -> StoreResult<()> {
        self.tx(self.db_of_order(order), |tx| {
            tx.db.life.details.insert(order, (buyer.clone(), data.to_owned()));
            Ok(())
        })
        .await
    }
    async fn erase_details(&self, buyer: &Buyer) -> StoreResult<u64> {
        self.tx(self.buyer_db(buyer), |tx| {
            let kept = &mut tx.db.life.details;
            let before = kept.len();
            kept.retain(|_, (of, _)| of != buyer);
            Ok((before - kept.len()) as u64)
        })
        .await
    }
}
