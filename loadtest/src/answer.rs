//! What one attempt ended with, read from an HTTP answer. Pure.
//!
//! Every attempt ends in exactly one [`RequestOutcome`]. `is_unknown` is the line that the verdict
//! stands on: after an unknown outcome an order may exist, after any other answer the answer
//! binds the gate.

use std::borrow::Cow;

use contract::buyers::{Order, Taken};
use contract::{ProblemBody, Reason, Retry};
use domain::order::RejectReason;
use domain::{OrderId, Status};
use hyper::header::RETRY_AFTER;
use web::Received;

/// How one attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RequestOutcome {
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

impl RequestOutcome {
    /// The name in tallies, reports and the history.
    pub(crate) fn label(self) -> Cow<'static, str> {
        match self {
            RequestOutcome::Accepted => "accepted".into(),
            RequestOutcome::Unconfirmed => "unconfirmed".into(),
            RequestOutcome::Decided(s) => format!("decided_{}", s.as_str()).into(),
            RequestOutcome::Refused(r) => r.as_str().into(),
            RequestOutcome::Odd(status) => format!("odd_{status}").into(),
            RequestOutcome::NoAnswer => "no_answer".into(),
            RequestOutcome::NotSent => "not_sent".into(),
        }
    }

    /// True when an order may exist although nobody promised one.
    pub(crate) fn is_unknown(self) -> bool {
        match self {
            RequestOutcome::Unconfirmed | RequestOutcome::NoAnswer => true,
            RequestOutcome::Odd(_) | RequestOutcome::Refused(Reason::Internal) => true,
            RequestOutcome::Accepted | RequestOutcome::Decided(_) => false,
            RequestOutcome::Refused(_) | RequestOutcome::NotSent => false,
        }
    }

    /// True when the same request is worth sending again for a definite answer.
    pub(crate) fn wants_retry(self) -> bool {
        match self {
            RequestOutcome::Unconfirmed | RequestOutcome::NoAnswer | RequestOutcome::NotSent => {
                true
            }
            RequestOutcome::Odd(status) => status >= 500,
            RequestOutcome::Refused(r) => {
                let early = matches!(r, Reason::RequestTimeout | Reason::EarlyData);
                r.retry() == Retry::SameKey && (r.status() >= 500 || early)
            }
            RequestOutcome::Accepted | RequestOutcome::Decided(_) => false,
        }
    }
}

/// One answer, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeardAnswer {
    pub outcome: RequestOutcome,
    pub order: Option<OrderId>,
    /// Where to ask what became of it.
    pub link: Option<String>,
    /// Why a decided order was rejected.
    pub reason: Option<RejectReason>,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl HeardAnswer {
    /// An attempt without an answer.
    pub(crate) fn none(outcome: RequestOutcome) -> Self {
        Self { outcome, order: None, link: None, reason: None, retry_after: None }
    }
}

/// Reads an answer to a purchase or to a look at an order. What is not of the contract, such as a
/// promise that names no order, is odd.
pub(crate) fn of(reply: &Received) -> HeardAnswer {
    let retry_after = reply.headers.get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    HeardAnswer { retry_after, ..read(reply.status.as_u16(), &reply.body) }
}

fn read(status: u16, body: &[u8]) -> HeardAnswer {
    let read = match status {
        202 => taken(body),
        200 => decided(body),
        400..=599 => refused(status, body),
        _ => None,
    };
    read.unwrap_or_else(|| HeardAnswer::none(RequestOutcome::Odd(status)))
}

fn taken(body: &[u8]) -> Option<HeardAnswer> {
    let taken: Taken<'_> = serde_json::from_slice(body).ok()?;
    let outcome = match taken.status {
        Status::Accepted => RequestOutcome::Accepted,
        Status::Unconfirmed => RequestOutcome::Unconfirmed,
        Status::Row(_) => return None,
    };
    let link = Some(taken.links.this.into_owned());
    Some(HeardAnswer { order: Some(taken.order_id), link, ..HeardAnswer::none(outcome) })
}

