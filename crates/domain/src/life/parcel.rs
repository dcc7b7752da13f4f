//! Goods on their way, as the warehouse or an operator tells.

use super::book::{Life, TaskDraft};
use super::policy::{LifeContext, Restock};
use super::refund::RefundState;
use crate::moves::Cause;
use crate::order::RowStatus;

/// What is told of the goods of an order: a lattice, so that `Delivered` implies `Shipped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parcel {
    /// It left the warehouse.
    Shipped,
    /// It arrived.
    Delivered,
    /// What a refund names is back in the warehouse.
    Returned,
}

/// Takes news of a parcel in; false when the order is not in a state for it, which a person has to
/// look at then. A repetition changes nothing.
pub fn parcel(life: &mut Life, cx: LifeContext<'_>, news: Parcel) -> bool {
    let Some(status) = life.status() else { return false };
    let done = match (news, status) {
        (Parcel::Shipped, RowStatus::Paid) => {
            life.change(cx, RowStatus::Shipped, Cause::Shipped);
            true
        }
        (Parcel::Shipped, RowStatus::Shipped | RowStatus::Completed) => true,
        (Parcel::Delivered, RowStatus::Paid) => {
            life.change(cx, RowStatus::Shipped, Cause::Shipped);
            life.change(cx, RowStatus::Completed, Cause::Delivered);
            true
        }
        (Parcel::Delivered, RowStatus::Shipped) => {
            life.change(cx, RowStatus::Completed, Cause::Delivered);
            true
        }
        (Parcel::Delivered, RowStatus::Completed) => true,
        (
            Parcel::Shipped | Parcel::Delivered,
            RowStatus::Pending
            | RowStatus::Rejected
            | RowStatus::Cancelled
            | RowStatus::Expired
            | RowStatus::Refunding
            | RowStatus::Refunded,
        ) => false,
        (Parcel::Returned, _) => returned(life, cx),
    };
    if !done {
        life.task(TaskDraft::Parcel(format!("{news:?}").to_lowercase()));
    }
    done
}

/// Goods are back: those of each refund whose money moved go on sale again. False when no refund
/// of the order names any.
fn returned(life: &mut Life, cx: LifeContext<'_>) -> bool {
    let mut known = false;
    let sold_again = life.policy(cx.policies).restock != Restock::No;
    let ids: Vec<_> = life.granted().into_keys().cloned().collect();
    for refund in ids {
        let parts: Vec<_> = life.parts(&refund).map(|(key, r)| (key.clone(), r.clone())).collect();
        let Some((_, first)) = parts.first().filter(|(_, r)| !r.lines.is_empty()) else { continue };
        known = true;
        if !sold_again {
            continue;
        }
        let is_paid_back = parts.iter().all(|(_, r)| r.state == RefundState::Succeeded);
        if first.restocks {
            continue;
        }
        // What comes back before the money has moved goes on sale with the last part of it.
        for (key, _) in &parts {
            if let Some(part) = life.refunds.get_mut(key) {
                part.restocks = true;
            }
        }
        if is_paid_back {
            life.give_back(cx, first);
            life.end_task(TaskDraft::Restock(refund));
        }
    }
    known
}
