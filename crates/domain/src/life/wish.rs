//! All that can be asked of lives, as values: what a port carries, and what any store calls under
//! its locks.

use std::collections::BTreeMap;

use super::book::{DueWork, Life, TaskDraft};
use super::death::{Cancelled, cancel, close_unknown, expire, reject};
use super::join::{MatchState, join, match_order};
use super::names::{PaymentKey, ProviderId, RefundId};
use super::parcel::{Parcel, parcel};
use super::payment::{PaySession, PaymentFate, ProviderEvent};
use super::policy::{Actor, LifeContext};
use super::reclaim::{attach, forgo};
use super::refund::RefundKey;
use super::refunding::{AskedRefund, RefundAsk, ask_refund, grant};
use super::sending::{RefundAnswer, answer_refund, give_up, retry_refund, send_refund};
use super::session::{SessionAnswer, begin_session, session_opened};
use super::settle::settle;
use crate::ids::OrderId;

/// One thing that is asked of an order's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeWish {
    /// News of a payment, from a callback or an answer.
    Join(ProviderEvent),
    /// A payment looks for its order again.
    Match {
        /// The order that it names.
        order: OrderId,
        /// The payment.
        payment: PaymentKey,
        /// Whether a row may still come.
        state: MatchState,
    },
    /// What is known decides, once more.
    Settle(OrderId),
    /// Its time is over.
    Expire(OrderId),
    /// A provider does not say whether a payment is closed: asked again after so many ms, if it can
    /// be.
    CloseUnknown(OrderId, PaymentKey, Option<u64>),
    /// A buyer wants to pay at this provider.
    BeginSession(OrderId, ProviderId),
    /// The provider has opened a session.
    SessionOpened(OrderId, PaymentKey, PaySession),
    /// It is not wanted any more; the refund's name is for one that is paid.
    Cancel(OrderId, RefundId),
    /// A database lost commits, and its units were sold again.
    Reject(OrderId),
    /// Money, and goods, are wanted back.
    AskRefund(OrderId, RefundAsk),
    /// A person grants a refund.
    Grant(OrderId, RefundId),
    /// A person gives a part of a refund up.
    GiveUp(OrderId, RefundKey),
    /// A person sends a part of a refund again.
    RetryRefund(OrderId, RefundKey),
    /// A part of a refund is about to be sent, for at most so many times.
    SendRefund(OrderId, RefundKey, u32),
    /// What became of it.
    AnswerRefund(OrderId, RefundKey, RefundAnswer),
    /// The successor of an expired order is looked for, for its late payment.
    Attach {
        /// The expired one.
        old: OrderId,
        /// Its successor.
        successor: OrderId,
        /// The late payment.
        payment: PaymentKey,
    },
    /// There will be no successor.
    Forgo(OrderId, PaymentKey),
    /// Work that waits for something else is due again after so many ms.
    Later {
        /// Whose.
        order: OrderId,
        /// What.
        work: DueWork,
        /// How many.
        again_ms: u64,
    },
    /// News of its goods.
    Parcel(OrderId, Parcel),
    /// Who told something that nobody can read, and what is wrong with it.
    Unreadable(String, String),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LifeAnswer {
    /// It is as it was asked for, now or by an earlier call.
    Done,
    /// There was nothing of that kind to do.
    Nothing,
    /// Of a cancellation.
    Cancelled(Cancelled),
    /// Of a refund that was asked for.
    Asked(AskedRefund),
    /// Of a session.
    Session(SessionAnswer),
}

impl LifeAnswer {
    /// Of a cancellation.
    pub fn cancelled(self) -> Option<Cancelled> {
        if let LifeAnswer::Cancelled(told) = self { Some(told) } else { None }
    }

    /// Of a refund that was asked for.
    pub fn asked(self) -> Option<AskedRefund> {
        if let LifeAnswer::Asked(told) = self { Some(told) } else { None }
    }

    /// Of a session.
    pub fn session(self) -> Option<SessionAnswer> {
        if let LifeAnswer::Session(told) = self { Some(told) } else { None }
    }
}

impl LifeWish {
    /// The order that it names; of two, the older one.
    pub fn order(&self) -> OrderId {
        match self {
            LifeWish::Join(event) => event.order,
            LifeWish::Attach { old, .. } => *old,
            LifeWish::Unreadable(..) => OrderId::nobodys(),
            LifeWish::Match { order, .. }
            | LifeWish::Later { order, .. }
            | LifeWish::Settle(order)
            | LifeWish::Expire(order)
            | LifeWish::CloseUnknown(order, ..)
            | LifeWish::BeginSession(order, _)
            | LifeWish::SessionOpened(order, ..)
            | LifeWish::Cancel(order, _)
            | LifeWish::Reject(order)
            | LifeWish::AskRefund(order, _)
            | LifeWish::Grant(order, _)
            | LifeWish::GiveUp(order, _)
            | LifeWish::RetryRefund(order, _)
            | LifeWish::SendRefund(order, ..)
            | LifeWish::AnswerRefund(order, ..)
            | LifeWish::Forgo(order, _)
            | LifeWish::Parcel(order, _) => *order,
        }
    }

    /// The orders whose rows it locks.
    pub fn orders(&self) -> Vec<OrderId> {
        let mut orders = vec![self.order()];
        if let LifeWish::Attach { successor, .. } = self {
            orders.push(*successor);
        }
        orders
    }

