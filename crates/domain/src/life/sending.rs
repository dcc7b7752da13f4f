//! How a refund is sent, whoever asked for it, and what follows once its money has moved.
//! `refunded` is told only then.

use mutants::Mutant;

use super::book::{DueWork, Life, TaskDraft, sum};
use super::policy::{LifeContext, Restock};
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use crate::moves::Cause;
use crate::order::RowStatus;

/// Before a refund is sent: true when it may be, now. After `tries` it is a person's.
pub fn send_refund(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey, tries: u32) -> bool {
    let Some(refund) = life.refunds.get_mut(key).filter(|r| r.state.is_to_send()) else {
        life.done(DueWork::Refund(key.clone()));
        return false;
    };
    refund.tries += 1;
    let is_last = refund.tries > tries;
    // Money that moved after a person had given it up may have taken what this one needs (INV-16).
    let captured = life.payments.get(&key.payment).map_or(0, |p| p.captured);
    if is_last || life.going_back(&key.payment) > captured {
        leave_to_a_person(life, key);
        return false;
    }
    let Some(refund) = life.refunds.get_mut(key) else { return false };
    refund.state = RefundState::Sending;
    if refund.first_sent_ms == 0 {
        refund.first_sent_ms = cx.now_ms;
    }
    true
}

/// What a provider says of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundAnswer {
    /// The money moved.
    Succeeded,
    /// It will not, for good.
    Failed,
    /// No answer: asked again after this many ms.
    Unknown(u64),
    /// Nothing was sent: it is as it was before the try, for this many ms.
    NotSent(u64),
    /// The provider has it and will tell: asked again after this many ms, as often as it takes.
    Pending(u64),
}

/// After it was sent, or asked about.
pub fn answer_refund(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey, is: RefundAnswer) {
    if has_moved(is) {
        return succeeded(life, cx, key);
    }
    match is {
        RefundAnswer::Succeeded => {}
        RefundAnswer::Failed => {
            if life.refunds.get(key).is_some_and(|r| r.state.is_to_send()) {
                leave_to_a_person(life, key);
            }
        }
        RefundAnswer::Unknown(pause_ms) => {
            if let Some(refund) = life.refunds.get_mut(key).filter(|r| r.state.is_to_send()) {
                refund.state = RefundState::Unknown;
                life.later(DueWork::Refund(key.clone()), cx.now_ms.saturating_add(pause_ms));
            }
        }
        RefundAnswer::NotSent(pause_ms) => {
            if let Some(refund) = life.refunds.get_mut(key).filter(|r| r.state.is_to_send()) {
                refund.tries = refund.tries.saturating_sub(1);
                if refund.tries == 0 && refund.state == RefundState::Sending {
                    (refund.state, refund.first_sent_ms) = (RefundState::Requested, 0);
                }
                life.later(DueWork::Refund(key.clone()), cx.now_ms.saturating_add(pause_ms));
            }
        }
        RefundAnswer::Pending(pause_ms) => {
            if let Some(refund) = life.refunds.get_mut(key).filter(|r| r.state.is_to_send()) {
                refund.state = RefundState::Unknown;
                // It was answered: the tries begin anew.
                refund.tries = 1;
                life.later(DueWork::Refund(key.clone()), cx.now_ms.saturating_add(pause_ms));
            }
        }
    }
}

/// Only a definite answer tells that money moved.
fn has_moved(is: RefundAnswer) -> bool {
    if mutants::on(Mutant::ToldEarly) {
        return is != RefundAnswer::Failed;
    }
    is == RefundAnswer::Succeeded
}

pub(super) fn leave_to_a_person(life: &mut Life, key: &RefundKey) {
    if let Some(refund) = life.refunds.get_mut(key) {
        refund.state = RefundState::Manual;
    }
    life.done(DueWork::Refund(key.clone()));
    life.task(TaskDraft::Refund(key.clone()));
}

/// A person sends a refund once more. False when it does not wait for one, or when its payment has
/// less than that (INV-16).
pub fn retry_refund(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) -> bool {
    if life.left(&key.payment) < 0 {
        return false;
    }
    let waits = life.refunds.get_mut(key).filter(|r| r.state == RefundState::Manual);
    let Some(refund) = waits else { return false };
    refund.state = RefundState::Unknown;
    // One that was sent before is asked about first.
    refund.tries = u32::from(refund.first_sent_ms > 0);
    life.end_task(TaskDraft::Refund(key.clone()));
    life.due(DueWork::Refund(key.clone()), cx.now_ms);
    true
}

