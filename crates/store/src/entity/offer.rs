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
    /// `domain::life::LatePolicy`.
    pub late_payment: i8,
    /// `domain::life::RefundPolicy`.
    pub refund: i8,
    /// `domain::life::Restock`.
    pub restock: i8,
    /// 1 when cancelling a paid order refunds it.
    pub cancel_paid: i8,
    /// 1 when the limit counts what was ever bought.
    pub limit_counts: i8,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
