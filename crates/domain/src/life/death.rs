//! How an order dies before it is paid: it expires, or it is cancelled.

use super::book::Life;
use super::names::RefundId;
use super::policy::LifeContext;
use super::refunding::{AskedRefund, Portion, RefundAsk, ask_refund, known};
use super::settle::settle;
use crate::moves::Cause;
use crate::order::RowStatus;

/// Lets an order expire, if its payments do not cover it. The caller has seen that its time and
/// the grace after it are over, that what was told in time is joined, and has asked the providers
/// to close its payments (INV-21).
pub fn expire(life: &mut Life, cx: LifeContext<'_>) {
    settle(life, cx);
    let now = cx.now_ms;
    let due = life.order.as_ref().and_then(|o| o.expires_at).is_some_and(|at| at <= now);
    if life.status() == Some(RowStatus::Pending) && due {
        life.change(cx, RowStatus::Expired, Cause::NotPaid);
        settle(life, cx);
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
    if let Some(known) = known(life, &whole) {
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
/// (PROTOCOL 6.10). False when it is not pending: its payments may cover it.
pub fn reject(life: &mut Life, cx: LifeContext<'_>) -> bool {
    // An order of nothing would be paid by being looked at.
    if life.order.as_ref().is_some_and(|o| o.amount > 0) {
        settle(life, cx);
    }
    let pending = life.status() == Some(RowStatus::Pending);
    if pending {
        life.change(cx, RowStatus::Rejected, Cause::LostCommits);
        settle(life, cx);
    }
    pending
}
