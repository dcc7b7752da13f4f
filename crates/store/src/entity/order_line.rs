//! The lines of an order.

use sea_orm::entity::prelude::*;

/// A row of `order_line`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "order_line")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// 0 to 19.
    #[sea_orm(primary_key, auto_increment = false)]
    pub line: i16,
    /// What is bought.
    pub offer: Vec<u8>,
    /// Of which cell.
    pub bucket: i16,
    /// Units.
    pub qty: i32,
    /// Price of a unit as promised.
    pub unit_minor: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
