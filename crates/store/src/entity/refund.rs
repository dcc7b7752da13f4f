//! Refunds, one row for each payment that has a part in one.

use sea_orm::entity::prelude::*;

/// A row of `refund`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund")]
pub struct Model {
    /// Whose books it is in.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// Which refund.
    #[sea_orm(primary_key, auto_increment = false)]
    pub refund_id: Vec<u8>,
    /// The provider of the payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// The payment.
    #[sea_orm(primary_key, auto_increment = false)]
    pub payment_id: Vec<u8>,
    /// `domain::life::RefundSort`.
    pub sort: i8,
    /// Minor units of this payment.
    pub amount: i64,
    /// Minor units of the whole refund.
    pub asked: i64,
    /// Cells and units that come back: `cell units`, with commas between.
    pub parts: Vec<u8>,
    /// 1 when all that was left was asked for.
    pub is_whole: i8,
    /// 1 when its goods go on sale again by themselves.
    pub restocks: i8,
    /// Its number among those that were asked for.
    pub ordinal: Option<i8>,
    /// `domain::life::RefundState`.
    pub state: i8,
    /// How often it was sent.
    pub tries: i32,
    /// When it was first sent; 0 before.
    pub first_sent: i64,
    /// When the money moved; 0 before.
    pub moved_at: i64,
    /// Last change.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
