//! What an order comes to, from what is known of it and its payments.

use mutants::Mutant;

use super::book::{DueWork, Life, OrderState, sum};
use super::keys::successor;
use super::names::PaymentKey;
use super::payment::{Payment, PaymentFate, PaymentState};
use super::policy::{LatePolicy, LifeContext};
use crate::moves::Cause;
use crate::order::RowStatus;

/// Ends every transaction that touches an order or its payments: a function of the joined state
/// alone, never of the news. A second call changes nothing. Without a row nothing is decided, but
/// money that is on its way back goes.
///
/// INV-16, INV-17: each captured payment is kept by one order, or goes back.
pub fn settle(life: &mut Life, cx: LifeContext<'_>) {
    if let Some(status) = life.status() {
        refuse_other_currencies(life);
        if may_be_paid(status) {
            pay(life, cx);
        }
        match status {
            RowStatus::Pending => {}
            RowStatus::Expired => late(life, cx),
            RowStatus::Paid
            | RowStatus::Shipped
            | RowStatus::Completed
            | RowStatus::Refunding
            | RowStatus::Refunded
            | RowStatus::Cancelled
            | RowStatus::Rejected => all_back(life),
        }
    }
    let own = Some(PaymentFate::Order(life.id));
    let over = |(_, p): &(&PaymentKey, &Payment)| {
        p.state == PaymentState::Captured && (p.fate == Some(PaymentFate::Back) || p.fate == own)
    };
    let over: Vec<PaymentKey> =
        life.payments.iter().filter(over).map(|(key, _)| key.clone()).collect();
    for key in over {
        life.refund_rest(cx, &key);
    }
    close_rest(life, cx);
}

/// A dead order never comes back (INV-9).
fn may_be_paid(status: RowStatus) -> bool {
    if mutants::on(Mutant::PayNoCas) {
        return status == RowStatus::Pending || !status.is_live();
    }
    status == RowStatus::Pending
}

/// Payments whose money nobody has decided on, in their order.
fn free(life: &Life) -> Vec<PaymentKey> {
    life.payments.iter().filter(|(_, p)| p.is_free()).map(|(key, _)| key.clone()).collect()
}

fn decide(life: &mut Life, key: &PaymentKey, fate: PaymentFate, keep: i64) {
    if let Some(payment) = life.payments.get_mut(key) {
        payment.fate = Some(fate);
        payment.keep = keep;
    }
}

fn all_back(life: &mut Life) {
    if mutants::on(Mutant::DeathKeeps) {
        return;
    }
    for key in free(life) {
        decide(life, &key, PaymentFate::Back, 0);
    }
}

/// Money of another currency pays nothing.
fn refuse_other_currencies(life: &mut Life) {
    let Some(currency) = life.order.as_ref().map(|o| o.currency.clone()) else { return };
    for payment in life.payments.values_mut().filter(|p| p.is_free() && p.currency != currency) {
        payment.fate = Some(PaymentFate::Back);
    }
}

/// A pending order is paid as soon as its payments cover it; what is over goes back.
fn pay(life: &mut Life, cx: LifeContext<'_>) {
    let keys = free(life);
    let amounts: Vec<i64> = keys.iter().map(|key| life.net(key)).collect();
    let all = sum(amounts.iter().copied());
    let id = life.id;
    let Some(order) = life.order.as_mut().filter(|o| all >= o.amount) else { return };
    order.captured = order.amount;
    let mut left = order.amount;
    for (key, amount) in keys.iter().zip(amounts) {
        let keep = left.min(amount);
        left -= keep;
        let fate = if keep > 0 { PaymentFate::Order(id) } else { PaymentFate::Back };
        decide(life, key, fate, keep);
    }
    // Only what a database has lost and a provider still knows (PROTOCOL 6.10).
    let repaid = life.repaid();
    if let Some(order) = &mut life.order {
        order.refunded = repaid;
    }
    life.change(cx, RowStatus::Paid, Cause::Captured);
}

/// Of all payments that come after an order expired, one at most buys it again.
fn late(life: &mut Life, cx: LifeContext<'_>) {
    let reclaims = life.policy(cx.policies).late == LatePolicy::Reclaim;
    for key in free(life) {
        let net = life.left(&key).max(0);
        let next = successor(cx.identity, life.id);
        let buys = |o: &&mut OrderState| reclaims && o.superseded_by.is_none() && net >= o.amount;
        let Some(order) = life.order.as_mut().filter(buys) else {
            decide(life, &key, PaymentFate::Back, 0);
            continue;
        };
        order.superseded_by = Some(next);
        decide(life, &key, PaymentFate::Late, net);
        life.change(cx, RowStatus::Expired, Cause::Superseding);
        life.due(DueWork::Reclaim(key), cx.now_ms);
    }
}

/// Once an order is decided, nothing more may be captured for it: each payment that may still grow
/// is closed, until the provider's answer is definite. So is one whose money goes back, whatever
/// its order is: what it captures later might never be told, and an order may be pending for ever.
fn close_rest(life: &mut Life, cx: LifeContext<'_>) {
    if mutants::on(Mutant::NoCloseAfter) {
        return;
    }
    let is_decided = life.status().is_some_and(|s| s != RowStatus::Pending);
    let id = life.id;
    let open = |(_, p): &(&PaymentKey, &Payment)| {
        let ends = is_decided || p.fate == Some(PaymentFate::Back);
        p.order == id && ends && p.may_be_closed()
    };
    let open: Vec<PaymentKey> =
        life.payments.iter().filter(open).map(|(key, _)| key.clone()).collect();
    for key in open {
        life.due(DueWork::Close(key), cx.now_ms);
    }
}
