//! How an order dies before it is paid: it expires, or it is cancelled.

use mutants::Mutant;

use super::book::{DueWork, Life};
use super::names::{PaymentKey, RefundId};
use super::payment::{NEVER_ASKED, Payment};
use super::policy::LifeContext;
use super::refunding::{AskedRefund, Portion, RefundAsk, ask_refund, known, owe};
use super::settle::settle;
use crate::moves::Cause;
use crate::order::RowStatus;

/// So many answers that were none, and an order expires although its payment may not be closed.
/// What is captured later is a late payment.
pub const CLOSE_TRIES: u32 = 5;

/// Lets an order expire, if its payments do not cover it. The caller has seen that its time and
/// the grace after it are over, and that what was told in time is joined (INV-21). While it has
/// payments that may still be captured, their providers are asked to close them first; an order
/// without any dies at once. True when it is decided.
pub fn expire(life: &mut Life, cx: LifeContext<'_>) -> bool {
    settle(life, cx);
    let now = cx.now_ms;
    let due = life.order.as_ref().and_then(|o| o.expires_at).is_some_and(|at| at <= now);
    if life.status() != Some(RowStatus::Pending) || !due {
        return life.status() != Some(RowStatus::Pending);
    }
    let open = unclosed(life);
    if open.is_empty() {
        life.change(cx, RowStatus::Expired, Cause::NotPaid);
        settle(life, cx);
        return true;
    }
    open.into_iter().for_each(|key| life.due(DueWork::Close(key), now));
    false
}

/// Payments that an order waits for before it expires: that they are closed, or not for too long.
fn unclosed(life: &Life) -> Vec<PaymentKey> {
    if mutants::on(Mutant::ExpireNoClose) {
        return Vec::new();
    }
    let open = |(_, p): &(&PaymentKey, &Payment)| {
        p.order == life.id && p.may_be_closed() && p.asked < CLOSE_TRIES
    };
    life.payments.iter().filter(open).map(|(key, _)| key.clone()).collect()
}

/// A provider that was asked to close a payment gave no definite answer: it is asked again after
/// this many ms; `None` where there is nobody to ask.
pub fn close_unknown(life: &mut Life, cx: LifeContext<'_>, key: &PaymentKey, again: Option<u64>) {
    let work = DueWork::Close(key.clone());
    let Some(payment) = life.payments.get_mut(key).filter(|p| p.may_be_closed()) else {
        return life.done(work);
    };
    match again {
        Some(pause_ms) => {
            payment.asked += 1;
            life.later(work, cx.now_ms.saturating_add(pause_ms));
        }
        None => {
            payment.asked = NEVER_ASKED;
            life.done(work);
        }
    }
}

/// What a cancellation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled, now or before.
    Done,
    /// It was paid, and its money goes back.
    Refunds(AskedRefund),
    /// It cannot be.
    Illegal,
    /// It has no row yet.
    NoRow,
}

/// Cancels an order. A paid one is refunded where its offer says so; again is the same refund.
pub fn cancel(life: &mut Life, cx: LifeContext<'_>, refund: &RefundId) -> Cancelled {
    settle(life, cx);
    let Some(status) = life.status() else { return Cancelled::NoRow };
    let whole = RefundAsk { refund: refund.clone(), portion: Portion::Whole };
    if let Some(known) = known(life, cx, &whole) {
        return Cancelled::Refunds(known);
    }
    match status {
        RowStatus::Pending => {
            life.change(cx, RowStatus::Cancelled, Cause::Cancelled);
            settle(life, cx);
            Cancelled::Done
        }
        RowStatus::Cancelled => Cancelled::Done,
        RowStatus::Paid | RowStatus::Shipped | RowStatus::Completed | RowStatus::Refunding => {
            if !life.policy(cx.policies).cancel_refunds {
                return Cancelled::Illegal;
            }
            Cancelled::Refunds(ask_refund(life, cx, &whole))
        }
        RowStatus::Refunded | RowStatus::Rejected | RowStatus::Expired => Cancelled::Illegal,
    }
}

/// Rejects a pending order whose units were sold again after a database had lost commits
/// (PROTOCOL 6.10). False when it is not pending: its payments may cover it, and a person looks
/// whether the money of one that is paid goes back.
pub fn reject(life: &mut Life, cx: LifeContext<'_>) -> bool {
    // An order of nothing would be paid by being looked at.
    if life.order.as_ref().is_some_and(|o| o.amount > 0) {
        settle(life, cx);
    }
    let pending = life.status() == Some(RowStatus::Pending);
    if pending {
        life.change(cx, RowStatus::Rejected, Cause::LostCommits);
        settle(life, cx);
    } else if life.status() == Some(RowStatus::Paid) {
        owe(life, cx);
    }
    pending
}
