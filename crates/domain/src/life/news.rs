//! News of lives on their way through the log: what a gate took from a provider or a warehouse,
//! until the clerk has joined it. Golden bytes in the tests hold the wire form still.

use bytes::Bytes;
use prost::Message;

use super::parcel::Parcel;
use super::payment::{PaymentNews, ProviderEvent};
use crate::ids::OrderId;

/// One callback, after its signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeNews {
    /// Of a payment.
    Payment {
        /// What its adapter read.
        event: ProviderEvent,
        /// SHA-256 of the body, which itself is not kept.
        hash: [u8; 32],
    },
    /// Of the goods of an order.
    Parcel {
        /// Who told, as operators called it.
        system: String,
        /// Whose.
        order: OrderId,
        /// What.
        parcel: Parcel,
        /// Where the parcel can be followed; empty for nowhere.
        tracking: String,
    },
    /// Authentic, and nobody can read it.
    Unreadable {
        /// Who told.
        from: String,
        /// What is wrong with it.
        why: String,
        /// SHA-256 of the body.
        hash: [u8; 32],
    },
}

impl LifeNews {
    /// Whose life it is about; `None` for what nobody can read.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            LifeNews::Payment { event, .. } => Some(event.order),
            LifeNews::Parcel { order, .. } => Some(*order),
            LifeNews::Unreadable { .. } => None,
        }
    }

    /// What kind of frame entry it is.
    pub(crate) fn kind(&self) -> u32 {
        match self {
            LifeNews::Payment { .. } => PAYMENT,
            LifeNews::Parcel { .. } => PARCEL,
            LifeNews::Unreadable { .. } => UNREADABLE,
        }
    }

    /// As the log carries it, beside its kind.
    pub(crate) fn encode(&self) -> Bytes {
        let wire = match self {
            LifeNews::Payment { event, hash } => payment_wire(event, hash),
            LifeNews::Parcel { system, order, parcel, tracking } => {
                let (what, refund) = match parcel {
                    Parcel::Shipped => (1, String::new()),
                    Parcel::Delivered => (2, String::new()),
                    Parcel::Returned(refund) => (3, refund.to_string()),
                    Parcel::ReturnedLines(lines) => (4, written(lines)),
                };
                NewsWire {
                    from: system.clone(),
                    order: order.0.to_vec(),
                    what,
                    key: refund,
                    text: tracking.clone(),
                    ..NewsWire::default()
                }
            }
            LifeNews::Unreadable { from, why, hash } => NewsWire {
                from: from.clone(),
                text: why.clone(),
                hash: hash.to_vec(),
                ..NewsWire::default()
            },
        };
        wire.encode_to_vec().into()
    }

    /// The inverse.
    pub(crate) fn decode(kind: u32, bytes: &[u8]) -> Result<LifeNews, NewsError> {
        let wire = NewsWire::decode(bytes).map_err(|e| NewsError::Garbage(e.to_string()))?;
        let order = || wire.order.as_slice().try_into().map(OrderId).map_err(|_| garbage("order"));
        let hash = || wire.hash.as_slice().try_into().map_err(|_| garbage("hash"));
        Ok(match kind {
            PAYMENT => LifeNews::Payment { event: payment_event(&wire, order()?)?, hash: hash()? },
            PARCEL => LifeNews::Parcel {
                order: order()?,
                parcel: match wire.what {
                    1 => Parcel::Shipped,
                    2 => Parcel::Delivered,
                    3 => Parcel::Returned(wire.key.parse().map_err(garbage)?),
                    4 => Parcel::ReturnedLines(read(&wire.key).ok_or_else(|| garbage("lines"))?),
                    n => return Err(NewsError::Newer(n)),
                },
                system: wire.from,
                tracking: wire.text,
            },
            UNREADABLE => LifeNews::Unreadable { hash: hash()?, from: wire.from, why: wire.text },
            n => return Err(NewsError::Newer(n)),
        })
    }
}

/// `offer units` of each line, by commas: no name has one.
fn written(lines: &[(String, u32)]) -> String {
    let all: Vec<String> = lines.iter().map(|(offer, units)| format!("{offer} {units}")).collect();
    all.join(",")
}

fn read(text: &str) -> Option<Vec<(String, u32)>> {
    let line = |part: &str| {
        let (offer, units) = part.split_once(' ')?;
        Some((offer.to_owned(), units.parse().ok()?))
    };
    text.split(',').filter(|part| !part.is_empty()).map(line).collect()
}

/// Why an entry is no news.
pub(crate) enum NewsError {
    /// Of a kind, or of a sort within its kind, that a newer program writes.
    Newer(u32),
    Garbage(String),
}

fn garbage(what: impl std::fmt::Display) -> NewsError {
    NewsError::Garbage(what.to_string())
}

/// Kinds of frame entries.
const PAYMENT: u32 = 5;
const PARCEL: u32 = 6;
pub(crate) const UNREADABLE: u32 = 7;

fn payment_wire(event: &ProviderEvent, hash: &[u8; 32]) -> NewsWire {
    let (what, amount, key) = match &event.news {
        PaymentNews::Opened => (1, 0, ""),
        PaymentNews::Authorised => (2, 0, ""),
        PaymentNews::Captured(minor) => (3, *minor, ""),
        PaymentNews::Failed => (4, 0, ""),
        PaymentNews::Closed => (5, 0, ""),
        PaymentNews::RefundSucceeded { key, amount } => (6, *amount, key.as_str()),
        PaymentNews::RefundFailed { key } => (7, 0, key.as_str()),
    };
    NewsWire {
        from: event.provider.to_string(),
        event: event.event.clone().unwrap_or_default(),
        payment: event.payment.to_string(),
        order: event.order.0.to_vec(),
        currency: event.currency.clone(),
        what,
        amount,
        key: key.to_owned(),
        hash: hash.to_vec(),
        text: String::new(),
    }
}

fn payment_event(wire: &NewsWire, order: OrderId) -> Result<ProviderEvent, NewsError> {
    let (amount, key) = (wire.amount, wire.key.clone());
    let news = match wire.what {
        1 => PaymentNews::Opened,
        2 => PaymentNews::Authorised,
        3 => PaymentNews::Captured(amount),
        4 => PaymentNews::Failed,
        5 => PaymentNews::Closed,
        6 => PaymentNews::RefundSucceeded { key, amount },
        7 => PaymentNews::RefundFailed { key },
        n => return Err(NewsError::Newer(n)),
    };
    Ok(ProviderEvent {
        event: Some(wire.event.clone()),
        provider: wire.from.parse().map_err(garbage)?,
        payment: wire.payment.parse().map_err(garbage)?,
        order,
        currency: wire.currency.clone(),
        news,
        is_final: false,
    })
}

#[derive(Clone, PartialEq, Message)]
struct NewsWire {
    #[prost(string, tag = "1")]
    from: String,
    #[prost(string, tag = "2")]
    event: String,
    #[prost(string, tag = "3")]
    payment: String,
    #[prost(bytes = "vec", tag = "4")]
    order: Vec<u8>,
    #[prost(string, tag = "5")]
    currency: String,
    #[prost(uint32, tag = "6")]
    what: u32,
    #[prost(int64, tag = "7")]
    amount: i64,
    #[prost(string, tag = "8")]
    key: String,
    #[prost(bytes = "vec", tag = "9")]
    hash: Vec<u8>,
    #[prost(string, tag = "10")]
    text: String,
}
