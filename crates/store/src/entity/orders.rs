//! The order rows of a buyer shard.

use sea_orm::entity::prelude::*;

/// A row of `orders`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orders")]
pub struct Model {
    /// 16 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub order_id: Vec<u8>,
    /// Who buys.
    pub buyer: Vec<u8>,
    /// Unique with the buyer; NULL on the loser of a key conflict (INV-8).
    pub idem_key: Option<Vec<u8>>,
    /// `domain::Status`.
    pub status: i8,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// Grows with each change.
    pub version: i32,
    /// The anchor's offer.
    pub offer: Vec<u8>,
    /// The anchor's bucket.
    pub bucket: i16,
    /// The anchor's units.
    pub qty: i32,
    /// The anchor's price of a unit, as promised.
    pub unit_minor: i64,
    /// How many lines there are in `order_line`: 0 when the anchor is the only one, else all.
    pub more_lines: i8,
    /// ISO 4217.
    pub currency: String,
    /// Minor units over all lines.
    pub amount: i64,
    /// Canonical JSON object, or empty.
    pub metadata: String,
    /// Redis time of the first reserve.
    pub created_at: i64,
    /// Last change.
    pub updated_at: i64,
    /// Unpaid orders expire then; 0 for never.
    pub expires_at: i64,
    /// What was paid for it.
    pub captured: i64,
    /// What of it went back.
    pub refunded: i64,
    /// The order that its late payment bought again with it.
    pub supersedes: Option<Vec<u8>>,
    /// The order that its late payment is to buy.
    pub superseded_by: Option<Vec<u8>>,
    /// Where a refund of all of it turned it around.
    pub came_from: Option<i8>,
    /// How long it may stay unpaid, as it was promised; NULL in rows of old versions.
    pub window_ms: Option<i64>,
}

/// No relations: joins are made by the code that needs them.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
