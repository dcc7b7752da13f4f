//! Sessions at providers: where a buyer pays. Each is opened once per order, provider and attempt,
//! whoever asks and however often.

use super::book::{Life, TaskDraft, sum};
use super::names::{PaymentId, PaymentKey, ProviderId};
use super::payment::{PaySession, Payment, PaymentState};
use super::policy::LifeContext;
use super::settle::settle;
use crate::ids::OrderId;
use crate::order::RowStatus;

/// What is to be done about a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionAnswer {
    /// The provider is to be asked for one, under this attempt.
    Ask {
        /// Which try.
        attempt: u32,
        /// What is left to pay, minor units.
        amount: i64,
        /// ISO 4217.
        currency: String,
        /// When the session is to end, UTC ms; `None` for never.
        expires_at: Option<u64>,
    },
    /// There is one.
    Open {
        /// What the provider calls it.
        payment: PaymentId,
        /// How far it got.
        state: PaymentState,
        /// Where the provider sends the buyer; empty for nowhere.
        redirect: String,
    },
    /// The order does not wait for a payment.
    Illegal,
    /// It has no row yet.
    NoRow,
}

/// The key that a provider is given with a session.
pub fn session_key(order: OrderId, attempt: u32) -> String {
    format!("{order}.{attempt}")
}

/// Before a provider is asked: the intent is kept, so that a second call asks under the same key. A
/// new attempt is made only when the one before failed or is closed.
pub fn begin_session(life: &mut Life, cx: LifeContext<'_>, provider: &ProviderId) -> SessionAnswer {
    settle(life, cx);
    let free = life.payments.iter().filter(|(_, p)| p.is_free()).map(|(key, _)| life.net(key));
    let free = sum(free);
    let Some(order) = &life.order else { return SessionAnswer::NoRow };
    let over = order.expires_at.is_some_and(|at| at <= cx.now_ms);
    // One whose time is over waits for its payments to be closed: no new one may begin.
    if order.status != RowStatus::Pending || over {
        return SessionAnswer::Illegal;
    }
    let known = life.sessions.get(provider).cloned();
    if let Some(open) = known.as_ref().and_then(|s| is_open(life, provider, s)) {
        return open;
    }
    let attempt = match &known {
        Some(PaySession { attempt, payment: None, .. }) => *attempt,
        Some(PaySession { attempt, payment: Some(_), .. }) => attempt.saturating_add(1),
        None => 1,
    };
    let answer = SessionAnswer::Ask {
        attempt,
        amount: order.amount.saturating_sub(free).max(0),
        currency: order.currency.clone(),
        expires_at: order.expires_at,
    };
    let session = PaySession { attempt, payment: None, redirect: String::new() };
    life.sessions.insert(provider.clone(), session);
    answer
}

fn is_open(life: &Life, provider: &ProviderId, session: &PaySession) -> Option<SessionAnswer> {
    let id = session.payment.clone()?;
    let key = PaymentKey { provider: provider.clone(), payment: id.clone() };
    let payment = life.payments.get(&key);
    let over = payment.is_some_and(|p| p.closed || p.state == PaymentState::Failed);
    let state = payment.map_or(PaymentState::Opened, |p| p.state);
    let redirect = session.redirect.clone();
    (!over).then_some(SessionAnswer::Open { payment: id, state, redirect })
}

/// The provider has opened one. When the order does not wait for a payment any more, it is closed
/// again; of several answers under one attempt the first is kept, and the provider gives the same.
pub fn session_opened(
    life: &mut Life,
    cx: LifeContext<'_>,
    key: &PaymentKey,
    opened: &PaySession,
) -> SessionAnswer {
    let id = life.id;
    let Some(currency) = life.order.as_ref().map(|o| o.currency.clone()) else {
        return SessionAnswer::NoRow;
    };
    let fresh = || Payment::new(id, &currency);
    let payment = life.payments.entry(key.clone()).or_insert_with(fresh);
    if payment.order != id {
        life.task(TaskDraft::OtherOrder(key.clone(), id));
        return SessionAnswer::Illegal;
    }
    if payment.attempt == 0 {
        payment.attempt = opened.attempt;
    }
    if payment.captured == 0 {
        payment.currency = currency;
    }
    let known = life.sessions.get(&key.provider);
    if known.is_none_or(|s| s.attempt < opened.attempt || s.payment.is_none()) {
        let payment = Some(key.payment.clone());
        life.sessions.insert(key.provider.clone(), PaySession { payment, ..opened.clone() });
    }
    settle(life, cx);
    if life.status() != Some(RowStatus::Pending) {
        return SessionAnswer::Illegal;
    }
    let session = life.sessions.get(&key.provider);
    session.and_then(|s| is_open(life, &key.provider, s)).unwrap_or(SessionAnswer::Illegal)
}
