//! What work and tasks are called where they are stored: a number for the kind, and a text that is
//! the same however often the same one is made. No part of it has a space.

use super::book::{DueWork, TaskDraft};
use super::names::NameError;
use super::refund::RefundKey;
use crate::ids::OrderId;

fn part(key: &RefundKey) -> String {
    format!("{} {}", key.refund, key.payment)
}

impl std::str::FromStr for RefundKey {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        let (refund, payment) = s.split_once(' ').unwrap_or((s, ""));
        Ok(Self { refund: refund.parse()?, payment: payment.parse()? })
    }
}

impl DueWork {
    /// The number of its kind.
    pub fn kind(&self) -> i8 {
        match self {
            DueWork::Match(_) => 1,
            DueWork::Refund(_) => 2,
            DueWork::Reclaim(_) => 3,
            DueWork::Close(_) => 4,
        }
    }

    /// What it is about. A payment is one of its database, a refund one of its order.
    pub fn subject(&self, order: OrderId) -> String {
        match self {
            DueWork::Match(payment) | DueWork::Reclaim(payment) | DueWork::Close(payment) => {
                payment.to_string()
            }
            DueWork::Refund(key) => format!("{order} {}", part(key)),
        }
    }

    /// The inverse; `None` for what is none.
    pub fn stored(kind: i8, subject: &str) -> Option<DueWork> {
        match kind {
            1 => subject.parse().ok().map(DueWork::Match),
            2 => subject.split_once(' ')?.1.parse().ok().map(DueWork::Refund),
            3 => subject.parse().ok().map(DueWork::Reclaim),
            4 => subject.parse().ok().map(DueWork::Close),
            _ => None,
        }
    }
}

/// What a task's kind is called in the API, by its number.
pub const TASK_KINDS: [(i8, &str); 11] = [
    (1, "orphan"),
    (2, "other_order"),
    (3, "other_currency"),
    (4, "refund_asked"),
    (5, "refund"),
    (6, "bounced"),
    (7, "taken_back"),
    (8, "parcel"),
    (9, "restock"),
    (10, "giveback"),
    (11, "unreadable"),
];

impl TaskDraft {
    /// Why a person is needed.
    pub fn why(&self) -> &'static str {
        match self {
            TaskDraft::Orphan(_) => "a payment whose order nobody knows",
            TaskDraft::OtherOrder(..) => "a payment that was first told of another order",
            TaskDraft::OtherCurrency(_) => "a payment that was first told in another currency",
            TaskDraft::Asked(_) => "a buyer asks for a refund",
            TaskDraft::Refund(_) => "a refund does not get through",
            TaskDraft::Bounced(_) => "a refund that succeeded failed, or one given up succeeded",
            TaskDraft::TakenBack(..) => "the provider took money back that nobody here sent",
            TaskDraft::Parcel(_) => "news of goods that the order's state does not allow",
            TaskDraft::Restock(_) => "goods of a refund: may they be sold again?",
            TaskDraft::Giveback(..) => "a ledger refused units that were to go back to it",
            TaskDraft::Unreadable(..) => "authentic callbacks that nobody can read",
        }
    }

    /// The number of its kind.
    pub fn kind(&self) -> i8 {
        match self {
            TaskDraft::Orphan(_) => 1,
            TaskDraft::OtherOrder(..) => 2,
            TaskDraft::OtherCurrency(_) => 3,
            TaskDraft::Asked(_) => 4,
            TaskDraft::Refund(_) => 5,
            TaskDraft::Bounced(_) => 6,
            TaskDraft::TakenBack(..) => 7,
            TaskDraft::Parcel(_) => 8,
            TaskDraft::Restock(_) => 9,
            TaskDraft::Giveback(..) => 10,
            TaskDraft::Unreadable(..) => 11,
        }
    }

    /// The inverse of kind and subject; `None` for what is none.
    pub fn stored(kind: i8, subject: &str) -> Option<TaskDraft> {
        let two = || subject.split_once(' ');
        Some(match kind {
            1 => TaskDraft::Orphan(subject.parse().ok()?),
            2 => TaskDraft::OtherOrder(two()?.0.parse().ok()?, two()?.1.parse().ok()?),
            3 => TaskDraft::OtherCurrency(subject.parse().ok()?),
            4 => TaskDraft::Asked(two()?.1.parse().ok()?),
            5 => TaskDraft::Refund(two()?.1.parse().ok()?),
            6 => TaskDraft::Bounced(two()?.1.parse().ok()?),
            7 => TaskDraft::TakenBack(two()?.0.parse().ok()?, two()?.1.parse().ok()?),
            8 => TaskDraft::Parcel(two()?.1.to_owned()),
            9 => TaskDraft::Restock(two()?.1.parse().ok()?),
            10 => {
                let (cell, class) = two()?.1.split_once(' ')?;
                TaskDraft::Giveback(cell.parse().ok()?, class.parse().ok()?)
            }
            11 => TaskDraft::Unreadable(two()?.0.to_owned(), two()?.1.to_owned()),
            _ => return None,
        })
    }

    /// What it is about.
    pub fn subject(&self, order: OrderId) -> String {
        match self {
            TaskDraft::Orphan(payment) | TaskDraft::OtherCurrency(payment) => payment.to_string(),
            TaskDraft::OtherOrder(payment, other) => format!("{payment} {other}"),
            TaskDraft::Asked(refund) | TaskDraft::Restock(refund) => format!("{order} {refund}"),
            TaskDraft::Refund(key) | TaskDraft::Bounced(key) => format!("{order} {}", part(key)),
            TaskDraft::TakenBack(payment, refund) => format!("{payment} {refund}"),
            TaskDraft::Parcel(news) => format!("{order} {news}"),
            TaskDraft::Giveback(cell, class) => format!("{order} {cell} {class}"),
            TaskDraft::Unreadable(from, why) => {
                let why: String = why.chars().take(60).collect();
                format!("{from} {why}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_read_back_and_fits_its_column() {
        let order: OrderId = "00000104-d000-8000-8000-00160000000a".parse().expect("an id");
        let payment = format!("{}/{}", "p".repeat(32), "x".repeat(128));
        let key = format!("{} {payment}", "r".repeat(64));
        let (payment, key) = (payment.parse().expect("a key"), key.parse().expect("a part"));
        let all = [
            DueWork::Match(payment),
            DueWork::Refund(key),
            DueWork::Reclaim("card/a/b".parse().expect("a key")),
            DueWork::Close("card/a".parse().expect("a key")),
        ];
        for (n, work) in all.into_iter().enumerate() {
            let (kind, subject) = (work.kind(), work.subject(order));
            assert_eq!(usize::from(kind as u8), n + 1);
            assert!(subject.len() <= 300, "{}", subject.len());
            assert_eq!(DueWork::stored(kind, &subject), Some(work));
        }
        for (kind, subject) in
            [(0, "card/a"), (5, "card/a"), (1, "card"), (2, "card/a"), (2, "a b")]
        {
            assert_eq!(DueWork::stored(kind, subject), None, "{kind} {subject}");
        }
    }
}
