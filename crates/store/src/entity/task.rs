//! What only a person can finish.

use sea_orm::entity::prelude::*;

/// A row of `task`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "task")]
pub struct Model {
    /// `domain::life::TaskDraft`, by number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i8,
    /// What it is about.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: Vec<u8>,
    /// The order.
    pub order_id: Vec<u8>,
    /// 0 once it ended.
    pub is_open: i8,
    /// How often it was opened.
    pub times: i32,
    /// Last change.
    pub at_ms: i64,
    /// Who ended it; empty while open, and when it ended by itself.
    pub resolved_by: String,
    /// What they wrote.
    pub note: String,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
