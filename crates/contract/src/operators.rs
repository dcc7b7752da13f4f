//! What operators send and get.

use std::borrow::Cow;

use domain::Flag;
use domain::ledger::MAX_UNITS;
use domain::life::{LatePolicy, RefundPolicy, Restock};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::schema::{
    KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};

use crate::buyers::Money;
use crate::strict::{integer, object, present_integer};
use crate::words::{described, word, word_or_null};

/// When a campaign sells, and how long its orders may stay unpaid.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// RFC 3339, before `closes_at`; left out or `null`: always open.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub opens_at: Option<String>,
    /// RFC 3339; left out or `null`: never closes.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub closes_at: Option<String>,
    /// Seconds, 1 to 2,592,000 (30 days), 0: never; 1,800 when left out.
    #[serde(default = "half_an_hour", deserialize_with = "integer")]
    #[schema(required = false, minimum = 0, maximum = 2_592_000)]
    pub payment_window_s: u64,
}

fn half_an_hour() -> u64 {
    1800
}

/// A campaign.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Campaign<'a> {
    /// Its name.
    pub campaign: Cow<'a, str>,
    /// When it begins; `null` for always.
    #[schema(required, format = DateTime)]
    pub opens_at: Option<String>,
    /// When it ends; `null` for never.
    #[schema(required, format = DateTime)]
    pub closes_at: Option<String>,
    /// Seconds an order may stay unpaid.
    pub payment_window_s: u32,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price<'a> {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Cow<'a, str>,
    /// In minor units, 0 to 10^12.
    #[serde(deserialize_with = "integer")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub minor: i64,
}

/// What an offer is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferSettings<'a> {
    /// The sale it is part of, fixed at creation; `evergreen` always exists.
    #[schema(pattern = "^[a-z0-9-]{1,64}$")]
    pub campaign: Cow<'a, str>,
    /// The thing sold, 1 to 128 characters.
    #[schema(min_length = 1, max_length = 128)]
    pub sku: Cow<'a, str>,
    /// What one unit costs. An order keeps the price of its first reserve.
    #[serde(deserialize_with = "object")]
    pub price: Price<'a>,
    /// Units at creation, 0 to 10^12, fixed; more or less of them later through supply.
    #[serde(deserialize_with = "integer")]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    pub allotment: i64,
    /// The most units of one buyer; left out: no limit. Whether there is one is fixed.
    #[serde(default, deserialize_with = "present_integer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = u32,
        required = false,
        nullable = false,
        minimum = 1,
        maximum = 2_147_483_647
    )]
    pub limit_per_buyer: Option<u32>,
    /// Slices of the allotment, fixed at creation; only 1 in this version.
    #[serde(default, deserialize_with = "present_integer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u16, required = false, nullable = false, minimum = 1, maximum = 1)]
    pub buckets: Option<u16>,
    /// What becomes of a payment after its order expired: it buys the order again if there are
    /// units, or goes back. Left out, this and what follows stay as they are.
    #[serde(default, with = "word_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = described::<LatePolicy>)]
    pub late_payment: Option<LatePolicy>,
    /// What becomes of a refund that a buyer asks for.
    #[serde(default, with = "word_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = described::<RefundPolicy>)]
    pub refund: Option<RefundPolicy>,
    /// Whether the goods of a refund are sold again.
    #[serde(default, with = "word_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = described::<Restock>)]
    pub restock: Option<Restock>,
    /// What becomes of the cancellation of a paid order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub cancel_paid: Option<CancelPaid>,
    /// What the limit of a buyer counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub limit_counts: Option<LimitCounts>,
}

/// What becomes of the cancellation of a paid order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelPaid {
    /// It is refused.
    Refuse,
    /// It asks for a refund.
    Refund,
}

/// What the limit of a buyer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitCounts {
    /// Units that the buyer keeps.
    Live,
    /// Units that the buyer ever paid for.
    Ever,
}

/// One cell of an offer: the first numbers as Redis has them, `ledger_*` from the database.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CellStock {
    /// Its name.
    pub cell: String,
    /// Units that were given to it.
    pub supply: i64,
    /// Units claimed and not given back.
    pub net: i64,
    /// Units set aside for orders whose entry is not applied yet.
    pub held: i64,
    /// Units that can be bought.
    pub available: i64,
    /// The last ledger entry that Redis has.
    pub watermark: u64,
    /// Orders with held units.
    pub holds: u64,
    /// `supply` of the ledger.
    pub ledger_supply: i64,
    /// `net` of the ledger.
    pub ledger_net: i64,
    /// The last entry of the ledger.
    pub ledger_seq: u64,
    /// True when Redis does not have the cell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
}

/// An offer, as operators see it. The sums are over its cells.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OfferStock<'a> {
    /// Its name.
    pub offer: Cow<'a, str>,
    /// The sale it is part of.
    pub campaign: Cow<'a, str>,
    /// The thing sold.
    pub sku: Cow<'a, str>,
    /// What one unit costs now.
    pub price: Money<'a>,
    /// The most units of one buyer; `null` for no limit.
    #[schema(required)]
    pub limit_per_buyer: Option<u32>,
    /// Whether it is on sale, apart from its campaign's window.
    #[serde(with = "word")]
    #[schema(schema_with = described::<Flag>)]
    pub state: Flag,
    /// What becomes of late payments.
    #[serde(with = "word")]
    #[schema(schema_with = described::<LatePolicy>)]
    pub late_payment: LatePolicy,
    /// What becomes of refunds that buyers ask for.
    #[serde(with = "word")]
    #[schema(schema_with = described::<RefundPolicy>)]
    pub refund: RefundPolicy,
    /// Whether the goods of refunds are sold again.
    #[serde(with = "word")]
    #[schema(schema_with = described::<Restock>)]
    pub restock: Restock,
    /// What becomes of the cancellation of a paid order.
    pub cancel_paid: CancelPaid,
    /// What the limit of a buyer counts.
    pub limit_counts: LimitCounts,
    /// Units that were given to it.
    pub supply: i64,
    /// Units claimed and not given back.
    pub net: i64,
    /// Units set aside.
    pub held: i64,
    /// Units that can be bought.
    pub available: i64,
    /// One per bucket.
    pub cells: Vec<CellStock>,
}