/// A person found that the money of a refund will not move, or does not grant it. False when it
/// does not wait for one. What is owed goes back all the same: by a new refund, under a new key.
pub fn give_up(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) -> bool {
    let waits = |r: &&mut Refund| matches!(r.state, RefundState::Manual | RefundState::Asked);
    let Some(refund) = life.refunds.get_mut(key).filter(waits) else { return false };
    let sort = refund.sort;
    refund.state = RefundState::Failed;
    life.end_task(TaskDraft::Refund(key.clone()));
    end_asked(life, key);
    if sort == RefundSort::Automatic {
        life.refund_rest(cx, &key.payment);
        return true;
    }
    end_refunding(life, cx);
    true
}

/// Nobody has to grant a refund any more of which no part waits for that.
pub(super) fn end_asked(life: &mut Life, key: &RefundKey) {
    if life.parts(&key.refund).all(|(_, r)| r.state != RefundState::Asked) {
        life.end_task(TaskDraft::Asked(key.refund.clone()));
    }
}

/// The money of a refund moved.
pub(super) fn succeeded(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) {
    let Some(refund) = life.refunds.get_mut(key) else { return };
    match refund.state {
        RefundState::Succeeded | RefundState::Bounced => return,
        // A person had found that it would not: the books follow the money, and a person looks.
        RefundState::Failed => life.follows.tasks.push(TaskDraft::Bounced(key.clone())),
        RefundState::Asked
        | RefundState::Requested
        | RefundState::Sending
        | RefundState::Unknown
        | RefundState::Manual => {}
    }
    refund.state = RefundState::Succeeded;
    refund.moved_ms = cx.now_ms;
    let sort = refund.sort;
    life.done(DueWork::Refund(key.clone()));
    life.end_task(TaskDraft::Refund(key.clone()));
    let pays = life.paying().any(|(payment, _)| *payment == key.payment);
    if sort == RefundSort::Granted && pays {
        repaid(life, cx, key);
    }
}

fn repaid(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) {
    let parts: Vec<Refund> = life.parts(&key.refund).map(|(_, r)| r.clone()).collect();
    if is_whole_back(&parts)
        && let Some(refund) = parts.into_iter().next()
    {
        goods(life, cx, key, &refund);
    }
    // What went of the order's money without being asked for is back as well.
    let taken = life.paying().map(|(key, p)| {
        let others = life.moved(key) - life.moved_granted(key);
        (others - (p.captured - p.keep)).max(0)
    });
    let (taken, repaid) = (sum(taken), life.repaid());
    let Some(order) = &mut life.order else { return };
    order.refunded = repaid;
    let is_all = order.refunded.saturating_add(taken) >= order.captured;
    let status = order.status;
    // What others take back stands in this version, whole refund or part.
    life.change_by(cx, status, Cause::RefundSucceeded, Some(key.refund.clone()));
    if status == RowStatus::Refunding && is_all {
        life.change(cx, RowStatus::Refunded, Cause::RefundSucceeded);
    }
    end_refunding(life, cx);
}

/// Goods follow the last part of a refund's money.
fn is_whole_back(parts: &[Refund]) -> bool {
    if mutants::on(Mutant::ReturnOnPart) {
        return true;
    }
    parts.iter().all(|r| r.state == RefundState::Succeeded)
}

/// All money of a refund has moved: its goods follow, or a person says.
fn goods(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey, refund: &Refund) {
    if refund.lines.is_empty() {
        return;
    }
    if refund.restocks {
        life.give_back(cx, refund);
    } else if life.policy(cx.policies).restock == Restock::Ask {
        life.task(TaskDraft::Restock(key.refund.clone()));
    }
}

/// A refund of everything ends with its last part: with less than everything the order goes back
/// to where it came from.
fn end_refunding(life: &mut Life, cx: LifeContext<'_>) {
    let refunding = life.status() == Some(RowStatus::Refunding);
    let ended =
        life.granted().into_keys().all(|id| life.parts(id).all(|(_, r)| r.state.is_final()));
    if !refunding || !ended {
        return;
    }
    let came_from = life.order.as_mut().and_then(|o| o.came_from.take());
    life.change(cx, came_from.unwrap_or(RowStatus::Paid), Cause::RefundEnded);
}

/// The provider says that a refund failed: one that had succeeded bounced, and what was told is not
/// reduced silently; one under way is a person's.
pub(super) fn bounced(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) {
    let Some(refund) = life.refunds.get_mut(key) else { return };
    if refund.state == RefundState::Succeeded {
        refund.state = RefundState::Bounced;
        life.task(TaskDraft::Bounced(key.clone()));
    } else {
        answer_refund(life, cx, key, RefundAnswer::Failed);
    }
}
