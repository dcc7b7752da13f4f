//! Facts: rows that others read of orders, written by the transaction that changes them (INV-19).

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{DatabaseTransaction, EntityTrait};

use super::Db;
use crate::entity::fact;
use crate::error::StoreResult;

/// One that has no place in the feed yet. `orders`: their ids, 16 bytes each.
pub(super) fn row(orders: Vec<u8>, version: u32, fact: String, at_ms: i64) -> fact::ActiveModel {
    fact::ActiveModel {
        id: NotSet,
        orders: Set(orders),
        version: Set(version as i32),
        fact: Set(fact),
        data: Set(Vec::new()),
        at_ms: Set(at_ms),
        place: Set(None),
    }
}

/// Writes them; the table numbers them.
pub(super) async fn insert(
    db: &Db,
    tx: &DatabaseTransaction,
    facts: Vec<fact::ActiveModel>,
) -> StoreResult<()> {
    if facts.is_empty() {
        return Ok(());
    }
    let done = fact::Entity::insert_many(facts).exec_without_returning(tx).await;
    done.map(drop).map_err(|e| db.err(e))
}
