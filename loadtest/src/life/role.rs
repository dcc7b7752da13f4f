//! What each order of a run is for: a function of the run's seed and the order's number, so that
//! who buys, the provider and the verdict agree without a word.

use std::time::Duration;

use domain::RowStatus;

use crate::provider::deed::{PlannedNews, ProviderDeed, RefundDeed};

/// What one unit costs, minor units.
pub(crate) const PRICE: i64 = 1000;
/// What an order is paid in.
pub(crate) const CURRENCY: &str = "EUR";

/// What becomes of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum LifeRole {
    /// Paid once.
    Paid,
    /// Paid twice.
    Twice,
    /// Paid with more than it costs.
    More,
    /// Paid with less.
    Less,
    /// Paid in another currency.
    Foreign,
    /// Paid after it expired.
    Late,
    /// Cancelled by its buyer, then paid all the same.
    Cancelled,
    /// Never paid.
    Unpaid,
    /// Paid, then all of it is wanted back.
    Whole,
    /// Paid, then half of the money is wanted back.
    Part,
}

impl std::fmt::Display for LifeRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

impl LifeRole {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [LifeRole; 10] = [
        LifeRole::Paid,
        LifeRole::Twice,
        LifeRole::More,
        LifeRole::Less,
        LifeRole::Foreign,
        LifeRole::Late,
        LifeRole::Cancelled,
        LifeRole::Unpaid,
        LifeRole::Whole,
        LifeRole::Part,
    ];

    /// Of an order: 80 % are paid, of which 10 % are refunded whole and 5 % in part; 5 % late, 2 %
    /// twice, 2 % a wrong amount, 1 % another currency, 5 % cancelled, the rest expires.
    pub(crate) fn of(seed: u64, number: u32) -> Self {
        match mix(seed, number, 1) % 1000 {
            0..648 => LifeRole::Paid,
            648..728 => LifeRole::Whole,
            728..768 => LifeRole::Part,
            768..788 => LifeRole::Twice,
            788..798 => LifeRole::More,
            798..808 => LifeRole::Less,
            808..818 => LifeRole::Foreign,
            818..868 => LifeRole::Late,
            868..918 => LifeRole::Cancelled,
            _ => LifeRole::Unpaid,
        }
    }

    /// Where it must end; a late one expires, and its successor is another matter.
    pub(crate) fn ends(self) -> RowStatus {
        match self {
            LifeRole::Paid | LifeRole::Twice | LifeRole::More | LifeRole::Part => RowStatus::Paid,
            LifeRole::Whole => RowStatus::Refunded,
            LifeRole::Cancelled => RowStatus::Cancelled,
            LifeRole::Less | LifeRole::Foreign | LifeRole::Late | LifeRole::Unpaid => {
                RowStatus::Expired
            }
        }
    }

    /// What of an order's money the shop keeps in the end, minor units.
    pub(crate) fn keeps(self) -> i64 {
        match self {
            LifeRole::Paid | LifeRole::Twice | LifeRole::More => PRICE,
            LifeRole::Part => PRICE - PRICE / 2,
            LifeRole::Whole
            | LifeRole::Less
            | LifeRole::Foreign
            | LifeRole::Late
            | LifeRole::Cancelled
            | LifeRole::Unpaid => 0,
        }
    }

    /// True when its buyer opens a session at once.
    pub(crate) fn opens(self) -> bool {
        !matches!(self, LifeRole::Late | LifeRole::Cancelled | LifeRole::Unpaid)
    }

    /// What the provider does with it: news come late, twice, out of order and contradict each
    /// other, and answers are lost, as `number` has it.
    pub(crate) fn deed(self, seed: u64, number: u32) -> ProviderDeed {
        let captured = |currency: &str, minor| PlannedNews {
            after: Duration::from_millis(mix(seed, number, 2) % 400),
            other: None,
            result: "captured",
            currency: currency.to_owned(),
            minor,
            times: 1 + (mix(seed, number, 3).is_multiple_of(10)) as u32,
        };
        let mut news = match self {
            // Nobody tells of it: it is known when the order's time is over and its payment closed.
            LifeRole::Paid if mix(seed, number, 8).is_multiple_of(50) => {
                vec![PlannedNews { times: 0, ..captured(CURRENCY, PRICE) }]
            }
            LifeRole::Paid
            | LifeRole::Whole
            | LifeRole::Part
            | LifeRole::Late
            | LifeRole::Cancelled => vec![captured(CURRENCY, PRICE)],
            LifeRole::Twice => {
                let again = PlannedNews { other: Some("b"), ..captured(CURRENCY, PRICE) };
                vec![captured(CURRENCY, PRICE), again]
            }
            LifeRole::More => vec![captured(CURRENCY, PRICE + 1)],
            LifeRole::Less => vec![captured(CURRENCY, PRICE - 1)],
            LifeRole::Foreign => vec![captured("USD", PRICE)],
            LifeRole::Unpaid => Vec::new(),
        };
        let odd = |result| PlannedNews {
            after: Duration::from_millis(mix(seed, number, 4) % 800),
            result,
            minor: 0,
            times: 1,
            ..captured(CURRENCY, 0)
        };
        // Authorised after it was captured, failed after it was captured: both change nothing.
        match mix(seed, number, 5) % 20 {
            0 => news.push(odd("authorised")),
            1 => news.push(odd("failed")),
            _ => {}
        }
        let refund = match mix(seed, number, 6) % 10 {
            0 => RefundDeed::Lost,
            1 => RefundDeed::Told,
            2 => RefundDeed::Dropped,
            _ => RefundDeed::AtOnce,
        };
        let deaf = if mix(seed, number, 7).is_multiple_of(50) { 2 } else { 0 };
        ProviderDeed { news, refund, deaf }
    }
}

/// A number for each purpose.
pub(crate) fn mix(seed: u64, number: u32, purpose: u64) -> u64 {
    let mut x = seed ^ (u64::from(number) << 20) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        x ^= x >> 31;
        x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^= x >> 29;
    }
    x
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn shares_are_as_they_are_told() {
        let mut counts = BTreeMap::<LifeRole, u32>::new();
        for number in 0..100_000 {
            *counts.entry(LifeRole::of(7, number)).or_default() += 1;
        }
        let percent =
            |roles: &[LifeRole]| roles.iter().map(|r| counts[r]).sum::<u32>().div_ceil(1000);
        let paid =
            [LifeRole::Paid, LifeRole::Whole, LifeRole::Part, LifeRole::Twice, LifeRole::More];
        assert!((78..=81).contains(&percent(&paid)), "{counts:?}");
        assert!((4..=6).contains(&percent(&[LifeRole::Late])), "{counts:?}");
        assert_eq!(counts.len(), LifeRole::ALL.len());
    }

    #[test]
    fn money_of_a_role_is_what_its_deed_captures() {
        for role in LifeRole::ALL {
            for number in 0..200 {
                let deed = role.deed(3, number);
                let euros = deed.news.iter().filter(|n| n.currency == CURRENCY);
                let taken: i64 = euros.map(|n| n.minor).sum();
                assert!(role.keeps() <= taken, "{role:?}");
            }
        }
    }
}
