//! What buyers send and get.
//!
//! Fields are added freely and renamed never. What is answered borrows, so that an answer costs no
//! copy; whoever reads one owns it.

use std::borrow::Cow;

use domain::order::RejectReason;
use domain::{OrderId, Status};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::strict::{integer, present, present_object};
use crate::words::{described, described_or_null, text, text_or_none, word, word_or_null};

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money<'a> {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Cow<'a, str>,
    /// In minor units.
    #[schema(minimum = 0)]
    pub minor: i64,
}

impl<'a> Money<'a> {
    /// That many minor units of a currency.
    pub fn new(currency: &'a str, minor: i64) -> Self {
        Self { currency: currency.into(), minor }
    }
}

/// An amount that a client sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoneySent<'a> {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Cow<'a, str>,
    /// In minor units.
    #[serde(deserialize_with = "integer")]
    #[schema(minimum = 0)]
    pub minor: i64,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Links<'a> {
    /// The order itself; to be used as it is.
    #[serde(rename = "self")]
    pub this: Cow<'a, str>,
}

/// What a purchase of one offer says. No body at all means the defaults.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Purchase<'a> {
    /// Units, 1 to `gate.max_quantity` (100 unless configured); 1 when left out.
    #[serde(borrow, default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false, nullable = false, minimum = 1, maximum = 100)]
    pub quantity: Option<&'a RawValue>,
    /// Carried to the order: at most 1 KiB once it is canonical. Numbers count, and come back, as
    /// they are written.
    #[serde(borrow, default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false, nullable = false)]
    pub metadata: Option<&'a RawValue>,
    /// What all units together cost, as the buyer was shown; another price is refused, and nothing
    /// is held.
    #[serde(borrow, default, deserialize_with = "present_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Money<'static>, required = false, nullable = false)]
    pub expected_amount: Option<MoneySent<'a>>,
}

/// A purchase that is taken: an order that is, or may be, in the log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Taken<'a> {
    /// The order.
    #[serde(with = "text")]
    #[schema(value_type = String, format = "uuid")]
    pub order_id: OrderId,
    /// `accepted`: in the log, for ever. `unconfirmed`: not known yet; `links.self` will tell.
    #[serde(with = "word")]
    #[schema(schema_with = described::<Status>)]
    pub status: Status,
    /// What is bought.
    pub offer: Cow<'a, str>,
    /// How much of it.
    pub quantity: u32,
    /// What it costs.
    pub amount: Money<'a>,
    /// Until when it must be paid; `null` while that is not known.
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    /// Where to ask what became of it.
    pub links: Links<'a>,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderLine<'a> {
    /// What is bought.
    pub offer: Cow<'a, str>,
    /// How much of it.
    pub quantity: u32,
    /// What one costs.
    pub unit_price: Money<'a>,
}

/// An order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Order<'a> {
    /// The order.
    #[serde(with = "text")]
    #[schema(value_type = String, format = "uuid")]
    pub order_id: OrderId,
    /// Where it stands.
    #[serde(with = "word")]
    #[schema(schema_with = described::<Status>)]
    pub status: Status,
    /// Grows with each change; 0 before there is a row.
    pub version: u32,
    /// What is bought; empty while only its receipt is known.
    pub lines: Vec<OrderLine<'a>>,
    /// What it costs; `null` while only its receipt is known.
    #[schema(required)]
    pub amount: Option<Money<'a>>,
    /// Why it was rejected.
    #[serde(with = "word_or_null")]
    #[schema(required, schema_with = described_or_null::<RejectReason>)]
    pub reason: Option<RejectReason>,
    /// As the purchase had it; `{}` for none.
    #[schema(value_type = Object)]
    pub metadata: Cow<'a, RawValue>,
    /// Its first reserve.
    #[schema(required, format = DateTime)]
    pub created_at: Option<String>,
    /// Its last change.
    #[schema(required, format = DateTime)]
    pub updated_at: Option<String>,
    /// Until when it must be paid.
    #[schema(required, format = DateTime)]
    pub expires_at: Option<String>,
    /// What was paid for it; `null` while it has no row.
    #[serde(default)]
    #[schema(required)]
    pub captured: Option<Money<'a>>,
    /// What of that went back because somebody asked; `null` while it has no row.
    #[serde(default)]
    #[schema(required)]
    pub refunded: Option<Money<'a>>,
    /// The expired order that its late payment bought again with this one.
    #[serde(default, with = "text_or_none")]
    #[schema(required, value_type = Option<String>, format = "uuid")]
    pub supersedes: Option<OrderId>,
    /// The order that its late payment bought.
    #[serde(default, with = "text_or_none")]
    #[schema(required, value_type = Option<String>, format = "uuid")]
    pub superseded_by: Option<OrderId>,
    /// Where to ask again.
    pub links: Links<'a>,
}

/// Whether an offer can be bought now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OfferState {
    /// Its campaign has not begun.
    Scheduled,
    /// It can.
    Open,
    /// Stopped for a while.
    Paused,
    /// No units are left.
    SoldOut,
    /// Over.
    Closed,
}

/// An offer, as buyers see it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Offer<'a> {
    /// Its name.
    pub offer: Cow<'a, str>,
    /// The thing sold.
    pub sku: Cow<'a, str>,
    /// What one unit costs now.
    pub price: Money<'a>,
    /// The sale it is part of.
    pub campaign: Cow<'a, str>,
    /// When the sale begins; `null` for always.
    #[schema(required, format = DateTime)]
    pub opens_at: Option<String>,
    /// When it ends; `null` for never.
    #[schema(required, format = DateTime)]
    pub closes_at: Option<String>,
    /// Whether it can be bought now.
    pub state: OfferState,
    /// Units left; may lag by a second.
    #[schema(minimum = 0)]
    pub remaining: i64,
    /// The most units of one buyer; `null` for no limit.
    #[schema(required)]
    pub limit_per_buyer: Option<u32>,
}
