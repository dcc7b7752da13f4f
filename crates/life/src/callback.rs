//! A callback of a provider, and what its adapter reads from it.

use domain::OrderId;
use domain::life::{Parcel, PaymentNews, ProviderEvent};
use serde::Deserialize;

/// The most bytes of a callback's body.
pub const MAX_BODY: usize = 256 * 1024;
/// How old a callback may be, and how far ahead of our clock, seconds.
pub const WINDOW_S: u64 = 300;
/// The most minor units of one amount: what twenty lines of the dearest offers cost is less.
pub const MAX_MINOR: i64 = 10_000_000_000_000_000;

/// A callback as it came.
pub struct Callback<'a> {
    /// The value of a header by its name in lower case; `None` for one that is not there, is there
    /// twice or is not ASCII.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The raw body, at most [`MAX_BODY`].
    pub body: &'a [u8],
    /// Our clock, unix seconds.
    pub now_s: u64,
}

/// What an authentic callback tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// News of a payment.
    Event(ProviderEvent),
    /// News of the goods of an order.
    Parcel {
        /// Whose.
        order: OrderId,
        /// What.
        parcel: Parcel,
        /// Where it can be followed; empty for nowhere.
        tracking: String,
    },
    /// Something that is of no concern: counted, and answered as received.
    Nothing,
    /// It cannot be read: put aside for a person, and answered as received.
    Unreadable(String),
}

/// An amount as providers write it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Amount {
    pub currency: String,
    pub minor: i64,
}

impl Amount {
    /// With a currency of three letters, in upper case, and in bounds.
    pub(crate) fn checked(self) -> Result<Self, String> {
        let currency = self.currency.to_ascii_uppercase();
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(format!("currency {currency:?}"));
        }
        if !(0..=MAX_MINOR).contains(&self.minor) {
            return Err(format!("an amount of {}", self.minor));
        }
        Ok(Self { currency, ..self })
    }
}

/// What an adapter read, before it is known whose it is.
pub(crate) struct ReadNews {
    pub event: String,
    pub payment: String,
    pub order: String,
    pub currency: String,
    pub news: PaymentNews,
}
