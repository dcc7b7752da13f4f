//! A late payment buys an expired order again: the end of that, in one of two ways.
//!
//! Both are transactions over the expired order and its successor. Whoever comes second finds the
//! payment's fate decided and changes nothing.

use mutants::Mutant;

use super::book::{DueWork, Life};
use super::names::PaymentKey;
use super::payment::PaymentFate;
use super::policy::LifeContext;
use super::refund::RefundSort;
use super::settle::settle;
use crate::moves::Cause;
use crate::order::RowStatus;

fn is_late(old: &Life, key: &PaymentKey) -> bool {
    if mutants::on(Mutant::TwoEnds) {
        return old.payments.contains_key(key);
    }
    old.payments.get(key).is_some_and(|p| p.fate == Some(PaymentFate::Late))
}

/// The successor has a row: a pending one is paid with the late payment, for any other the money
/// goes back. Without a row nothing is decided.
pub fn attach(old: &mut Life, successor: &mut Life, cx: LifeContext<'_>, key: &PaymentKey) {
    if !is_late(old, key) {
        return old.done(DueWork::Reclaim(key.clone()));
    }
    let Some(status) = successor.status() else { return };
    // The provider may have taken some of it back meanwhile.
    let covers = successor.order.as_ref().is_some_and(|o| old.net(key) >= o.amount);
    if status != RowStatus::Pending || !covers {
        return forgo(old, cx, key);
    }
    old.done(DueWork::Reclaim(key.clone()));
    let Some(payment) = old.payments.get_mut(key) else { return };
    let Some(order) = &mut successor.order else { return };
    payment.fate = Some(PaymentFate::Order(successor.id));
    payment.keep = order.amount.min(payment.captured);
    order.captured = order.amount;
    successor.payments.insert(key.clone(), payment.clone());
    // What was taken back is known wherever the payment is settled from here on.
    let taken = old.of_payment(key).filter(|(_, r)| r.sort == RefundSort::Provider);
    successor.refunds.extend(taken.map(|(key, r)| (key.clone(), r.clone())));
    successor.change(cx, RowStatus::Paid, Cause::LatePayment);
    settle(successor, cx);
    old.change(cx, RowStatus::Expired, Cause::Superseded);
    settle(old, cx);
}

/// There will be no successor: its time is over, or there were no units. The money goes back.
pub fn forgo(old: &mut Life, cx: LifeContext<'_>, key: &PaymentKey) {
    let late = is_late(old, key);
    old.done(DueWork::Reclaim(key.clone()));
    if let Some(payment) = old.payments.get_mut(key).filter(|_| late) {
        payment.fate = Some(PaymentFate::Back);
        payment.keep = 0;
        settle(old, cx);
    }
}
