//! Sessions at payment providers.

use sea_orm::entity::prelude::*;

/// A row of `pay_session`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pay_session")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// At whom.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// Which try, from 1.
    pub attempt: i32,
    /// What the provider calls it; NULL until it has answered.
    pub payment_id: Option<Vec<u8>>,
    /// Where the buyer goes to pay; empty for nowhere.
    pub redirect: Vec<u8>,
    /// Last change.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
