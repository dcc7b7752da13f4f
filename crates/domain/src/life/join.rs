//! News of payments, joined with what is known.

use mutants::Mutant;

use super::book::{DueWork, Life, TaskDraft};
use super::keys::refund_at_provider;
use super::lost;
use super::names::{PaymentKey, RefundId};
use super::payment::{NO_CURRENCY, Payment, PaymentFate, PaymentNews, PaymentState, ProviderEvent};
use super::policy::LifeContext;
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use super::sending::{bounced, succeeded};
use super::settle::settle;
use crate::identity::sha256_hex;

/// Takes news in: the order that the payment pays, or names first, with everything that follows.
/// A repetition changes nothing, and news that contradict what was told before change no more than
/// the lattice allows.
pub fn join(life: &mut Life, cx: LifeContext<'_>, event: &ProviderEvent) {
    let key = event.key();
    take(life, event, &key);
    match &event.news {
        PaymentNews::RefundSucceeded { key: given, amount } => {
            let known = known_refund(life, cx, &key, given);
            match known.or_else(|| lost::found(life, cx, event, given, *amount)) {
                Some(known) => {
                    succeeded(life, cx, &known);
                    lost::moved_too(life, &known.payment);
                }
                None => taken_back(life, &key, (foreign_refund(given), *amount), cx.now_ms),
            }
        }
        PaymentNews::RefundFailed { key: given } => {
            if let Some(known) = known_refund(life, cx, &key, given) {
                bounced(life, cx, &known);
            }
        }
        PaymentNews::Opened
        | PaymentNews::Authorised
        | PaymentNews::Captured(_)
        | PaymentNews::Failed
        | PaymentNews::Closed => {}
    }
    if let Some(payment) = life.payments.get_mut(&key)
        && payment.captured > 0
        && payment.captured_ms == 0
    {
        payment.captured_ms = cx.now_ms;
    }
    settle(life, cx);
    let waits = life.order.is_none() && life.payments.get(&key).is_some_and(Payment::is_free);
    if waits {
        life.due(DueWork::Match(key), cx.now_ms);
    }
}

/// What the news say of the payment itself.
fn take(life: &mut Life, event: &ProviderEvent, key: &PaymentKey) {
    let fresh = || Payment::new(event.order, &event.currency);
    let payment = life.payments.entry(key.clone()).or_insert_with(fresh);
    let mut tasks = Vec::new();
    // A refund may be told with the order that it is of, which a late payment bought.
    let is_refund = matches!(
        event.news,
        PaymentNews::RefundSucceeded { .. } | PaymentNews::RefundFailed { .. }
    );
    if payment.order != event.order && !is_refund {
        tasks.push(TaskDraft::OtherOrder(key.clone(), event.order));
    }
    let (state, captured) = match event.news {
        PaymentNews::Opened => (PaymentState::Opened, 0),
        PaymentNews::Failed => (PaymentState::Failed, 0),
        PaymentNews::Authorised => (PaymentState::Authorised, 0),
        PaymentNews::Captured(amount) if amount > 0 => (PaymentState::Captured, amount),
        PaymentNews::Captured(_)
        | PaymentNews::Closed
        | PaymentNews::RefundSucceeded { .. }
        | PaymentNews::RefundFailed { .. } => (payment.state, 0),
    };
    let is_told = event.currency != NO_CURRENCY;
    if captured > 0 && payment.captured > 0 && payment.currency != event.currency {
        tasks.push(TaskDraft::OtherCurrency(key.clone()));
    } else {
        if payment.captured == 0 && (captured > 0 || is_told) {
            payment.currency.clone_from(&event.currency);
        }
        grow(payment, state, captured);
    }
    payment.closed |= event.is_final || event.news == PaymentNews::Closed;
    if payment.closed {
        life.done(DueWork::Close(key.clone()));
    }
    tasks.into_iter().for_each(|t| life.task(t));
}

