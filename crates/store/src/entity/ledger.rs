//! The append-only ledger (INV-2).

use sea_orm::entity::prelude::*;

/// A row of `ledger`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger")]
pub struct Model {
    /// The cell's number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub cell_no: i32,
    /// Position, gap-free.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// `domain::Kind`.
    pub kind: i8,
    /// `domain::ledger::Class`; unique with order and cell.
    pub class: i8,
    /// 16 bytes: order or request.
    pub order_id: Vec<u8>,
    /// Empty where there is none.
    pub buyer: Vec<u8>,
    /// Units, or the flag.
    pub qty: i64,
    /// Why, with a repair's flag; else empty. What an order's verdict was about is in `unrowed`
    /// until the order has its row.
    pub note: Vec<u8>,
    /// Supply after the entry.
    pub supply_after: i64,
    /// Net after the entry.
    pub net_after: i64,
    /// Flag after the entry.
    pub open_after: i8,
    /// Chained token, as bits.
    pub tok: i64,
    /// When.
    pub at_ms: i64,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
