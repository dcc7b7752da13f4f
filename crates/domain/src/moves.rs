//! The moves of an order: from, to, why, by whom, what becomes of its goods, and which fact others
//! read of it (INV-9). What an order may do is read from [`MOVES`] and nowhere else.

use crate::order::RowStatus::{
    self, Cancelled, Completed, Expired, Paid, Pending, Refunded, Refunding, Rejected, Shipped,
};

/// Why a version of an order came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Its payments cover what it costs.
    Captured,
    /// A late payment of an expired order bought it again.
    LatePayment,
    /// It was not paid in time.
    NotPaid,
    /// Its buyer, or an operator, did not want it any more.
    Cancelled,
    /// A database lost commits, and its units were sold again.
    LostCommits,
    /// It left the warehouse.
    Shipped,
    /// It arrived.
    Delivered,
    /// A refund was asked for.
    RefundAsked,
    /// Money of a refund moved.
    RefundSucceeded,
    /// The last refund under way ended, and not all of the money moved.
    RefundEnded,
    /// Its late payment is to buy a successor.
    Superseding,
    /// Its successor is paid.
    Superseded,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 12] = [
        Cause::Captured,
        Cause::LatePayment,
        Cause::NotPaid,
        Cause::Cancelled,
        Cause::LostCommits,
        Cause::Shipped,
        Cause::Delivered,
        Cause::RefundAsked,
        Cause::RefundSucceeded,
        Cause::RefundEnded,
        Cause::Superseding,
        Cause::Superseded,
    ];

    /// The name in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Captured => "captured",
            Cause::LatePayment => "late_payment",
            Cause::NotPaid => "not_paid",
            Cause::Cancelled => "cancelled",
            Cause::LostCommits => "lost_commits",
            Cause::Shipped => "shipped",
            Cause::Delivered => "delivered",
            Cause::RefundAsked => "refund_asked",
            Cause::RefundSucceeded => "refund_succeeded",
            Cause::RefundEnded => "refund_ended",
            Cause::Superseding => "superseding",
            Cause::Superseded => "superseded",
        }
    }

    /// The inverse of [`Cause::as_str`].
    pub fn parse(s: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|c| c.as_str() == s)
    }
}

/// Who may make a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mover {
    /// The buyer, at the gate.
    Buyer,
    /// A payment provider, by a callback or an answer.
    Provider,
    /// The service that moves orders by the clock.
    Clerk,
    /// A person, at the desk.
    Operator,
    /// The warehouse, by a callback.
    Fulfilment,
    /// The writer, in a rewind after a database lost commits.
    Writer,
}

/// What becomes of the claims of an order that moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Goods {
    /// They stay.
    Stay,
    /// All are released: the order is dead (INV-6).
    Release,
    /// Those that the refund names come back as a return (INV-15), if the offer says so.
    Return,
}

/// One move; `from == to` is a version without a change of status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// The status before.
    pub from: RowStatus,
    /// The status after.
    pub to: RowStatus,
    /// Why.
    pub cause: Cause,
    /// Who may.
    pub by: &'static [Mover],
    /// What becomes of its goods.
    pub goods: Goods,
    /// The fact that others read.
    pub fact: &'static str,
}

const MONEY: &[Mover] =
    &[Mover::Provider, Mover::Clerk, Mover::Buyer, Mover::Operator, Mover::Writer];
const ASKERS: &[Mover] = &[Mover::Buyer, Mover::Operator];
const CLERK: &[Mover] = &[Mover::Clerk];
const GOODS: &[Mover] = &[Mover::Operator, Mover::Fulfilment];

const fn moved(
    from: RowStatus,
    to: RowStatus,
    cause: Cause,
    by: &'static [Mover],
    fact: &'static str,
) -> Move {
    Move { from, to, cause, by, goods: Goods::Stay, fact }
}

const fn dies(to: RowStatus, cause: Cause, by: &'static [Mover], fact: &'static str) -> Move {
    Move { from: Pending, to, cause, by, goods: Goods::Release, fact }
}

/// Money of a refund moved, and all of its goods with the last part of it.
const fn repaid(from: RowStatus, to: RowStatus, fact: &'static str) -> Move {
    Move { from, to, cause: Cause::RefundSucceeded, by: MONEY, goods: Goods::Return, fact }
}

const PART: &str = "refund.succeeded";
const ENDED: &str = "order.refund_failed";

