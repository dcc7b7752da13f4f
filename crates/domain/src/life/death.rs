//! How an order dies before it is paid: it expires, or it is cancelled.

use super::book::Life;
use super::policy::LifeContext;
use super::refunding::{AskedRefund, Portion, RefundAsk, ask_refund};
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

/// Cancels an order. A paid one is refunded where its offer says so, or an operator does it.
pub fn cancel(life: &mut Life, cx: LifeContext<'_>, ask: &RefundAsk) -> Cancelled {
    settle(life, cx);
    let Some(status) = life.status() else { return Cancelled::NoRow };
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
            let whole = RefundAsk { refund: ask.refund.clone(), portion: Portion::Whole };
            Cancelled::Refunds(ask_refund(life, cx, &whole))
        }
        RowStatus::Refunded | RowStatus::Rejected | RowStatus::Expired => Cancelled::Illegal,
    }
}
