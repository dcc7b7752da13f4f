//! Ranges of anchor verdicts whose rows may be missing; the sweeper's list.

use sea_orm::entity::prelude::*;

/// A row of `unrowed`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "unrowed")]
pub struct Model {
    /// The cell's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cell_no: i32,
    /// First position of the range.
    #[sea_orm(primary_key, auto_increment = false)]
    pub first_seq: i64,
    /// Last position of the range.
    pub last_seq: i64,
    /// When the verdicts were written.
    pub at_ms: i64,
    /// `domain::kept` of the orders whose anchors these verdicts are.
    pub orders: Vec<u8>,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
