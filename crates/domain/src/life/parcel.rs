//! Goods on their way, as the warehouse or an operator tells.

use super::book::{Life, TaskDraft};
use super::names::RefundId;
use super::policy::{Actor, LifeContext, Restock};
use super::refund::RefundState;
use crate::moves::Cause;
use crate::order::RowStatus;

/// What is told of the goods of an order: a lattice, so that `Delivered` implies `Shipped`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Parcel {
    /// It left the warehouse.
    Shipped,
    /// It arrived.
    Delivered,
    /// What this refund names is back in the warehouse.
    Returned(RefundId),
}

impl Parcel {
    fn as_str(&self) -> &'static str {
        match self {
            Parcel::Shipped => "shipped",
            Parcel::Delivered => "delivered",
            Parcel::Returned(_) => "returned",
        }
    }
}

/// Takes news of a parcel in; false when the order is not in a state for it, which a person has to
/// look at then. A repetition changes nothing.
pub fn parcel(life: &mut Life, cx: LifeContext<'_>, news: &Parcel) -> bool {
    let Some(status) = life.status() else { return false };
    let done = match (news, status) {
        (Parcel::Shipped, RowStatus::Paid) => {
            ship(life, cx);
            true
        }
        (Parcel::Shipped, RowStatus::Shipped | RowStatus::Completed) => true,
        (Parcel::Delivered, RowStatus::Paid) => {
            ship(life, cx);
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
        (Parcel::Returned(refund), _) => returned(life, cx, refund),
    };
    // An operator hears at once that it cannot be.
    if !done && matches!(cx.actor, Actor::Fulfilment(_)) {
        life.task(TaskDraft::Parcel(news.as_str().to_owned()));
    }
    done
}

/// The goods are on their way: what is refunded from here on is sold again only when it is back.
fn ship(life: &mut Life, cx: LifeContext<'_>) {
    let moved =
        |life: &Life, id: &RefundId| life.parts(id).all(|(_, r)| r.state == RefundState::Succeeded);
    let open: Vec<RefundId> =
        life.granted().into_keys().filter(|id| !moved(life, id)).cloned().collect();
    for (key, refund) in &mut life.refunds {
        refund.restocks &= !open.contains(&key.refund);
    }
    life.change(cx, RowStatus::Shipped, Cause::Shipped);
}

/// The goods of a refund are back: they go on sale again as soon as its money has moved. False when
/// no refund of that name has any.
fn returned(life: &mut Life, cx: LifeContext<'_>, refund: &RefundId) -> bool {
    let parts: Vec<_> = life.parts(refund).map(|(key, r)| (key.clone(), r.clone())).collect();
    let Some((_, first)) = parts.first().filter(|(_, r)| !r.lines.is_empty()) else { return false };
    if first.restocks || life.policy(cx.policies).restock == Restock::No {
        return true;
    }
    for (key, _) in &parts {
        if let Some(part) = life.refunds.get_mut(key) {
            part.restocks = true;
        }
    }
    if parts.iter().all(|(_, r)| r.state == RefundState::Succeeded) {
        life.give_back(cx, first);
        life.end_task(TaskDraft::Restock(refund.clone()));
    }
    true
}
