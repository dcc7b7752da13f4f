//! Work that a status change created, in its transaction.

use sea_orm::entity::prelude::*;

/// A row of `outbox`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox")]
pub struct Model {
    /// Ascending.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The order.
    pub order_id: Vec<u8>,
    /// Finished.
    pub done: bool,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
