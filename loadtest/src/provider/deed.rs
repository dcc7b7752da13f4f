//! What a provider does with an order's payments: told in advance, so that a run knows what must
//! come of it, or by itself: a session is captured at once.

use std::time::Duration;

/// One thing that is told of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedNews {
    /// So long after the session was opened.
    pub after: Duration,
    /// Of which payment: nothing for that of the session, else another one of the order.
    pub other: Option<&'static str>,
    /// `captured`, `authorised`, `failed`.
    pub result: &'static str,
    /// ISO 4217.
    pub currency: String,
    /// Captured so far, minor units.
    pub minor: i64,
    /// How often it is sent; with 0 nobody hears of it but who asks.
    pub times: u32,
}

/// What becomes of a refund at its first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundDeed {
    /// The money moves, and that is said.
    AtOnce,
    /// The money moves, and the answer is lost.
    Lost,
    /// It is said to be under way, and a callback tells.
    Told,
    /// The call never arrives.
    Dropped,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderDeed {
    /// In any order.
    pub news: Vec<PlannedNews>,
    /// Of the first call of each refund.
    pub refund: RefundDeed,
    /// So many calls that close it have no answer first.
    pub deaf: u32,
}

impl ProviderDeed {
    /// Captured at once, once, and nothing goes wrong.
    pub fn at_once(currency: &str, minor: i64) -> Self {
        let news = PlannedNews {
            after: Duration::ZERO,
            other: None,
            result: "captured",
            currency: currency.to_owned(),
            minor,
            times: 1,
        };
        Self { news: vec![news], refund: RefundDeed::AtOnce, deaf: 0 }
    }
}
