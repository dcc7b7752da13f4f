//! The cell row: the fold of its ledger, and the lock that serialises its verdicts.

use sea_orm::entity::prelude::*;

/// A row of `cell`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cell")]
pub struct Model {
    /// The database's own number of the cell: what its other tables name it by. It never leaves
    /// the store.
    #[sea_orm(primary_key)]
    pub cell_no: i32,
    /// `offer.bucket`; unique.
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
    /// Position of the last flag entry.
    pub flag_seq: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
