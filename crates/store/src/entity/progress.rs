//! Per partition, the publish time up to which everything is finished.

use sea_orm::entity::prelude::*;

/// A row of `progress`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "progress")]
pub struct Model {
    /// `main-0`, `retry-2`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub partition_name: String,
    /// UTC ms of publishing.
    pub finished_until: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
