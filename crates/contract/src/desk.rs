//! What operators say of orders, payment providers and tasks.

use std::borrow::Cow;

use domain::life::{AdapterKind, RefundState};
use domain::{OrderId, RowStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::buyers::Money;
use crate::strict::{present, present_integer};
use crate::words::{described, text, word};

/// A payment provider, or a warehouse, which signs in the same way.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings<'a> {
    /// `generic`, `standard-webhooks` or `stripe`.
    #[serde(with = "word")]
    #[schema(schema_with = described::<AdapterKind>)]
    pub adapter: AdapterKind,
    /// 1 to 8 of 1 to 256 visible ASCII characters, as the provider gave them. All of them verify,
    /// the last one signs.
    #[schema(min_items = 1, max_items = 8)]
    pub secrets: Vec<Cow<'a, str>>,
    /// Where it is called, `http://host[:port][/path]`; left out: it only calls us.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false, max_length = 500)]
    pub base_url: Option<Cow<'a, str>>,
    /// How long one call may take, 100 to 60,000 ms; 5,000 when left out.
    #[serde(default, deserialize_with = "present_integer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = u32,
        required = false,
        nullable = false,
        minimum = 100,
        maximum = 60_000
    )]
    pub timeout_ms: Option<u32>,
}

/// A payment provider as it is shown: its secrets are not.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProviderShown<'a> {
    /// Its name.
    pub provider: Cow<'a, str>,
    /// Its scheme.
    #[serde(with = "word")]
    #[schema(schema_with = described::<AdapterKind>)]
    pub adapter: AdapterKind,
    /// One `[redacted]` for each.
    pub secrets: Vec<Cow<'a, str>>,
    /// Where it is called; `null` for nowhere.
    #[schema(required)]
    pub base_url: Option<Cow<'a, str>>,
    /// How long one call may take, ms.
    pub timeout_ms: u32,
}

/// Why an operator does something to an order.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderNote<'a> {
    /// At most 500 characters.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false, max_length = 500)]
    pub note: Option<Cow<'a, str>>,
}

/// An order after an operator has changed it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderStanding<'a> {
    /// Which.
    #[serde(with = "text")]
    #[schema(value_type = String, format = "uuid")]
    pub order_id: OrderId,
    /// Where it stands.
    #[serde(with = "word")]
    #[schema(schema_with = described::<RowStatus>)]
    pub status: RowStatus,
    /// Grows with each change.
    pub version: u32,
    /// What it costs.
    pub amount: Money<'a>,
    /// What was paid for it.
    pub captured: Money<'a>,
    /// What of that went back.
    pub refunded: Money<'a>,
}

/// A refund that an operator asked for.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RefundOrdered<'a> {
    /// Its name.
    pub refund_id: Cow<'a, str>,
    /// Where it stands.
    #[serde(with = "word")]
    #[schema(schema_with = described::<RefundState>)]
    pub state: RefundState,
    /// How much.
    pub amount: Money<'a>,
}

/// How a person ended a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskOutcome {
    /// What it asks for is done, or granted.
    Done,
    /// It will not be.
    Failed,
    /// Nothing is to be done.
    Ignored,
}

/// The end of a task.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskResolution<'a> {
    /// Why, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub note: Cow<'a, str>,
    /// How it ended.
    pub outcome: TaskOutcome,
}

/// What money did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MoneySort {
    /// It came in.
    Payment,
    /// It went back.
    Refund,
}

/// Money that stands otherwise in a provider's statement than here, or in one of both only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoneyDifference<'a> {
    /// What it did.
    #[serde(rename = "type")]
    pub sort: MoneySort,
    /// The provider's payment.
    pub payment_id: String,
    /// The provider's key of the refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub refund_id: Option<String>,
    /// The order that the payment named first, where it is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = "uuid")]
    pub order_id: Option<String>,
    /// What is booked here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub here: Option<Money<'a>>,
    /// What the statement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub there: Option<Money<'a>>,
    /// Where a refund stands here that has not moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub state: Option<String>,
}

/// A provider's statement compared with what is booked here, both ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoneyReport<'a> {
    /// Payments and refunds that stand in both with the same sum.
    pub matched: u64,
    /// Only in the statement; at most 1,000 are listed.
    pub missing_here: Vec<MoneyDifference<'a>>,
    /// Only here; at most 1,000 are listed.
    pub missing_there: Vec<MoneyDifference<'a>>,
    /// In both, and not alike; at most 1,000 are listed.
    pub different: Vec<MoneyDifference<'a>>,
    /// Differences that are not listed.
    pub unlisted: u64,
    /// Lines of other types, such as fees and payouts.
    pub passed_over: u64,
    /// What is booked here from this time on must be in the statement, UTC.
    pub from: String,
    /// And before this time, UTC.
    pub to: String,
}

impl MoneyReport<'_> {
    /// True when both books say the same.
    pub fn is_same(&self) -> bool {
        let lists = [&self.missing_here, &self.missing_there, &self.different];
        self.unlisted == 0 && lists.iter().all(|l| l.is_empty())
    }
}

/// What was erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// Of how many orders.
    pub erased: u64,
}
