//! Refunds that somebody asks for, and how any refund is sent. `refunded` is told only when the
//! money has moved.

use std::collections::BTreeMap;

use mutants::Mutant;

use super::book::{DueWork, Life, TaskDraft, sum};
use super::names::{PaymentKey, RefundId};
use super::policy::{Actor, LifeContext, RefundPolicy, Restock};
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use crate::cell::CellId;
use crate::ledger::Ordinal;
use crate::moves::Cause;
use crate::order::RowStatus;

/// What of an order is to go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Portion {
    /// Everything that is left: money and goods.
    Whole,
    /// These units, with what they cost.
    Lines(Vec<(CellId, u32)>),
    /// Money alone, minor units.
    Amount(i64),
}

/// A refund that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundAsk {
    /// Its name; the same one again is the same refund.
    pub refund: RefundId,
    /// What of the order.
    pub portion: Portion,
}

/// What a buyer or an operator hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedRefund {
    /// It is under way, or was already.
    Done {
        /// Where its parts stand: the one that is least far.
        state: RefundState,
        /// How much, minor units.
        amount: i64,
    },
    /// More than is left of the order.
    TooLarge,
    /// The name was used for another refund.
    Conflict,
    /// The order has not been paid, or all of it is on its way back.
    Illegal,
    /// The offer has no refunds.
    NotAllowed,
    /// There is no row.
    NoRow,
}

/// Asks for a refund (INV-15, INV-16: money and goods of all refunds are at most the order's).
pub fn ask_refund(life: &mut Life, cx: LifeContext<'_>, ask: &RefundAsk) -> AskedRefund {
    let Some(status) = life.status() else { return AskedRefund::NoRow };
    if let Some(known) = known(life, ask) {
        return known;
    }
    if !matches!(status, RowStatus::Paid | RowStatus::Shipped | RowStatus::Completed) {
        return AskedRefund::Illegal;
    }
    let policy = life.policy(cx.policies);
    let state = match (cx.actor, policy.refund) {
        (Actor::Operator(_), _) | (_, RefundPolicy::Auto) => RefundState::Requested,
        (_, RefundPolicy::Ask) => RefundState::Asked,
        (_, RefundPolicy::No) => return AskedRefund::NotAllowed,
    };
    let Some((amount, lines)) = wanted(life, &ask.portion) else { return AskedRefund::TooLarge };
    let Some(ordinal) = ordinal(life) else { return AskedRefund::TooLarge };
    let refund = Refund {
        sort: RefundSort::Granted,
        amount,
        lines,
        asked: amount,
        is_whole: ask.portion == Portion::Whole,
        restocks: policy.restock == Restock::Yes && status == RowStatus::Paid,
        ordinal: Some(ordinal),
        state,
        tries: 0,
        first_sent_ms: 0,
        moved_ms: 0,
    };
    let is_whole = refund.is_whole;
    split(life, cx, &ask.refund, &refund);
    if state == RefundState::Asked {
        life.task(TaskDraft::Asked(ask.refund.clone()));
    }
    begin(life, cx, &ask.refund, is_whole && state == RefundState::Requested);
    AskedRefund::Done { state, amount }
}

/// The number of the next refund of an order (INV-15); `None` when it has had the last.
fn ordinal(life: &Life) -> Option<Ordinal> {
    if mutants::on(Mutant::OrdinalFixed) {
        return Ordinal::new(0);
    }
    u8::try_from(life.granted().len()).ok().and_then(Ordinal::new)
}

/// The version that tells of a refund. One of everything turns the order around, once it is sent.
fn begin(life: &mut Life, cx: LifeContext<'_>, refund: &RefundId, turns: bool) {
    let Some(order) = &mut life.order else { return };
    let from = order.status;
    let to = if turns { RowStatus::Refunding } else { from };
    if turns {
        order.came_from = Some(from);
    }
    life.change_by(cx, to, Cause::RefundAsked, Some(refund.clone()));
}

