//! What one attempt ended with, read from an HTTP answer. Pure.
//!
//! Every attempt ends in exactly one [`Outcome`]. `is_unknown` is the line that the verdict
//! stands on: after an unknown outcome an order may exist, after any other answer the answer
//! binds the gate.

use std::borrow::Cow;

use domain::outcome::Retry;
use domain::{OrderId, Reason, Status};
use serde::Deserialize;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// 202 `accepted`: one order, for ever.
    Accepted,
    /// 202 `unconfirmed`.
    Unconfirmed,
    /// 200: decided before; what the order was then.
    Decided(Status),
    /// A problem of the table.
    Refused(Reason),
    /// An answer outside the contract; its HTTP status.
    Odd(u16),
    /// Sent (or partly sent), no answer.
    NoAnswer,
    /// Certainly not sent: no connection.
    NotSent,
}

impl Outcome {
    /// The name in tallies, reports and the history.
    pub fn label(self) -> Cow<'static, str> {
        match self {
            Outcome::Accepted => "accepted".into(),
            Outcome::Unconfirmed => "unconfirmed".into(),
            Outcome::Decided(s) => format!("decided_{}", s.as_str()).into(),
            Outcome::Refused(r) => r.as_str().into(),
            Outcome::Odd(status) => format!("odd_{status}").into(),
            Outcome::NoAnswer => "no_answer".into(),
            Outcome::NotSent => "not_sent".into(),
        }
    }

    /// True when an order may exist although nobody promised one.
    pub fn is_unknown(self) -> bool {
        match self {
            Outcome::Unconfirmed | Outcome::NoAnswer => true,
            Outcome::Odd(_) | Outcome::Refused(Reason::Internal) => true,
            Outcome::Accepted | Outcome::Decided(_) => false,
            Outcome::Refused(_) | Outcome::NotSent => false,
        }
    }

    /// True when the same request is worth sending again for a definite answer.
    pub fn wants_retry(self) -> bool {
        match self {
            Outcome::Unconfirmed | Outcome::NoAnswer | Outcome::NotSent => true,
            Outcome::Odd(status) => status >= 500,
            Outcome::Refused(r) => {
                let early = matches!(r, Reason::RequestTimeout | Reason::EarlyData);
                r.retry() == Retry::SameKey && (r.status() >= 500 || early)
            }
            Outcome::Accepted | Outcome::Decided(_) => false,
        }
    }
}

/// One answer, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub outcome: Outcome,
    pub order: Option<OrderId>,
    /// Where to ask what became of it.
    pub link: Option<String>,
    /// Why a decided order was rejected.
    pub reason: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// An attempt without an answer.
    pub fn none(outcome: Outcome) -> Self {
        Self { outcome, order: None, link: None, reason: None, retry_after: None }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wire {
    order_id: Option<String>,
    status: serde_json::Value,
    reason: Option<String>,
    links: Links,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    #[serde(rename = "self")]
    this: Option<String>,
}

/// Reads an answer to a purchase or to a look at an order.
pub(crate) fn read(status: u16, retry_after: Option<u64>, body: &[u8]) -> Answer {
    let wire: Wire = serde_json::from_slice(body).unwrap_or_default();
    let order = wire.order_id.as_deref().and_then(|id| id.parse().ok());
    let text = wire.status.as_str().and_then(Status::parse);
    let outcome = match (status, text) {
        // An answer that promises an order must name it.
        (202, Some(Status::Accepted)) if order.is_some() => Outcome::Accepted,
        (202, Some(Status::Unconfirmed)) if order.is_some() => Outcome::Unconfirmed,
        (200, Some(s)) if order.is_some() => Outcome::Decided(s),
        (400..=599, _) => problem(status, wire.reason.as_deref()),
        _ => Outcome::Odd(status),
    };
    Answer { outcome, order, link: wire.links.this, reason: wire.reason, retry_after }
}

fn problem(status: u16, reason: Option<&str>) -> Outcome {
    let known = Reason::ALL.iter().find(|r| Some(r.as_str()) == reason && r.status() == status);
    known.map_or(Outcome::Odd(status), |r| Outcome::Refused(*r))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RowStatus;

    const ID: &str = "00000000-0000-8000-8000-000000000001";

    fn outcome(status: u16, body: &str) -> Outcome {
        read(status, None, body.as_bytes()).outcome
    }

    #[test]
    fn every_answer_of_the_contract_has_its_outcome() {
        let accepted =
            format!(r#"{{"order_id":"{ID}","status":"accepted","links":{{"self":"/x"}}}}"#);
        let read = read(202, None, accepted.as_bytes());
        assert_eq!(read.outcome, Outcome::Accepted);
        assert_eq!(
            (read.order.unwrap().to_string(), read.link.as_deref()),
            (ID.into(), Some("/x"))
        );
        assert_eq!(outcome(202, r#"{"status":"accepted"}"#), Outcome::Odd(202));
        let pending = format!(r#"{{"order_id":"{ID}","status":"pending"}}"#);
        assert_eq!(outcome(200, &pending), Outcome::Decided(Status::Row(RowStatus::Pending)));
        let sold = r#"{"status":409,"reason":"sold_out","retry":"same_key"}"#;
        assert_eq!(outcome(409, sold), Outcome::Refused(Reason::SoldOut));
        assert_eq!(outcome(502, "<html>"), Outcome::Odd(502));
        assert_eq!(outcome(500, sold), Outcome::Odd(500));
    }

    #[test]
    fn what_is_sent_again_and_what_binds() {
        assert!(!Outcome::Refused(Reason::SoldOut).wants_retry());
        assert!(Outcome::Refused(Reason::Overloaded).wants_retry());
        assert!(!Outcome::Refused(Reason::Overloaded).is_unknown());
        assert!(!Outcome::Refused(Reason::RateLimited).wants_retry());
        assert!(Outcome::NoAnswer.wants_retry() && Outcome::NoAnswer.is_unknown());
        assert!(Outcome::NotSent.wants_retry() && !Outcome::NotSent.is_unknown());
        assert!(Outcome::Odd(502).is_unknown() && Outcome::Unconfirmed.is_unknown());
    }
}