/// A lattice: of all that was told the most counts, in whatever order it came.
fn grow(payment: &mut Payment, state: PaymentState, captured: i64) {
    if mutants::on(Mutant::LastWins) {
        return (payment.state, payment.captured) = (state, captured);
    }
    payment.captured = payment.captured.max(captured);
    payment.state = payment.state.max(state);
}

/// The refund that a provider was given under this key.
fn known_refund(
    life: &Life,
    cx: LifeContext<'_>,
    payment: &PaymentKey,
    given: &str,
) -> Option<RefundKey> {
    let is = |(key, refund): &(&RefundKey, &Refund)| {
        refund_at_provider(cx.identity, life.id, key, refund) == given
    };
    life.of_payment(payment).find(is).map(|(key, _)| key.clone())
}

/// What a refund is called here that a provider made by itself: nothing that a client may call one.
pub(super) fn foreign_refund(given: &str) -> RefundId {
    let name = format!("provider-{}", &sha256_hex(given.as_bytes())[..32]);
    name.parse().expect("it is short and visible")
}

/// Money that went back and that nobody here asked for: noted, and a person looks.
fn taken_back(life: &mut Life, payment: &PaymentKey, what: (RefundId, i64), now_ms: u64) {
    let (refund, amount) = what;
    let key = RefundKey { refund: refund.clone(), payment: payment.clone() };
    if life.refunds.contains_key(&key) || amount <= 0 {
        return;
    }
    let taken = Refund {
        sort: RefundSort::Provider,
        amount,
        lines: Vec::new(),
        asked: amount,
        is_whole: false,
        restocks: false,
        ordinal: None,
        state: RefundState::Succeeded,
        tries: 0,
        first_sent_ms: 0,
        moved_ms: now_ms,
    };
    life.refunds.insert(key, taken);
    let taken = life.taken_back(payment);
    lost::was_there(life, payment, taken);
    shrink(life, payment);
    life.task(TaskDraft::TakenBack(payment.clone(), refund));
}

/// Of money that goes back by itself and is not sent yet, no more goes than is there.
fn shrink(life: &mut Life, payment: &PaymentKey) {
    let captured = life.payments.get(payment).map_or(0, |p| p.captured);
    let mut over = life.going_back(payment).saturating_sub(captured);
    let waits = |r: &Refund| {
        r.sort == RefundSort::Automatic && r.state == RefundState::Requested && r.tries == 0
    };
    let mut gone = Vec::new();
    for (key, refund) in life.refunds.iter_mut().filter(|(k, r)| k.payment == *payment && waits(r))
    {
        let less = over.min(refund.amount).max(0);
        over -= less;
        refund.amount -= less;
        if refund.amount == 0 {
            refund.state = RefundState::Failed;
            gone.push(key.clone());
        }
    }
    gone.into_iter().for_each(|key| life.done(DueWork::Refund(key)));
}

/// Whether a row of the order that a payment names may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchState {
    /// It may: looked for again after so many ms.
    Waits {
        /// How many.
        again_ms: u64,
    },
    /// The log is finished past the news, and the order is not parked.
    Over {
        /// The news carried what only an order of this product has.
        is_ours: bool,
    },
}

/// A payment whose order had no row looks again. When there will be none, the money goes back if it
/// is known to be ours; other systems may use the same account at the provider.
pub fn match_order(life: &mut Life, cx: LifeContext<'_>, key: &PaymentKey, state: MatchState) {
    let Some(payment) = life.payments.get_mut(key) else {
        return life.done(DueWork::Match(key.clone()));
    };
    if life.order.is_some() || payment.fate.is_some() {
        life.done(DueWork::Match(key.clone()));
        return settle(life, cx);
    }
    let is_ours = match state {
        MatchState::Over { is_ours } => is_ours,
        MatchState::Waits { again_ms } => {
            return life.later(DueWork::Match(key.clone()), cx.now_ms.saturating_add(again_ms));
        }
    };
    if is_ours || payment.attempt > 0 {
        payment.fate = Some(PaymentFate::Back);
        life.refund_rest(cx, key);
    } else {
        life.task(TaskDraft::Orphan(key.clone()));
    }
    life.done(DueWork::Match(key.clone()));
}
