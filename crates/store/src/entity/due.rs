//! Work at a time. A row lives only while it is due.

use sea_orm::entity::prelude::*;

/// A row of `due`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "due")]
pub struct Model {
    /// 1 match, 2 refund, 3 reclaim, 4 close.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i8,
    /// What it is about.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: Vec<u8>,
    /// The order.
    pub order_id: Vec<u8>,
    /// When it is looked at next.
    pub at_ms: i64,
    /// How often it was.
    pub attempts: i32,
    /// When it became due first.
    pub started_at: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