    /// The payment that it is about, which may be another order's than the one that it names.
    pub fn payment(&self) -> Option<PaymentKey> {
        if let LifeWish::Match { payment, .. }
        | LifeWish::Attach { payment, .. }
        | LifeWish::CloseUnknown(_, payment, _)
        | LifeWish::SessionOpened(_, payment, _)
        | LifeWish::Forgo(_, payment) = self
        {
            return Some(payment.clone());
        }
        if let LifeWish::Join(event) = self { Some(event.key()) } else { None }
    }
}

impl LifeWish {
    /// True when it is about sessions, which no other wish looks at.
    pub fn is_of_sessions(&self) -> bool {
        matches!(self, LifeWish::BeginSession(..) | LifeWish::SessionOpened(..))
    }
}

/// The lives under a transaction's locks. Where one payment belongs to two of them, both have it.
pub type Lives = BTreeMap<OrderId, Life>;

/// Whom a payment is settled with: the order that it pays, else the one that it names first.
fn home(lives: &Lives, event: &ProviderEvent) -> OrderId {
    let key = event.key();
    let known = lives.values().find_map(|life| life.payments.get(&key));
    match known.map(|p| (p.fate, p.order)) {
        Some((Some(PaymentFate::Order(order)), _)) => order,
        Some((_, order)) => order,
        None => event.order,
    }
}

/// Does what is asked for. The lives of all orders of the wish are there, and that of the order
/// that its payment pays.
pub fn carry_out(lives: &mut Lives, cx: LifeContext<'_>, wish: &LifeWish) -> LifeAnswer {
    if let LifeWish::Attach { old, successor, payment } = wish {
        let mut next = lives.remove(successor).unwrap_or_else(|| Life::new(*successor));
        if let Some(life) = lives.get_mut(old) {
            attach(life, &mut next, cx, payment);
        }
        lives.insert(*successor, next);
        return LifeAnswer::Done;
    }
    let order = if let LifeWish::Join(event) = wish { home(lives, event) } else { wish.order() };
    let life = lives.entry(order).or_insert_with(|| Life::new(order));
    let answer = one(life, cx, wish);
    share(lives, order);
    answer
}

/// What is asked of one life.
fn one(life: &mut Life, cx: LifeContext<'_>, wish: &LifeWish) -> LifeAnswer {
    let found = |is: bool| if is { LifeAnswer::Done } else { LifeAnswer::Nothing };
    match wish {
        LifeWish::Match { payment, state, .. } => match_order(life, cx, payment, *state),
        LifeWish::Settle(_) => settle(life, cx),
        LifeWish::Expire(_) => return found(expire(life, cx)),
        LifeWish::CloseUnknown(_, key, again) => close_unknown(life, cx, key, *again),
        LifeWish::BeginSession(_, provider) => {
            return LifeAnswer::Session(begin_session(life, cx, provider));
        }
        LifeWish::SessionOpened(_, key, opened) => {
            return LifeAnswer::Session(session_opened(life, cx, key, opened));
        }
        LifeWish::Cancel(_, refund) => return LifeAnswer::Cancelled(cancel(life, cx, refund)),
        LifeWish::Reject(_) => return found(reject(life, cx)),
        LifeWish::AskRefund(_, ask) => return LifeAnswer::Asked(ask_refund(life, cx, ask)),
        LifeWish::Grant(_, refund) => return found(grant(life, cx, refund)),
        LifeWish::GiveUp(_, key) => return found(give_up(life, cx, key)),
        LifeWish::RetryRefund(_, key) => return found(retry_refund(life, cx, key)),
        LifeWish::SendRefund(_, key, tries) => return found(send_refund(life, cx, key, *tries)),
        LifeWish::AnswerRefund(_, key, answer) => answer_refund(life, cx, key, *answer),
        LifeWish::Forgo(_, payment) => forgo(life, cx, payment),
        LifeWish::Later { work, again_ms, .. } => {
            life.later(work.clone(), cx.now_ms.saturating_add(*again_ms));
        }
        LifeWish::Parcel(_, news) => return found(parcel(life, cx, news)),
        LifeWish::Unreadable(from, why) => {
            life.task(TaskDraft::Unreadable(from.clone(), why.clone()));
        }
        LifeWish::Join(event) => {
            let provider = Actor::Provider(event.provider.clone());
            // What a provider answers was asked for by the clerk.
            let actor = if event.event.is_some() { &provider } else { cx.actor };
            join(life, LifeContext { actor, ..cx }, event);
        }
        // Of two lives.
        LifeWish::Attach { .. } => return LifeAnswer::Nothing,
    }
    LifeAnswer::Done
}

/// What one life has learned of a payment that is another one's too.
fn share(lives: &mut Lives, from: OrderId) {
    let Some(life) = lives.get(&from) else { return };
    let mut shared = Vec::new();
    for (key, payment) in &life.payments {
        let mut others = vec![payment.order];
        if let Some(PaymentFate::Order(order)) = payment.fate {
            others.push(order);
        }
        let others = others.into_iter().filter(|o| *o != from && lives.contains_key(o));
        shared.extend(others.map(|o| (o, key.clone(), payment.clone())));
    }
    for (other, key, payment) in shared {
        if let Some(life) = lives.get_mut(&other) {
            life.payments.insert(key, payment);
        }
    }
}
