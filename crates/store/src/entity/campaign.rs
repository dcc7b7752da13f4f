//! Campaigns.

use sea_orm::entity::prelude::*;

/// A row of `campaign`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "campaign")]
pub struct Model {
    /// `[a-z0-9-]{1,64}`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The 24-bit number in order ids.
    pub number: i32,
    /// UTC ms.
    pub opens_at: Option<i64>,
    /// UTC ms.
    pub closes_at: Option<i64>,
    /// 1 to 2,592,000.
    pub payment_window_s: i32,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