/// What an earlier call of the same name was about. Names that this product gives are nobody's.
pub(super) fn known(life: &Life, ask: &RefundAsk) -> Option<AskedRefund> {
    let ours = ["auto-", "provider-"].iter().any(|own| ask.refund.as_str().starts_with(own));
    if ours {
        return Some(AskedRefund::Conflict);
    }
    let states = life.parts(&ask.refund).map(|(_, r)| r.state);
    let state = states.min()?;
    let first = life.parts(&ask.refund).map(|(_, r)| r).next()?;
    let same = match &ask.portion {
        Portion::Whole => first.is_whole,
        Portion::Amount(amount) => {
            !first.is_whole && first.lines.is_empty() && first.asked == *amount
        }
        Portion::Lines(lines) => !first.is_whole && first.lines == merged(lines),
    };
    let done = AskedRefund::Done { state, amount: first.asked };
    Some(if same { done } else { AskedRefund::Conflict })
}

/// One line for each cell, by cell.
fn merged(lines: &[(CellId, u32)]) -> Vec<(CellId, u32)> {
    let mut out = BTreeMap::<&CellId, u32>::new();
    for (cell, units) in lines {
        let all = out.entry(cell).or_default();
        *all = all.saturating_add(*units);
    }
    out.into_iter().map(|(cell, units)| (cell.clone(), units)).collect()
}

/// The money and the goods that are asked for; `None` when that is more than is left, or nothing.
fn wanted(life: &Life, portion: &Portion) -> Option<(i64, Vec<(CellId, u32)>)> {
    let order = life.order.as_ref()?;
    // A refund whose last part failed takes nothing; one of which a part did keeps its goods.
    let lives = |id: &RefundId| life.parts(id).any(|(_, r)| !r.state.is_failed());
    let granted: Vec<(&RefundId, &Refund)> =
        life.granted().into_iter().filter(|(id, _)| lives(id)).collect();
    let parts = granted.iter().flat_map(|(id, _)| life.parts(id));
    let money = sum(parts.filter(|(_, r)| !r.state.is_failed()).map(|(_, r)| r.amount));
    let rooms = sum(life.paying().map(|(key, p)| room(life, key, p.keep)));
    let left = left(order.amount, money, rooms);
    let mut units: BTreeMap<&CellId, u32> = order.lines.iter().map(|l| (&l.cell, l.qty)).collect();
    granted.iter().for_each(|(_, refund)| take_off(&mut units, &refund.lines));
    let (amount, lines) = match portion {
        Portion::Whole => {
            let rest = units.into_iter().filter(|(_, qty)| *qty > 0);
            (left, rest.map(|(cell, qty)| (cell.clone(), qty)).collect())
        }
        Portion::Amount(amount) => (*amount, Vec::new()),
        Portion::Lines(lines) => {
            let mut amount = 0i64;
            if lines.iter().any(|(_, qty)| *qty == 0) {
                return None;
            }
            let lines = merged(lines);
            for (cell, qty) in &lines {
                let rest = units.get_mut(cell).filter(|rest| **rest >= *qty)?;
                *rest -= *qty;
                let line = order.lines.iter().find(|l| l.cell == *cell)?;
                amount = amount.saturating_add(line.unit_minor.saturating_mul(i64::from(*qty)));
            }
            (amount, lines)
        }
    };
    (0 < amount && amount <= left).then_some((amount, lines))
}

/// What of an order's money may still be asked for.
fn left(amount: i64, granted: i64, rooms: i64) -> i64 {
    if mutants::on(Mutant::NoSumCheck) {
        return amount;
    }
    (amount - granted).min(rooms)
}

/// Units that one refund gives back are no other one's.
fn take_off(units: &mut BTreeMap<&CellId, u32>, lines: &[(CellId, u32)]) {
    if mutants::on(Mutant::LinesUnsummed) {
        return;
    }
    if mutants::on(Mutant::ReturnNoGuard) {
        return;
    }
    for (cell, qty) in lines {
        if let Some(rest) = units.get_mut(cell) {
            *rest = rest.saturating_sub(*qty);
        }
    }
}

