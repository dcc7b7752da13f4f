//! Goods on their way, as the warehouse or an operator tells.

use super::book::{Life, TaskDraft};
use super::names::RefundId;
use super::policy::{Actor, LifeContext, Restock};
use super::refund::{Refund, RefundState};
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
    /// Units of these offers are back, as the warehouse calls them: of the refund that names just
    /// these. None: of the only one whose goods are not back.
    ReturnedLines(Vec<(String, u32)>),
}

impl Parcel {
    fn as_str(&self) -> &'static str {
        match self {
            Parcel::Shipped => "shipped",
            Parcel::Delivered => "delivered",
            Parcel::Returned(_) | Parcel::ReturnedLines(_) => "returned",
        }
    }
}

/// Takes news of a parcel in; false when the order is not in a state for it, which a person has to
/// look at then. A repetition changes nothing.
pub fn parcel(life: &mut Life, cx: LifeContext<'_>, news: &Parcel) -> bool {
    let Some(status) = life.status() else {
        if matches!(cx.actor, Actor::Fulfilment(_)) {
            life.task(TaskDraft::Parcel(news.as_str().to_owned()));
        }
        return false;
    };
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
        (Parcel::ReturnedLines(lines), _) => {
            meant(life, lines).is_some_and(|refund| returned(life, cx, &refund))
        }
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

/// The refund that a warehouse means; of several with the same goods, one whose are not back yet.
fn meant(life: &Life, lines: &[(String, u32)]) -> Option<RefundId> {
    let mut told: Vec<(&str, u32)> = lines.iter().map(|(offer, n)| (offer.as_str(), *n)).collect();
    told.sort_unstable();
    let is_meant = |r: &Refund| {
        let mut own: Vec<(&str, u32)> =
            r.lines.iter().map(|(cell, n)| (cell.offer.name(), *n)).collect();
        own.sort_unstable();
        !own.is_empty() && !r.state.is_failed() && (told.is_empty() || own == told)
    };
    let all: Vec<(&RefundId, &Refund)> =
        life.granted().into_iter().filter(|(_, r)| is_meant(r)).collect();
    let waits = all.iter().filter(|(_, r)| !r.restocks);
    let open: Vec<&RefundId> = waits.map(|(id, _)| *id).collect();
    match (open.as_slice(), all.as_slice()) {
        ([one], _) => Some((*one).clone()),
        ([first, ..], _) if !told.is_empty() => Some((*first).clone()),
        // Told a second time.
        ([], [(one, _), ..]) => Some((*one).clone()),
        _ => None,
    }
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
