//! What of a deployment's money is where, and which refund a line of a provider's statement means.

use std::collections::HashMap;

use super::book::Life;
use super::join::foreign_refund;
use super::keys::refund_at_provider;
use super::names::{PaymentKey, RefundId};
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use crate::identity::Identity;

/// Sums in minor units of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MoneyTotals {
    /// All that came in.
    pub captured: i64,
    /// All of it that went back, whoever wanted it.
    pub refunded: i64,
    /// What is to be sent back, or was sent without a definite answer.
    pub under_way: i64,
    /// What waits for a person: refunds to be granted, that do not get through, or that bounced.
    pub manual: i64,
    /// Payments and orders whose money does not add up (INV-16 to INV-18).
    pub broken: u64,
}

impl MoneyTotals {
    /// Counts one payment and its refunds.
    pub fn count(&mut self, life: &Life, key: &PaymentKey) {
        let Some(payment) = life.payments.get(key) else { return };
        let add = |sum: &mut i64, amount: i64| *sum = sum.saturating_add(amount);
        add(&mut self.captured, payment.captured);
        for (_, refund) in life.of_payment(key) {
            match refund.state {
                RefundState::Succeeded => add(&mut self.refunded, refund.amount),
                RefundState::Requested | RefundState::Sending | RefundState::Unknown => {
                    add(&mut self.under_way, refund.amount);
                }
                RefundState::Asked | RefundState::Manual | RefundState::Bounced => {
                    add(&mut self.manual, refund.amount);
                }
                RefundState::Failed => {}
            }
        }
    }

    /// The same of two databases.
    pub fn add(&mut self, other: &Self) {
        self.captured = self.captured.saturating_add(other.captured);
        self.refunded = self.refunded.saturating_add(other.refunded);
        self.under_way = self.under_way.saturating_add(other.under_way);
        self.manual = self.manual.saturating_add(other.manual);
        self.broken = self.broken.saturating_add(other.broken);
    }
}

/// What a provider calls the refunds of one payment.
pub struct RefundNames<'a> {
    life: &'a Life,
    payment: &'a PaymentKey,
    /// By the key that the provider got.
    given: HashMap<String, &'a RefundKey>,
}

impl<'a> RefundNames<'a> {
    /// Of a payment in the books of the order that decides on it.
    pub fn new(life: &'a Life, identity: &Identity, payment: &'a PaymentKey) -> Self {
        let own = life.of_payment(payment).filter(|(_, r)| r.sort != RefundSort::Provider);
        let given = own.map(|(key, r)| (refund_at_provider(identity, life.id, key, r), key));
        let given = given.collect();
        Self { life, payment, given }
    }

    /// The refund that the provider calls `named`: what it was given with it, or its own name for
    /// one that nobody here asked for.
    pub fn find(&self, named: &str) -> Option<&'a Refund> {
        if let Some(key) = self.given.get(named) {
            return self.life.refunds.get(*key);
        }
        let key = RefundKey { refund: foreign_refund(named), payment: self.payment.clone() };
        self.life.refunds.get(&key)
    }
}

/// What a refund is called here that a provider made by itself, under the provider's name for it.
pub fn taken_back_as(named: &str) -> RefundId {
    foreign_refund(named)
}

#[cfg(test)]
mod tests {
    use super::super::keys::provider_key;
    use super::*;
    use crate::ids::CampaignNo;
    use crate::ids::OrderId;
    use crate::life::{Payment, PaymentState};

    fn refund(sort: RefundSort, state: RefundState, amount: i64) -> Refund {
        Refund {
            sort,
            amount,
            lines: Vec::new(),
            asked: amount,
            is_whole: false,
            restocks: false,
            ordinal: None,
            state,
            tries: 0,
            first_sent_ms: 0,
            moved_ms: 0,
        }
    }

    fn life() -> (Life, PaymentKey) {
        let mut life = Life::new(OrderId::compose(CampaignNo(3), 77, 5, 9));
        let key: PaymentKey = "card/p".parse().expect("a key");
        let paid = Payment {
            state: PaymentState::Captured,
            captured: 1000,
            ..Payment::new(life.id, "EUR")
        };
        life.payments.insert(key.clone(), paid);
        (life, key)
    }

    fn part(key: &PaymentKey, name: &str) -> RefundKey {
        RefundKey { refund: name.parse().expect("a name"), payment: key.clone() }
    }

    #[test]
    fn each_refund_is_counted_where_it_stands() {
        let (mut life, key) = life();
        for (n, state) in (0..).zip(RefundState::ALL.iter().copied()) {
            let one = refund(RefundSort::Granted, state, 1 << n);
            life.refunds.insert(part(&key, &format!("r{n}")), one);
        }
        // Another payment's is another payment's.
        let other = "card/q".parse().expect("a key");
        life.refunds.insert(
            part(&other, "x"),
            refund(RefundSort::Granted, RefundState::Succeeded, 1 << 20),
        );
        let mut sums = MoneyTotals::default();
        sums.count(&life, &key);
        // In the order of their numbers: asked, requested, sending, unknown, succeeded, failed,
        // manual, bounced.
        let want = MoneyTotals {
            captured: 1000,
            refunded: 1 << 4,
            under_way: 0b1110,
            manual: 1 | 1 << 6 | 1 << 7,
            broken: 0,
        };
        assert_eq!(sums, want);
        sums.count(&life, &other);
        assert_eq!(sums, want, "nothing is known of that payment");
        let mut twice = sums;
        twice.add(&sums);
        assert_eq!((twice.captured, twice.manual), (2000, 2 * want.manual));
    }

    #[test]
    fn a_refund_is_found_by_what_its_provider_calls_it() {
        let identity = Identity::new(b"0123456789abcdef");
        let (mut life, key) = life();
        let own = part(&key, "r");
        life.refunds.insert(own.clone(), refund(RefundSort::Granted, RefundState::Succeeded, 1));
        let dispute = RefundKey { refund: foreign_refund("dp_1"), payment: key.clone() };
        let taken = refund(RefundSort::Provider, RefundState::Succeeded, 2);
        life.refunds.insert(dispute.clone(), taken);
        let names = RefundNames::new(&life, &identity, &key);
        let found = |named: &str| names.find(named).map(|r| r.amount);
        assert_eq!(found(&provider_key(&identity, life.id, &own, 1)), Some(1));
        assert_eq!(found("dp_1"), Some(2));
        assert_eq!(taken_back_as("dp_1"), dispute.refund);
        for foreign in ["r", dispute.refund.as_str(), "dp_2", ""] {
            assert_eq!(found(foreign), None, "{foreign}");
        }
    }
}
