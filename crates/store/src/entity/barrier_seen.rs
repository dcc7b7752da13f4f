//! Barriers that a partition's writer has passed.

use sea_orm::entity::prelude::*;

/// A row of `barrier_seen`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "barrier_seen")]
pub struct Model {
    /// The barrier's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub barrier: String,
    /// The partition.
    #[sea_orm(primary_key, auto_increment = false)]
    pub partition_name: String,
    /// When it was passed.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
