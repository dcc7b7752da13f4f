//! What must hold of an order's money and goods, as functions: INV-16, INV-17, INV-18.
//!
//! The same functions are called by the tests of every store, by the load test's verdict and by the
//! reconciler, so that "the money adds up" means one thing.

use super::book::{Life, sum};
use super::payment::{Payment, PaymentFate, PaymentState};
use super::refund::{Refund, RefundSort, RefundState};
use crate::invariant::Violation;
use crate::order::RowStatus;

fn bad(id: &'static str, detail: String) -> Violation {
    Violation { id, detail }
}

/// What must hold of it after every commit.
///
/// Of a payment that bought another order than the one it named first, that other order decides.
///
/// INV-16: of each payment no more is on its way back, or back, than was captured. A fate is one
/// that its order bears out.
pub fn at_any_time(life: &Life) -> Vec<Violation> {
    let mut out = Vec::new();
    for (key, payment) in life.payments.iter().filter(|(_, p)| p.home() == life.id) {
        // What the provider took back by itself may meet a refund that is on its way, and one that
        // a person had given up may succeed after another was asked for in its place: a person has
        // what is left of that.
        let own = |(_, r): &(_, &Refund)| {
            let waits = r.state == RefundState::Manual || r.state.is_failed();
            r.sort != RefundSort::Provider && !waits
        };
        let back = sum(life.of_payment(key).filter(own).map(|(_, r)| r.amount));
        if back > payment.captured {
            let captured = payment.captured;
            out.push(bad("INV-16", format!("{key}: {back} of {captured} goes back")));
        }
        if !(0..=payment.captured).contains(&payment.keep) {
            out.push(bad(
                "INV-16",
                format!("{key}: keeps {} of {}", payment.keep, payment.captured),
            ));
        }
    }
    if let Some(order) = &life.order {
        if order.refunded > order.captured {
            let (refunded, captured) = (order.refunded, order.captured);
            out.push(bad("INV-18", format!("{}: {refunded} of {captured} refunded", life.id)));
        }
        let kept = sum(life.paying().map(|(_, p)| p.keep));
        if order.status.is_paid() && kept != order.amount {
            out.push(bad("INV-17", format!("{}: paid with {kept} of {}", life.id, order.amount)));
        }
    }
    out
}

/// What must hold of it besides once nothing is on its way any more (quiet).
///
/// INV-17: each captured payment is part of a paid order, or all of it that is not is back, on its
/// way back, or a person's. INV-18: what an order has is what was captured for it less what was
/// granted and moved.
pub fn when_quiet(life: &Life) -> Vec<Violation> {
    let mut out = at_any_time(life);
    let own = life.payments.iter().filter(|(_, p)| p.home() == life.id);
    for (key, payment) in own.filter(|(_, p)| p.state == PaymentState::Captured) {
        if let Some(loose) = loose(life, key, payment) {
            out.push(bad("INV-17", format!("{key}: {loose} neither kept nor back")));
        }
    }
    let Some(order) = &life.order else { return out };
    let moved = life.repaid();
    if order.status.is_paid() && order.refunded != moved {
        let refunded = order.refunded;
        out.push(bad("INV-18", format!("{}: {refunded} refunded, {moved} moved", life.id)));
    }
    out
}

/// What of a payment's money is nobody's; `None` when there is no such.
fn loose(life: &Life, key: &super::names::PaymentKey, payment: &Payment) -> Option<i64> {
    let waits = life.status().is_none_or(|s| s == RowStatus::Pending);
    match payment.fate {
        // It waits for the rest, or for its order, or a person looks for that.
        None if waits => None,
        None => Some(payment.captured),
        // The reclaim is under way.
        Some(PaymentFate::Late) => None,
        Some(PaymentFate::Order(_) | PaymentFate::Back) => {
            let going = life.of_payment(key).filter(|(_, r)| r.sort != RefundSort::Granted);
            let going = going.filter(|(_, r)| !r.state.is_failed());
            let kept = payment.keep.max(life.granted_of(key));
            let loose = payment.captured - kept - sum(going.map(|(_, r)| r.amount));
            (loose > 0).then_some(loose)
        }
    }
}
