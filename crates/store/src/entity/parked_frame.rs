//! Frames that cannot be decoded, kept whole.

use sea_orm::entity::prelude::*;

/// A row of `parked_frame`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "parked_frame")]
pub struct Model {
    /// Hash of the bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Where it came from.
    pub partition_name: String,
    /// What failed.
    pub reason: String,
    /// The bytes.
    pub frame: Vec<u8>,
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
