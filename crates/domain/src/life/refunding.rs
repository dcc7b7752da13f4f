//! Refunds that somebody asks for.

use std::collections::BTreeMap;

use mutants::Mutant;

use super::book::{DueWork, Life, TaskDraft, sum};
use super::lost::found_again;
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
    if let Some(known) = known(life, cx, ask) {
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

/// The refund of a paid order whose units were sold again: a person grants it, or finds others for
/// it. There are no goods that could go back; one whose money is back already is refunded.
pub(super) fn owe(life: &mut Life, cx: LifeContext<'_>) {
    if mutants::on(Mutant::RewindPaid) {
        return;
    }
    let is_back = life.paying().all(|(key, p)| life.moved(key) >= p.captured);
    if is_back {
        life.change(cx, RowStatus::Refunding, Cause::LostCommits);
        return life.change(cx, RowStatus::Refunded, Cause::LostCommits);
    }
    let id: RefundId = "auto-sold-again".parse().expect("it is short and visible");
    if life.parts(&id).next().is_some() {
        return;
    }
    let (Some((amount, _)), Some(ordinal)) = (wanted(life, &Portion::Whole), ordinal(life)) else {
        return;
    };
    let refund = Refund {
        sort: RefundSort::Granted,
        is_whole: true,
        ordinal: Some(ordinal),
        state: RefundState::Asked,
        ..Refund::automatic(amount)
    };
    split(life, cx, &id, &refund);
    life.task(TaskDraft::Asked(id.clone()));
    life.change_by(cx, RowStatus::Paid, Cause::LostCommits, Some(id));
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
pub(super) fn known(life: &Life, cx: LifeContext<'_>, ask: &RefundAsk) -> Option<AskedRefund> {
    let ours =
        ["auto-", "provider-", "lost-"].iter().any(|own| ask.refund.as_str().starts_with(own));
    if ours {
        return Some(AskedRefund::Conflict);
    }
    if let Some((state, amount)) = found_again(life, cx, &ask.refund) {
        return Some(AskedRefund::Done { state, amount });
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
    let money = sum(life.paying().map(|(key, _)| life.granted_of(key)));
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
    (keep - life.granted_of(payment)).min(life.left(payment)).max(0)
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