/// All moves. Who settles an order, for whatever reason, may find it paid.
pub const MOVES: [Move; 27] = [
    moved(Pending, Paid, Cause::Captured, MONEY, "order.paid"),
    moved(Pending, Paid, Cause::LatePayment, CLERK, "order.paid"),
    dies(Expired, Cause::NotPaid, CLERK, "order.expired"),
    dies(Cancelled, Cause::Cancelled, ASKERS, "order.cancelled"),
    dies(Rejected, Cause::LostCommits, &[Mover::Writer], "order.rejected"),
    moved(Paid, Shipped, Cause::Shipped, GOODS, "order.shipped"),
    moved(Shipped, Completed, Cause::Delivered, GOODS, "order.completed"),
    moved(Paid, Refunding, Cause::RefundAsked, ASKERS, "order.refunding"),
    moved(Shipped, Refunding, Cause::RefundAsked, ASKERS, "order.refunding"),
    moved(Completed, Refunding, Cause::RefundAsked, ASKERS, "order.refunding"),
    repaid(Refunding, Refunded, "order.refunded"),
    moved(Refunding, Paid, Cause::RefundEnded, MONEY, ENDED),
    moved(Refunding, Shipped, Cause::RefundEnded, MONEY, ENDED),
    moved(Refunding, Completed, Cause::RefundEnded, MONEY, ENDED),
    moved(Paid, Paid, Cause::RefundAsked, ASKERS, "refund.requested"),
    moved(Paid, Paid, Cause::LostCommits, &[Mover::Writer], "refund.requested"),
    moved(Paid, Refunding, Cause::LostCommits, &[Mover::Writer], "order.refunding"),
    moved(Refunding, Refunded, Cause::LostCommits, &[Mover::Writer], "order.refunded"),
    moved(Shipped, Shipped, Cause::RefundAsked, ASKERS, "refund.requested"),
    moved(Completed, Completed, Cause::RefundAsked, ASKERS, "refund.requested"),
    repaid(Paid, Paid, PART),
    repaid(Shipped, Shipped, PART),
    repaid(Completed, Completed, PART),
    repaid(Refunding, Refunding, PART),
    // A person had found that this money would not move, and refunded the rest.
    repaid(Refunded, Refunded, PART),
    moved(Expired, Expired, Cause::Superseding, MONEY, "payment.late"),
    moved(Expired, Expired, Cause::Superseded, CLERK, "order.superseded"),
];

/// The move of this cause between these, if there is one.
pub fn find(from: RowStatus, to: RowStatus, cause: Cause) -> Option<&'static Move> {
    MOVES.iter().find(|m| (m.from, m.to, m.cause) == (from, to, cause))
}

/// INV-9: the statuses that an order may have after this one, ascending.
pub fn after(from: RowStatus) -> Vec<RowStatus> {
    let mut out: Vec<RowStatus> =
        MOVES.iter().filter(|m| m.from == from && m.to != from).map(|m| m.to).collect();
    out.sort_unstable();
    out.dedup();
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_move_is_there_once_and_names_its_fact() {
        let keys: BTreeSet<_> = MOVES.iter().map(|m| (m.from, m.to, m.cause)).collect();
        assert_eq!(keys.len(), MOVES.len());
        for m in &MOVES {
            assert_eq!(find(m.from, m.to, m.cause), Some(m));
            assert!(!m.by.is_empty(), "{m:?}");
            let topic = m.fact.split_once('.').map(|(of, _)| of);
            assert!(["order", "refund", "payment"].map(Some).contains(&topic), "{m:?}");
            // A fact of an order names the status that it came to, but for what changes none.
            let told = m.fact.strip_prefix("order.").filter(|_| m.from != m.to);
            assert!(told.is_none_or(|s| s == m.to.as_str() || s == "refund_failed"), "{m:?}");
        }
        let used: BTreeSet<Cause> = MOVES.iter().map(|m| m.cause).collect();
        assert_eq!(used.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        assert_eq!(Cause::parse("Captured"), None);
    }

    #[test]
    fn goods_are_released_by_death_and_returned_by_refunds_alone() {
        for m in &MOVES {
            let dies = m.from.is_live() && !m.to.is_live();
            assert_eq!(m.goods == Goods::Release, dies, "{m:?}");
            assert_eq!(m.goods == Goods::Return, m.cause == Cause::RefundSucceeded, "{m:?}");
        }
    }
}
