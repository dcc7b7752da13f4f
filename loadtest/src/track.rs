//! What the crowd knows of one idempotency key: every promise and every doubt. Pure.
//!
//! A track only grows: an answer is never forgotten because a later one looks better.

use contract::Reason;
use domain::order::RejectReason;
use domain::{OrderId, Status};

use crate::answer::{HeardAnswer, RequestOutcome};

/// What became of an order, asked after everything settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The API shows it so; with the reason of a rejection.
    Order(OrderId, Status, Option<RejectReason>),
    /// 404: there is none.
    None,
    /// No answer before the deadline.
    Unknown,
}

impl Fate {
    /// The name in reports.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Fate::Order(_, status, _) => status.as_str(),
            Fate::None => "no_order",
            Fate::Unknown => "no_answer",
        }
    }
    /// The order, if there is one.
    pub(crate) fn order(&self) -> Option<OrderId> {
        match self {
            Fate::Order(order, _, _) => Some(*order),
            Fate::None | Fate::Unknown => None,
        }
    }
    /// True when polling again cannot change it.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Fate::Order(_, Status::Row(_), _))
    }
}

/// One key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    /// True once a request with this key left (or tried to).
    pub sent: bool,
    /// Orders that an answer promised: 202 `accepted`, or 200 with an order that lived.
    pub promised: Vec<OrderId>,
    /// Orders that an answer called dead (200 `rejected` and the like).
    pub told_dead: Vec<OrderId>,
    /// Orders that an answer named without promising anything.
    pub named: Vec<OrderId>,
    /// True when some attempt had an unknown outcome.
    pub unknown: bool,
    /// True when some answer was `unconfirmed`.
    pub unconfirmed: bool,
    /// The last refusal.
    pub refused: Option<Reason>,
    /// Where to ask; the one with a receipt wins.
    pub link: Option<Box<str>>,
    /// What became of it.
    pub fate: Option<Fate>,
}

fn note(list: &mut Vec<OrderId>, order: Option<OrderId>) {
    if let Some(order) = order
        && !list.contains(&order)
    {
        list.push(order);
    }
}

impl Track {
    /// Takes in the end of one attempt.
    pub(crate) fn learn(&mut self, answer: &HeardAnswer) {
        self.sent = true;
        self.unknown |= answer.outcome.is_unknown();
        match answer.outcome {
            RequestOutcome::Accepted => {
                note(&mut self.promised, answer.order);
                self.link = answer.link.as_deref().map(Box::from);
            }
            RequestOutcome::Decided(Status::Unconfirmed) => {
                self.unknown = true;
                note(&mut self.named, answer.order);
            }
            RequestOutcome::Decided(status) if status.is_live() => {
                note(&mut self.promised, answer.order);
            }
            RequestOutcome::Decided(_) => note(&mut self.told_dead, answer.order),
            RequestOutcome::Unconfirmed => {
                self.unconfirmed = true;
                note(&mut self.named, answer.order);
                if self.link.is_none() {
                    self.link = answer.link.as_deref().map(Box::from);
                }
            }
            RequestOutcome::Refused(reason) => self.refused = Some(reason),
            RequestOutcome::Odd(_) | RequestOutcome::NoAnswer | RequestOutcome::NotSent => {}
        }
    }

    /// True when an order of this key may exist, so that somebody must look.
    pub(crate) fn may_have_order(&self) -> bool {
        self.unknown || !self.promised.is_empty() || !self.told_dead.is_empty()
    }

    /// True when a live order of this key contradicts what its client was told.
    pub(crate) fn forbids_order(&self) -> bool {
        !self.unknown && self.promised.is_empty()
    }

    /// The order to ask for, if an answer named one.
    pub(crate) fn order(&self) -> Option<OrderId> {
        self.promised.iter().chain(&self.named).chain(&self.told_dead).next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_alone_forbids_and_a_doubt_allows() {
        let mut t = Track::default();
        t.learn(&HeardAnswer::none(RequestOutcome::Refused(Reason::SoldOut)));
        assert!(t.forbids_order() && !t.may_have_order());
        t.learn(&HeardAnswer::none(RequestOutcome::NoAnswer));
        t.learn(&HeardAnswer::none(RequestOutcome::Refused(Reason::SoldOut)));
        assert!(!t.forbids_order() && t.may_have_order());
    }

    #[test]
    fn promises_add_up() {
        let id = |n: u8| Some(OrderId([n; 16]));
        let mut t = Track::default();
        for n in [1, 1, 2] {
            t.learn(&HeardAnswer { order: id(n), ..HeardAnswer::none(RequestOutcome::Accepted) });
        }
        assert_eq!(t.promised.len(), 2);
        assert_eq!(t.order(), id(1));
    }
}
