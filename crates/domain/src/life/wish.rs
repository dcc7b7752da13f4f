//! All that can be asked of lives, as values: what a port carries, and what any store calls under
//! its locks.

use std::collections::BTreeMap;

use super::book::Life;
use super::death::{Cancelled, cancel, expire, reject};
use super::join::{MatchState, join, match_order};
use super::names::{PaymentKey, RefundId};
use super::parcel::{Parcel, parcel};
use super::payment::{PaymentFate, ProviderEvent};
use super::policy::{Actor, LifeContext};
use super::reclaim::{attach, forgo};
use super::refund::RefundKey;
use super::refunding::{
    AskedRefund, RefundAnswer, RefundAsk, answer_refund, ask_refund, give_up, grant, retry_refund,
    send_refund,
};
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
    /// News of its goods.
    Parcel(OrderId, Parcel),
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
}

impl LifeWish {
    /// The orders whose rows it locks.
    pub fn orders(&self) -> Vec<OrderId> {
        match self {
            LifeWish::Join(event) => vec![event.order],
            LifeWish::Attach { old, successor, .. } => vec![*old, *successor],
            LifeWish::Match { order, .. }
            | LifeWish::Settle(order)
            | LifeWish::Expire(order)
            | LifeWish::Cancel(order, _)
            | LifeWish::Reject(order)
            | LifeWish::AskRefund(order, _)
            | LifeWish::Grant(order, _)
            | LifeWish::GiveUp(order, _)
            | LifeWish::RetryRefund(order, _)
            | LifeWish::SendRefund(order, ..)
            | LifeWish::AnswerRefund(order, ..)
            | LifeWish::Forgo(order, _)
            | LifeWish::Parcel(order, _) => vec![*order],
        }
    }

    /// The payment that it is about, which may be another order's than the one that it names.
    pub fn payment(&self) -> Option<PaymentKey> {
        match self {
            LifeWish::Join(event) => Some(event.key()),
            LifeWish::Match { payment, .. }
            | LifeWish::Attach { payment, .. }
            | LifeWish::Forgo(_, payment) => Some(payment.clone()),
            LifeWish::Settle(_)
            | LifeWish::Expire(_)
            | LifeWish::Cancel(..)
            | LifeWish::Reject(_)
            | LifeWish::AskRefund(..)
            | LifeWish::Grant(..)
            | LifeWish::GiveUp(..)
            | LifeWish::RetryRefund(..)
            | LifeWish::SendRefund(..)
            | LifeWish::AnswerRefund(..)
            | LifeWish::Parcel(..) => None,
        }
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
    match wish {
        LifeWish::Join(event) => {
            let order = home(lives, event);
            let provider = Actor::Provider(event.provider.clone());
            // What a provider answers was asked for by the clerk.
            let actor = if event.event.is_some() { &provider } else { cx.actor };
            let life = lives.entry(order).or_insert_with(|| Life::new(order));
            join(life, LifeContext { actor, ..cx }, event);
            share(lives, order);
            LifeAnswer::Done
        }
        LifeWish::Attach { old, successor, payment } => {
            let mut next = lives.remove(successor).unwrap_or_else(|| Life::new(*successor));
            if let Some(life) = lives.get_mut(old) {
                attach(life, &mut next, cx, payment);
            }
            lives.insert(*successor, next);
            LifeAnswer::Done
        }
        LifeWish::Match { order, .. }
        | LifeWish::Settle(order)
        | LifeWish::Expire(order)
        | LifeWish::Cancel(order, _)
        | LifeWish::Reject(order)
        | LifeWish::AskRefund(order, _)
        | LifeWish::Grant(order, _)
        | LifeWish::GiveUp(order, _)
        | LifeWish::RetryRefund(order, _)
        | LifeWish::SendRefund(order, ..)
        | LifeWish::AnswerRefund(order, ..)
        | LifeWish::Forgo(order, _)
        | LifeWish::Parcel(order, _) => {
            let life = lives.entry(*order).or_insert_with(|| Life::new(*order));
            let answer = one(life, cx, wish);
            share(lives, *order);
            answer
        }
    }
}

/// What is asked of one life.
fn one(life: &mut Life, cx: LifeContext<'_>, wish: &LifeWish) -> LifeAnswer {
    let found = |is: bool| if is { LifeAnswer::Done } else { LifeAnswer::Nothing };
    match wish {
        LifeWish::Match { payment, state, .. } => match_order(life, cx, payment, *state),
        LifeWish::Settle(_) => settle(life, cx),
        LifeWish::Expire(_) => expire(life, cx),
        LifeWish::Cancel(_, refund) => return LifeAnswer::Cancelled(cancel(life, cx, refund)),
        LifeWish::Reject(_) => return found(reject(life, cx)),
        LifeWish::AskRefund(_, ask) => return LifeAnswer::Asked(ask_refund(life, cx, ask)),
        LifeWish::Grant(_, refund) => return found(grant(life, cx, refund)),
        LifeWish::GiveUp(_, key) => return found(give_up(life, cx, key)),
        LifeWish::RetryRefund(_, key) => return found(retry_refund(life, cx, key)),
        LifeWish::SendRefund(_, key, tries) => return found(send_refund(life, cx, key, *tries)),
        LifeWish::AnswerRefund(_, key, answer) => answer_refund(life, cx, key, *answer),
        LifeWish::Forgo(_, payment) => forgo(life, cx, payment),
        LifeWish::Parcel(_, news) => return found(parcel(life, cx, news)),
        LifeWish::Join(_) | LifeWish::Attach { .. } => return LifeAnswer::Nothing,
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
