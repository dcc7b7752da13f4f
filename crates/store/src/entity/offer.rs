//! Offers.

use sea_orm::entity::prelude::*;

/// A row of `offer`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "offer")]
pub struct Model {
    /// `[a-z0-9-]{1,64}`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The campaign's id.
    pub campaign: String,
    /// The thing sold.
    pub sku: String,
    /// ISO 4217.
    pub currency: String,
    /// Price of a unit.
    pub minor: i64,
    /// Units given at creation.
    pub allotment: i64,
    /// None = no limit.
    pub limit_per_buyer: Option<i32>,
    /// 1 to 64.
    pub buckets: i16,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
