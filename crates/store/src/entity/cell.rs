//! The cell row: the fold of its ledger, and the lock that serialises its verdicts.

use sea_orm::entity::prelude::*;

/// A row of `cell`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cell")]
pub struct Model {
    /// `offer.bucket`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cell_id: Vec<u8>,
    /// Units given.
    pub supply: i64,
    /// Units claimed and not released; CHECK 0 <= net <= supply (INV-1).
    pub net: i64,
    /// Position of the last entry.
    pub seq: i64,
    /// Flag.
    pub open: i8,
    /// Chained token at `seq`, as bits.
    pub tok: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