/// What of a payment's money its order still has (INV-16). The provider may have taken some back.
fn room(life: &Life, payment: &PaymentKey, keep: i64) -> i64 {
    if mutants::on(Mutant::NoSumCheck) {
        return keep;
    }
    let granted =
        |(_, r): &(&RefundKey, &Refund)| r.sort == RefundSort::Granted && !r.state.is_failed();
    let given = sum(life.of_payment(payment).filter(granted).map(|(_, r)| r.amount));
    let captured = life.payments.get(payment).map_or(0, |p| p.captured);
    (keep - given).min(captured - life.going_back(payment)).max(0)
}

/// One part for each payment that still has money of the order.
fn split(life: &mut Life, cx: LifeContext<'_>, id: &RefundId, refund: &Refund) {
    let mut left = refund.amount;
    let rooms: Vec<(PaymentKey, i64)> =
        life.paying().map(|(key, p)| (key.clone(), room(life, key, p.keep))).collect();
    for (payment, room) in rooms {
        let amount = left.min(room);
        if amount > 0 {
            left -= amount;
            let key = RefundKey { refund: id.clone(), payment };
            life.add_refund(cx, key, Refund { amount, ..refund.clone() });
        }
    }
}

/// A person grants a refund that was asked for. False when there is none that waits.
pub fn grant(life: &mut Life, cx: LifeContext<'_>, refund: &RefundId) -> bool {
    let waits = |(_, r): &(&RefundKey, &Refund)| r.state == RefundState::Asked;
    let keys: Vec<RefundKey> =
        life.parts(refund).filter(waits).map(|(key, _)| key.clone()).collect();
    let mut is_whole = false;
    let in_house = life.status() == Some(RowStatus::Paid);
    for key in &keys {
        if let Some(part) = life.refunds.get_mut(key) {
            part.state = RefundState::Requested;
            part.restocks &= in_house;
            is_whole |= part.is_whole;
            life.due(DueWork::Refund(key.clone()), cx.now_ms);
        }
    }
    if keys.is_empty() {
        return false;
    }
    let may_turn =
        matches!(life.status(), Some(RowStatus::Paid | RowStatus::Shipped | RowStatus::Completed));
    if is_whole && may_turn {
        begin(life, cx, refund, true);
    }
    life.end_task(TaskDraft::Asked(refund.clone()));
    true
}

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

fn leave_to_a_person(life: &mut Life, key: &RefundKey) {
    if let Some(refund) = life.refunds.get_mut(key) {
        refund.state = RefundState::Manual;
    }
    life.done(DueWork::Refund(key.clone()));
    life.task(TaskDraft::Refund(key.clone()));
}

/// A person sends a refund once more. False when it does not wait for one.
pub fn retry_refund(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey) -> bool {
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
    if life.parts(&key.refund).all(|(_, r)| r.state != RefundState::Asked) {
        life.end_task(TaskDraft::Asked(key.refund.clone()));
    }
    if sort == RefundSort::Automatic {
        life.refund_rest(cx, &key.payment);
        return true;
    }
    end_refunding(life, cx);
    true
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
    let (sort, amount) = (refund.sort, refund.amount);
    life.done(DueWork::Refund(key.clone()));
    life.end_task(TaskDraft::Refund(key.clone()));
    if sort == RefundSort::Granted {
        repaid(life, cx, key, amount);
    }
}

fn repaid(life: &mut Life, cx: LifeContext<'_>, key: &RefundKey, amount: i64) {
    let parts: Vec<Refund> = life.parts(&key.refund).map(|(_, r)| r.clone()).collect();
    if is_whole_back(&parts)
        && let Some(refund) = parts.into_iter().next()
    {
        goods(life, cx, key, &refund);
    }
    // What the provider took of the order's money is back as well.
    let own: Vec<(PaymentKey, i64)> =
        life.paying().map(|(key, p)| (key.clone(), p.captured - p.keep)).collect();
    let taken = own.iter().map(|(key, loose)| (life.taken_back(key) - loose).max(0));
    let taken = sum(taken);
    let Some(order) = &mut life.order else { return };
    order.refunded = order.refunded.saturating_add(amount);
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