/// Units that come, or go off sale.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Supply<'a> {
    /// 1 to 128 visible ASCII characters; the same again changes nothing.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    pub request_id: Cow<'a, str>,
    /// At most 10^12, not 0. Negative: taken off sale, all or nothing, at most 4,294,967,295.
    #[serde(deserialize_with = "integer")]
    #[schema(schema_with = some_units)]
    pub units: i64,
}

/// Neither 0 nor beyond what a call may move.
fn some_units() -> Schema {
    let range = |from: i64, to: i64| {
        let of = ObjectBuilder::new().schema_type(Type::Integer).format(Some(INT64));
        of.minimum(Some(from)).maximum(Some(to))
    };
    let both = OneOfBuilder::new().item(range(1, MAX_UNITS)).item(range(-i64::from(u32::MAX), -1));
    Schema::OneOf(both.build())
}

const INT64: SchemaFormat = SchemaFormat::KnownFormat(KnownFormat::Int64);

/// What to compare.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconcile {
    /// One offer, `shoe`, or `acme/shoe` of a tenant with a name; left out or `null`: all.
    #[serde(default)]
    #[schema(pattern = "^([a-z0-9-]{1,32}/)?[a-z0-9-]{1,64}$")]
    pub offer: Option<String>,
    /// Only tell.
    #[serde(default)]
    #[schema(required = false)]
    pub dry_run: bool,
}

/// Something in which Redis, ledger and rows differ.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Drift<'a> {
    /// Where.
    pub cell: String,
    /// What is wrong.
    pub kind: Cow<'a, str>,
    /// What the ledger says.
    pub ledger: Cow<'a, str>,
    /// What Redis or the row says.
    pub redis: Cow<'a, str>,
    /// What is done about it.
    pub repair: Cow<'a, str>,
    /// True when it was.
    pub applied: bool,
}

/// What was compared and found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Report<'a> {
    /// Cells there are.
    pub cells: u64,
    /// Cells that could be compared.
    pub compared: u64,
    /// Rows of orders that were compared.
    pub rows: u64,
    /// What differs.
    pub drift: Vec<Drift<'a>>,
    /// Databases that did not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub unread_databases: Vec<u16>,
}

/// A database.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Shard {
    /// Its number.
    pub shard: u16,
    /// True when it answers.
    pub healthy: bool,
}

/// How far behind the writers are, what waits for a person, which database answers.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Status)]
pub struct Standing {
    /// Age of the oldest frame that is not finished, ms.
    pub lag_ms: u64,
    /// Frames that are not finished.
    pub backlog_frames: u64,
    /// Age of the oldest hold, ms.
    pub oldest_hold_ms: u64,
    /// Holds that should have been folded in or relayed by now.
    pub holds_overdue: u64,
    /// Orders that wait for a person.
    pub parked_orders: u64,
    /// Frames that wait for a person.
    pub parked_frames: u64,
    /// Verdicts whose hold was gone: Redis lost data.
    pub apply_without_hold: u64,
    /// Cells that differ from their ledger.
    pub cells_diverged: u64,
    /// All databases.
    pub shards: Vec<Shard>,
    /// All money, currency by currency, as the reconciler last added it up.
    pub money: Vec<MoneyStanding>,
}

/// Where the money of one currency is, minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoneyStanding {
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// All that came in.
    pub captured: i64,
    /// What of it went back.
    pub refunded: i64,
    /// What is on its way back.
    pub under_way: i64,
    /// What waits for a person, such as refunds that were asked for or do not get through.
    pub manual: i64,
    /// Payments and orders whose money does not add up: an alarm (INV-16 to INV-18).
    pub broken: u64,
    /// When the oldest of these sums was made, UTC.
    pub as_of: String,
}

/// Something that waits for a person.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Task<'a> {
    /// What `retry` and `resolve` take.
    pub id: String,
    /// `parked_order`, `parked_frame`, or what an order's life needs a person for: `orphan`,
    /// `other_order`, `other_currency`, `refund_asked`, `refund`, `bounced`, `taken_back`,
    /// `parcel`, `restock`, `giveback`, `unreadable`.
    pub kind: Cow<'a, str>,
    /// The order, payment or refund; the partition of a frame.
    pub subject: String,
    /// Why a person is needed.
    pub why: String,
    /// `open`, `resolved`, or `retried` once it was given back to the log.
    pub state: Cow<'a, str>,
    /// How often it came up.
    pub times: u32,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub resolved_by: Option<String>,
    /// What they wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub note: Option<String>,
}

/// A page of tasks.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Tasks)]
pub struct TaskPage<'a> {
    /// Parked orders by id, parked frames by id, then the others by kind.
    pub tasks: Vec<Task<'a>>,
    /// `cursor` of the next page; `null` on the last.
    #[schema(required)]
    pub next_cursor: Option<String>,
}
