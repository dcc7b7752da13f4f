//! What checkout keeps of a person with an order: apart from everything else, so that it can be
//! erased.

use sea_orm::entity::prelude::*;

/// A row of `order_detail`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_detail")]
pub struct Model {
    /// Of which order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// Whose order it is, scoped.
    pub buyer: Vec<u8>,
    /// A JSON object, as it was given.
    pub data: Vec<u8>,
    /// Last change.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