fn decided(body: &[u8]) -> Option<HeardAnswer> {
    let order: Order<'_> = serde_json::from_slice(body).ok()?;
    let answer = HeardAnswer::none(RequestOutcome::Decided(order.status));
    let link = Some(order.links.this.into_owned());
    Some(HeardAnswer { order: Some(order.order_id), link, reason: order.reason, ..answer })
}

fn refused(status: u16, body: &[u8]) -> Option<HeardAnswer> {
    let problem: ProblemBody<'_> = serde_json::from_slice(body).ok()?;
    let of_table = problem.reason.status() == status;
    let link = problem.links.map(|l| l.this.into_owned());
    let answer = HeardAnswer::none(RequestOutcome::Refused(problem.reason));
    of_table.then_some(HeardAnswer { order: problem.order_id, link, ..answer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RowStatus;

    const ID: &str = "00000000-0000-8000-8000-000000000001";

    fn outcome(status: u16, body: &str) -> RequestOutcome {
        read(status, body.as_bytes()).outcome
    }

    const PRICE: &str = r#"{"currency":"EUR","minor":1}"#;

    fn taken(status: &str) -> String {
        format!(
            r#"{{"order_id":"{ID}","status":"{status}","offer":"shoe","quantity":1,
                "amount":{PRICE},"expires_at":null,"links":{{"self":"/x"}}}}"#
        )
    }

    fn order(status: &str, reason: &str) -> String {
        format!(
            r#"{{"order_id":"{ID}","status":"{status}","version":1,"lines":[],"amount":{PRICE},
                "reason":{reason},"metadata":{{}},"created_at":null,"updated_at":null,
                "expires_at":null,"links":{{"self":"/x"}},"of_a_later_version":[1]}}"#
        )
    }

    #[test]
    fn every_answer_of_the_contract_has_its_outcome() {
        let accepted = read(202, taken("accepted").as_bytes());
        assert_eq!(accepted.outcome, RequestOutcome::Accepted);
        assert_eq!(
            (accepted.order.unwrap().to_string(), accepted.link.as_deref()),
            (ID.into(), Some("/x"))
        );
        assert_eq!(outcome(202, &taken("unconfirmed")), RequestOutcome::Unconfirmed);
        assert_eq!(outcome(202, &taken("pending")), RequestOutcome::Odd(202));
        assert_eq!(outcome(202, r#"{"status":"accepted"}"#), RequestOutcome::Odd(202));
        let pending = RequestOutcome::Decided(Status::Row(RowStatus::Pending));
        assert_eq!(outcome(200, &order("pending", "null")), pending);
        let rejected = read(200, order("rejected", "\"sold_out\"").as_bytes());
        assert_eq!(rejected.reason, Some(RejectReason::SoldOut));
        assert_eq!(outcome(200, &order("gone", "null")), RequestOutcome::Odd(200));
        let problem = serde_json::to_string(&contract::Problem::new(Reason::SoldOut).body());
        let sold = problem.unwrap();
        assert_eq!(outcome(409, &sold), RequestOutcome::Refused(Reason::SoldOut));
        assert_eq!(outcome(502, "<html>"), RequestOutcome::Odd(502));
        assert_eq!(outcome(500, &sold), RequestOutcome::Odd(500));
    }

    #[test]
    fn what_is_sent_again_and_what_binds() {
        assert!(!RequestOutcome::Refused(Reason::SoldOut).wants_retry());
        assert!(RequestOutcome::Refused(Reason::Overloaded).wants_retry());
        assert!(!RequestOutcome::Refused(Reason::Overloaded).is_unknown());
        assert!(!RequestOutcome::Refused(Reason::RateLimited).wants_retry());
        assert!(RequestOutcome::NoAnswer.wants_retry() && RequestOutcome::NoAnswer.is_unknown());
        assert!(RequestOutcome::NotSent.wants_retry() && !RequestOutcome::NotSent.is_unknown());
        assert!(RequestOutcome::Odd(502).is_unknown() && RequestOutcome::Unconfirmed.is_unknown());
    }
}
