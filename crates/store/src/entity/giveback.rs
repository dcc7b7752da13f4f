//! Units that are to go back to cells.

use sea_orm::entity::prelude::*;

/// A row of `giveback`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "giveback")]
pub struct Model {
    /// The order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// The cell.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cell: Vec<u8>,
    /// The class of the entry that it becomes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub class: i8,
    /// Units of a return; 0 for a release, which gives all back.
    pub units: i32,
    /// 1 when the buyer may buy them again.
    pub frees_limit: i8,
    /// The database of the cell.
    pub db: i16,
    /// When it is looked at next.
    pub next_at: i64,
    /// How often it was tried.
    pub attempts: i32,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
