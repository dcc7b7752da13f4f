//! What buyers, providers and warehouses say of an order after it was bought.

use std::borrow::Cow;

use domain::life::{PaymentState, RefundState};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::buyers::{Money, MoneySent};
use crate::strict::{integer, present, present_object};
use crate::words::{described, word};

/// Where a buyer wants to pay.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionWanted<'a> {
    /// A payment provider, as operators call it.
    #[schema(pattern = "^[a-z0-9-]{1,32}$")]
    pub provider: Cow<'a, str>,
}

/// A session at a payment provider.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionShown<'a> {
    /// At whom.
    pub provider: Cow<'a, str>,
    /// What the provider calls it.
    pub payment_id: Cow<'a, str>,
    /// How far it got.
    #[serde(with = "word")]
    #[schema(schema_with = described::<PaymentState>)]
    pub state: PaymentState,
    /// Where the buyer pays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub redirect: Option<Cow<'a, str>>,
}

/// Units of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundLine<'a> {
    /// What was bought.
    pub offer: Cow<'a, str>,
    /// How much of it goes back, at least 1.
    #[serde(deserialize_with = "integer")]
    #[schema(minimum = 1)]
    pub quantity: u32,
}

/// Money of an order that is wanted back: the whole, or some lines, or an amount.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundWanted<'a> {
    /// 1 to 64 visible ASCII characters; the same again is the same refund.
    #[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
    pub refund_id: Cow<'a, str>,
    /// Which units, at what they cost; at most 20 lines.
    #[serde(borrow, default, deserialize_with = "present")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<RefundLine<'static>>, required = false, nullable = false)]
    pub lines: Option<Vec<RefundLine<'a>>>,
    /// Money alone.
    #[serde(borrow, default, deserialize_with = "present_object")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Money<'static>, required = false, nullable = false)]
    pub amount: Option<MoneySent<'a>>,
    /// Why, at most 500 characters; operators only.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false, max_length = 500)]
    pub note: Option<Cow<'a, str>>,
}

/// A refund that was asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundTaken<'a> {
    /// Its name.
    pub refund_id: Cow<'a, str>,
    /// Where it stands.
    #[serde(with = "word")]
    #[schema(schema_with = described::<RefundState>)]
    pub state: RefundState,
    /// How much.
    pub amount: Money<'a>,
}

/// A refund of an order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundShown<'a> {
    /// Its name.
    pub refund_id: Cow<'a, str>,
    /// Where it stands: the part of it that is least far.
    #[serde(with = "word")]
    #[schema(schema_with = described::<RefundState>)]
    pub state: RefundState,
    /// How much.
    pub amount: Money<'a>,
    /// Units that go back with it.
    pub lines: Vec<RefundLine<'a>>,
}

/// The refunds of an order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundList<'a> {
    /// By name.
    pub refunds: Vec<RefundShown<'a>>,
}

/// One version of an order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Transition<'a> {
    /// Which; the first one is the order's row itself and is not listed.
    pub version: u32,
    /// The status before.
    pub from: Cow<'a, str>,
    /// The status after.
    pub to: Cow<'a, str>,
    /// When.
    #[schema(format = DateTime)]
    pub at: String,
    /// Why.
    pub cause: Cow<'a, str>,
    /// Who did it: `buyer`, `clerk`, `provider:card`, `operator:olga`.
    pub actor: Cow<'a, str>,
}

/// The versions of an order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderHistory<'a> {
    /// Ascending.
    pub transitions: Vec<Transition<'a>>,
}

/// What a provider tells, in the scheme `generic`. Fields that are not listed are left alone.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PaymentTold<'a> {
    /// Unique at the provider.
    pub event_id: Cow<'a, str>,
    /// Which payment.
    pub payment_id: Cow<'a, str>,
    /// The order that it is for.
    #[schema(value_type = String, format = "uuid")]
    pub order_id: Cow<'a, str>,
    /// `opened`, `authorised`, `captured`, `failed`, `closed`, `refund_succeeded`, `refund_failed`.
    pub result: Cow<'a, str>,
    /// Captured so far, all together, or refunded.
    pub amount: Option<Money<'a>>,
    /// The key of a refund that this product sent, or what the provider calls its own.
    pub refund_id: Option<Cow<'a, str>>,
    /// When it was paid.
    #[schema(format = DateTime)]
    pub paid_at: Option<Cow<'a, str>>,
}

/// What a warehouse tells. Fields that are not listed are left alone.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ParcelTold<'a> {
    /// Unique at the warehouse.
    pub event_id: Cow<'a, str>,
    /// Whose goods.
    #[schema(value_type = String, format = "uuid")]
    pub order_id: Cow<'a, str>,
    /// `shipped`, `delivered`, `returned`.
    pub result: Cow<'a, str>,
    /// Where the parcel can be followed, at most 200 characters.
    pub tracking: Option<Cow<'a, str>>,
    /// The refund whose goods came back.
    pub refund_id: Option<Cow<'a, str>>,
    /// What came back.
    pub lines: Option<Vec<RefundLine<'a>>>,
    /// When.
    #[schema(format = DateTime)]
    pub at: Option<Cow<'a, str>>,
}

/// It is durable.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ReceivedNews {
    /// Always.
    pub received: bool,
}

/// Any object: what a checkout keeps of a person with an order.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct OrderDetails<'a>(
    /// As it was given.
    #[serde(borrow)]
    pub &'a RawValue,
);
