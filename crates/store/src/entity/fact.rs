//! Facts: what others may read of orders, until they have their place in the feed.

use sea_orm::entity::prelude::*;

/// A row of `fact`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "fact")]
pub struct Model {
    /// Grows; gives no order.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The orders: one for a change, those of a transaction for new rows, 16 bytes each.
    pub orders: Vec<u8>,
    /// Their version.
    pub version: i32,
    /// Its type.
    pub fact: String,
    /// The refund that it is about, or empty.
    pub data: Vec<u8>,
    /// When.
    pub at_ms: i64,
    /// Its place in the feed, once it has one.
    pub place: Option<i64>,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
