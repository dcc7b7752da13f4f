//! Orders that no repetition can finish; a person decides.

use sea_orm::entity::prelude::*;

/// A row of `parked`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "parked")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// What failed.
    pub reason: String,
    /// `domain::frame::Sealed`.
    pub payload: Vec<u8>,
    /// When, for the last time.
    pub at_ms: i64,
    /// How often.
    pub times: i32,
    /// 0 once it was given back to the log; the row stays, so that `times` is never used again.
    pub is_open: i8,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
