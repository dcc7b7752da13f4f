//! Payments: what providers told, joined.

use sea_orm::entity::prelude::*;

/// A row of `payment`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "payment")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// Which.
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: Vec<u8>,
    /// The order that was named first.
    pub order_id: Vec<u8>,
    /// `domain::life::PaymentState`.
    pub state: i8,
    /// All that was captured so far.
    pub captured: i64,
    /// ISO 4217.
    pub currency: String,
    /// 1 an order, 2 late, 3 back; NULL while it may still pay.
    pub fate: Option<i8>,
    /// The order of its fate.
    pub fate_order: Option<Vec<u8>>,
    /// How much of it that order keeps.
    pub keep: i64,
    /// 1 when nothing more will be captured.
    pub closed: i8,
    /// Which attempt of its order; 0 for one that was not opened here.
    pub attempt: i32,
    /// How often its provider was asked to close it and did not say.
    pub asked: i32,
    /// When the first of its money came; 0 before.
    pub captured_at: i64,
    /// Last change.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
