//! What became of orders, from their second version on; the first one is the row.

use sea_orm::entity::prelude::*;

/// A row of `order_history`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_history")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// Grows by one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub version: i32,
    /// The status before.
    pub from_status: i8,
    /// The status after.
    pub to_status: i8,
    /// `domain::moves::Cause`.
    pub cause: String,
    /// Who did it.
    pub actor: String,
    /// When.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
