//! Refunds that a database lost with its last commits (PROTOCOL 6.10). Their providers still have
//! them, each under a key that nobody else makes. What a payment got by itself is known by its key;
//! of one that somebody asked for only the money is known, and a person looks.

use mutants::Mutant;

use super::book::{DueWork, Life, TaskDraft, sum};
use super::keys::{is_automatic, is_own_key, lost_refund, provider_key, successor};
use super::names::{PaymentKey, RefundId};
use super::payment::{PaymentState, ProviderEvent};
use super::policy::LifeContext;
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use super::sending::{end_asked, leave_to_a_person};

/// Notes a refund of ours that a provider says moved, under this key and with this amount, and that
/// nobody here remembers; `None` for one of somebody else. What else was sent meanwhile by those
/// who did not know of it is looked through: no provider sends back more than it has.
pub(super) fn found(
    life: &mut Life,
    cx: LifeContext<'_>,
    event: &ProviderEvent,
    given: &str,
    amount: i64,
) -> Option<RefundKey> {
    if mutants::on(Mutant::LostUnknown) {
        return None;
    }
    let payment = event.key();
    // A late payment's refunds may be of the order that it bought.
    let orders = [life.id, event.order, successor(cx.identity, life.id)];
    let order = orders.into_iter().find(|order| is_own_key(cx.identity, *order, given))?;
    let refund = lost_refund(given).filter(|_| amount > 0)?;
    let sort = match is_automatic(cx.identity, order, &payment, given, amount) {
        true => RefundSort::Automatic,
        false => RefundSort::Granted,
    };
    let key = RefundKey { refund, payment };
    life.refunds.insert(key.clone(), Refund { sort, ..Refund::automatic(amount) });
    let back = ours(life, &key.payment).saturating_add(amount);
    was_there(life, &key.payment, back);
    abandon(life, &key, back);
    let eats = life.payments.get(&key.payment).is_some_and(|p| life.left(&key.payment) < p.keep);
    if sort == RefundSort::Granted || eats {
        life.task(TaskDraft::TakenBack(key.payment.clone(), key.refund.clone()));
    }
    Some(key)
}

/// What of a payment we sent back, and what moved, minor units.
fn ours(life: &Life, payment: &PaymentKey) -> i64 {
    life.moved(payment) - life.taken_back(payment)
}

/// What went back was there: news of a capture may be lost as well.
pub(super) fn was_there(life: &mut Life, payment: &PaymentKey, back: i64) {
    if let Some(payment) = life.payments.get_mut(payment) {
        payment.captured = payment.captured.max(back);
        payment.state = PaymentState::Captured;
    }
}

/// The same once more refunds of a payment have moved, of which some were lost.
pub(super) fn moved_too(life: &mut Life, payment: &PaymentKey) {
    if life.of_payment(payment).any(|(key, _)| key.is_found()) {
        let back = ours(life, payment);
        was_there(life, payment, back);
    }
}

/// Of what is under way (INV-16) that which cannot move any more is over: what a payment gets by
/// itself goes under another key, as far as it is left. The rest that is too much a person has.
fn abandon(life: &mut Life, lost: &RefundKey, back: i64) {
    let captured = life.payments.get(&lost.payment).map_or(0, |p| p.captured);
    let waits = |(key, r): &(&RefundKey, &Refund)| *key != lost && !r.state.is_final();
    let others: Vec<(RefundKey, Refund)> =
        life.of_payment(&lost.payment).filter(waits).map(|(k, r)| (k.clone(), r.clone())).collect();
    let (cannot, may): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|(_, r)| back.saturating_add(r.amount) > captured);
    let (gone, asked): (Vec<_>, Vec<_>) =
        cannot.into_iter().partition(|(_, r)| r.sort == RefundSort::Automatic);
    for (key, _) in gone {
        if let Some(refund) = life.refunds.get_mut(&key) {
            refund.state = RefundState::Failed;
        }
        life.end_task(TaskDraft::Refund(key.clone()));
        life.done(DueWork::Refund(key));
    }
    let under_way = asked.into_iter().chain(may).filter(|(_, r)| r.state != RefundState::Manual);
    let under_way: Vec<(RefundKey, Refund)> = under_way.collect();
    let all = sum(under_way.iter().map(|(_, r)| r.amount));
    let mut over = back.saturating_add(all).saturating_sub(captured);
    for (key, refund) in under_way {
        if over > 0 {
            over -= refund.amount;
            leave_to_a_person(life, &key);
            end_asked(life, &key);
        }
    }
}

/// Where a refund of this name stands, and how much of it moved, if its provider knew of it after
/// its database had lost it. What it was of nobody knows.
pub(super) fn found_again(
    life: &Life,
    cx: LifeContext<'_>,
    id: &RefundId,
) -> Option<(RefundState, i64)> {
    let is = |(key, refund): &(&RefundKey, &Refund)| {
        let of = RefundKey { refund: id.clone(), payment: key.payment.clone() };
        let given = provider_key(cx.identity, life.id, &of, refund.amount);
        lost_refund(&given).as_ref() == Some(&key.refund)
    };
    let parts: Vec<&Refund> = life.refunds.iter().filter(is).map(|(_, r)| r).collect();
    let state = parts.iter().map(|r| r.state).min()?;
    Some((state, sum(parts.iter().map(|r| r.amount))))
}
