//! What a look at all payments of this database added up, currency by currency.

use sea_orm::entity::prelude::*;

/// A row of `money_total`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "money_total")]
pub struct Model {
    /// ISO 4217.
    #[sea_orm(primary_key, auto_increment = false)]
    pub currency: String,
    /// Minor units that came in.
    pub captured: i64,
    /// That went back.
    pub refunded: i64,
    /// On their way back.
    pub under_way: i64,
    /// That wait for a person.
    pub manual: i64,
    /// Payments and orders whose money does not add up.
    pub broken: i64,
    /// When the look was over.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
