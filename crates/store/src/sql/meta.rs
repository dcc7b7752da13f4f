//! Facts of a deployment, in database 0.

use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect};

use super::Db;
use crate::entity::meta;
use crate::error::StoreResult;

/// Counts the changes of the catalog.
pub(super) const CATALOG_VERSION: &str = "catalog_version";

/// A fact, its row locked.
pub(super) async fn read_meta(
    db: &Db,
    tx: &DatabaseTransaction,
    name: &str,
) -> StoreResult<Option<String>> {
    let row = meta::Entity::find_by_id(name).lock_exclusive().one(tx).await;
    Ok(row.map_err(|e| db.err(e))?.map(|m| m.value))
}
