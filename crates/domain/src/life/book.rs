//! An order with its payments and refunds, and what follows from a change of them.

use std::collections::BTreeMap;

use mutants::Mutant;

use super::keys::automatic_refund;
use super::names::{PaymentKey, ProviderId, RefundId};
use super::payment::{PaySession, Payment, PaymentFate};
use super::policy::{Actor, LifeContext, OfferPolicy, Policies};
use super::refund::{Refund, RefundKey, RefundSort, RefundState};
use crate::cell::CellId;
use crate::giveback::{Giveback, Gives};
use crate::ids::OrderId;
use crate::moves::{self, Cause, Goods};
use crate::order::RowStatus;

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifeLine {
    /// Where its units are from.
    pub cell: CellId,
    /// How many.
    pub qty: u32,
    /// What one costs, minor units.
    pub unit_minor: i64,
}

/// What the row of an order says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderState {
    /// Where it stands.
    pub status: RowStatus,
    /// Grows by one with each change.
    pub version: u32,
    /// What it costs, minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// At least one; the cell of each once.
    pub lines: Vec<LifeLine>,
    /// Index into `lines` of the line that decided the order.
    pub anchor: usize,
    /// When it expires if it is not paid, UTC ms; `None` for never.
    pub expires_at: Option<u64>,
    /// What was paid for it, minor units.
    pub captured: i64,
    /// What of it went back because somebody asked, minor units.
    pub refunded: i64,
    /// The order that its late payment bought again with it.
    pub supersedes: Option<OrderId>,
    /// The order that its late payment is to buy; it may come to nothing.
    pub superseded_by: Option<OrderId>,
    /// Where it goes back to when a refund of all of it comes to nothing.
    pub came_from: Option<RowStatus>,
}

/// One version of an order: its history, and the fact that others read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which.
    pub version: u32,
    /// The status before.
    pub from: RowStatus,
    /// The status after.
    pub to: RowStatus,
    /// Why.
    pub cause: Cause,
    /// The type of its fact.
    pub fact: &'static str,
    /// Who did it.
    pub actor: Actor,
    /// What the fact is about besides the order.
    pub refund: Option<RefundId>,
}

/// Work at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DueWork {
    /// A payment is to find its order.
    Match(PaymentKey),
    /// A refund is to be sent, or asked about.
    Refund(RefundKey),
    /// A late payment is to buy a successor.
    Reclaim(PaymentKey),
    /// A payment is to be closed, so that nothing more is captured.
    Close(PaymentKey),
}

/// When work is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueAt {
    /// From this time on, UTC ms; what is due already stays as it is.
    New(u64),
    /// At this time, UTC ms, whatever was said before: the work began when it was first due.
    Moved(u64),
}

/// Something only a person can finish.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskDraft {
    /// A payment whose order nobody knows, and that this product did not open.
    Orphan(PaymentKey),
    /// News of a payment under another order than the one it was first named with.
    OtherOrder(PaymentKey, OrderId),
    /// News of a payment in another currency than before.
    OtherCurrency(PaymentKey),
    /// A buyer asked for a refund.
    Asked(RefundId),
    /// A refund does not get through.
    Refund(RefundKey),
    /// A refund that a person had given up succeeded, or one that had succeeded bounced.
    Bounced(RefundKey),
    /// The provider took money back.
    TakenBack(PaymentKey, RefundId),
    /// News of a parcel of an order that has none, or of goods that no refund names.
    Parcel(String),
    /// Goods of a refund are back, or will be: may they be sold again?
    Restock(RefundId),
    /// Callbacks of a provider or a warehouse that nobody can read, for one reason.
    Unreadable(String, String),
    /// A ledger refused units that were to go back to it: the cell, and the class of the entry.
    Giveback(CellId, i8),
}

/// What must follow from a change: rows of the same transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Follows {
    /// History and facts, ascending.
    pub versions: Vec<Version>,
    /// What goes back to cells.
    pub givebacks: Vec<(CellId, Giveback)>,
    /// Work to do from a time on.
    pub due: BTreeMap<DueWork, DueAt>,
    /// Work that is done.
    pub done: Vec<DueWork>,
    /// Tasks to open, unless they are.
    pub tasks: Vec<TaskDraft>,
    /// Tasks that ended by themselves.
    pub ended: Vec<TaskDraft>,
}

/// A change that [`crate::moves`] does not have (INV-9): nothing of the transaction may be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{order}: no move from {from:?} to {to:?} because of {cause:?}")]
pub struct IllegalMove {
    /// Whose.
    pub order: OrderId,
    /// The status.
    pub from: RowStatus,
    /// What was to be.
    pub to: RowStatus,
    /// Why.
    pub cause: Cause,
}

/// A refund that was asked for, over all payments that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedRefund {
    /// Where its parts stand: the one that is least far.
    pub state: RefundState,
    /// How much, minor units.
    pub amount: i64,
    /// Units that go back with it.
    pub lines: Vec<(CellId, u32)>,
}

/// An order and all of it that its database keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Its id.
    pub id: OrderId,
    /// Its row; `None` before there is one.
    pub order: Option<OrderState>,
    /// Payments that name it first, and those whose fate it is.
    pub payments: BTreeMap<PaymentKey, Payment>,
    /// Refunds of it.
    pub refunds: BTreeMap<RefundKey, Refund>,
    /// Sessions at providers; a store gives them only to what is about them.
    pub sessions: BTreeMap<ProviderId, PaySession>,
    /// What follows from what was changed here.
    pub follows: Follows,
    /// The first change that must not be: a fault of this code.
    pub illegal: Option<IllegalMove>,
}

impl Life {
    /// One without a row, payments and refunds.
    pub fn new(id: OrderId) -> Self {
        Self {
            id,
            order: None,
            payments: BTreeMap::new(),
            refunds: BTreeMap::new(),
            sessions: BTreeMap::new(),
            follows: Follows::default(),
            illegal: None,
        }
    }

    /// Where it stands; `None` without a row.
    pub fn status(&self) -> Option<RowStatus> {
        self.order.as_ref().map(|o| o.status)
    }

    /// What operators decided for its anchor's offer.
    pub(super) fn policy(&self, policies: &Policies) -> OfferPolicy {
        let anchor = self.order.as_ref().and_then(|o| o.lines.get(o.anchor));
        anchor.map(|l| policies.of(&l.cell.offer)).unwrap_or_default()
    }

    /// Makes the next version: history, fact and what goes back to its cells (INV-6).
    pub(super) fn change(&mut self, cx: LifeContext<'_>, to: RowStatus, cause: Cause) {
        self.change_by(cx, to, cause, None);
    }

    /// The same, because of a refund.
    pub(super) fn change_by(
        &mut self,
        cx: LifeContext<'_>,
        to: RowStatus,
        cause: Cause,
        refund: Option<RefundId>,
    ) {
        let Some(order) = &mut self.order else { return };
        let from = order.status;
        let step = moves::find(from, to, cause).filter(|m| m.by.contains(&cx.actor.mover()));
        let Some(step) = step else {
            self.illegal.get_or_insert(IllegalMove { order: self.id, from, to, cause });
            return;
        };
        order.status = to;
        order.version += 1;
        let (version, actor, fact) = (order.version, cx.actor.clone(), step.fact);
        self.follows.versions.push(Version { version, from, to, cause, fact, actor, refund });
        if step.goods == Goods::Release {
            self.release();
        }
    }

    /// All that it had claimed goes back to its cells (INV-6).
    fn release(&mut self) {
        let give = Giveback::release(self.id);
        let lines = self.order.iter().flat_map(|o| &o.lines).map(|l| (l.cell.clone(), give));
        self.follows.givebacks.extend(lines);
    }

    pub(super) fn due(&mut self, work: DueWork, at_ms: u64) {
        self.follows.done.retain(|w| *w != work);
        self.follows.due.entry(work).or_insert(DueAt::New(at_ms));
    }

    pub(super) fn later(&mut self, work: DueWork, at_ms: u64) {
        self.follows.due.insert(work, DueAt::Moved(at_ms));
    }

    pub(super) fn done(&mut self, work: DueWork) {
        self.follows.due.remove(&work);
        self.follows.done.push(work);
    }

    pub(super) fn task(&mut self, task: TaskDraft) {
        self.follows.tasks.push(task);
    }

    pub(super) fn end_task(&mut self, task: TaskDraft) {
        self.follows.tasks.retain(|t| *t != task);
        self.follows.ended.push(task);
    }

    /// What of a payment is going back or went, minor units (INV-16: at most what it captured, as
    /// long as the provider takes none back that is on its way already).
    pub fn going_back(&self, payment: &PaymentKey) -> i64 {
        sum(self.of_payment(payment).filter(|(_, r)| !r.state.is_failed()).map(|(_, r)| r.amount))
    }

    /// What the provider took back of a payment, minor units.
    pub(super) fn taken_back(&self, payment: &PaymentKey) -> i64 {
        let provider = |(_, r): &(&RefundKey, &Refund)| r.sort == RefundSort::Provider;
        sum(self.of_payment(payment).filter(provider).map(|(_, r)| r.amount))
    }

    /// What a payment can pay with, minor units. A refund that somebody asked for says that it
    /// had paid its order, before a database lost that (PROTOCOL 6.10).
    pub(super) fn net(&self, payment: &PaymentKey) -> i64 {
        let left = self.left(payment);
        left.saturating_add(self.granted_of(payment)).max(0)
    }

    /// What of a payment is neither back nor on its way, minor units.
    pub(super) fn left(&self, payment: &PaymentKey) -> i64 {
        let captured = self.payments.get(payment).map_or(0, |p| p.captured);
        captured.saturating_sub(self.going_back(payment))
    }

    /// What of a payment somebody asked for, and may get or has got, minor units.
    pub(super) fn granted_of(&self, payment: &PaymentKey) -> i64 {
        let granted =
            |(_, r): &(&RefundKey, &Refund)| r.sort == RefundSort::Granted && !r.state.is_failed();
        sum(self.of_payment(payment).filter(granted).map(|(_, r)| r.amount))
    }

    pub(super) fn of_payment<'a>(
        &'a self,
        payment: &'a PaymentKey,
    ) -> impl Iterator<Item = (&'a RefundKey, &'a Refund)> {
        self.refunds.iter().filter(move |(key, _)| key.payment == *payment)
    }

    /// Refunds that were asked for: each once, with the first of its parts.
    pub(super) fn granted(&self) -> BTreeMap<&RefundId, &Refund> {
        let mut out = BTreeMap::new();
        for (key, refund) in self.refunds.iter().filter(|(_, r)| r.sort == RefundSort::Granted) {
            out.entry(&key.refund).or_insert(refund);
        }
        out
    }

    /// Refunds that were asked for, each with all of its parts.
    pub fn granted_refunds(&self) -> BTreeMap<&RefundId, GrantedRefund> {
        let whole = |(id, first): (_, &Refund)| {
            let states = self.parts(id).map(|(_, part)| part.state);
            let state = states.min().unwrap_or(first.state);
            (id, GrantedRefund { state, amount: first.asked, lines: first.lines.clone() })
        };
        self.granted().into_iter().map(whole).collect()
    }

    /// The parts of a refund that was asked for.
    pub(super) fn parts<'a>(
        &'a self,
        refund: &'a RefundId,
    ) -> impl Iterator<Item = (&'a RefundKey, &'a Refund)> {
        let part = move |(key, r): &(&RefundKey, &Refund)| {
            r.sort == RefundSort::Granted && key.refund == *refund
        };
        self.refunds.iter().filter(part)
    }

    /// Refunds money of a payment by itself, as far as it is neither kept nor on its way back: what
    /// is found done is left alone, and what was captured since goes back too.
    pub(super) fn refund_rest(&mut self, cx: LifeContext<'_>, key: &PaymentKey) {
        let Some(payment) = self.payments.get(key) else { return };
        let automatic = |(_, r): &(&RefundKey, &Refund)| r.sort == RefundSort::Automatic;
        let (mut count, mut under_way) = (0, 0);
        for (_, refund) in self.of_payment(key).filter(automatic) {
            count += 1;
            under_way += if refund.state.is_failed() { 0 } else { refund.amount };
        }
        // What the provider took back of money that is not kept is back already, and so is what was
        // asked for while it was.
        let loose = payment.captured - payment.keep.max(self.granted_of(key));
        let need = loose - under_way - self.taken_back(key).min(loose);
        if need <= 0 || !may_follow(count) {
            return;
        }
        // One that was lost and found again has its own number.
        let names = (count..).map(|n| automatic_refund(cx.identity, key, n));
        let mut keys = names.map(|refund| RefundKey { refund, payment: key.clone() });
        if let Some(free) = keys.find(|key| !self.refunds.contains_key(key)) {
            self.add_refund(cx, free, Refund::automatic(need));
        }
    }

    /// A refund that is to be sent at once, or waits for a person.
    pub(super) fn add_refund(&mut self, cx: LifeContext<'_>, key: RefundKey, refund: Refund) {
        if refund.state == RefundState::Requested {
            self.due(DueWork::Refund(key.clone()), cx.now_ms);
        }
        self.refunds.insert(key, refund);
    }

    /// Goods of a refund go back to their cells (INV-15). Money alone never does.
    pub(super) fn give_back(&mut self, cx: LifeContext<'_>, refund: &Refund) {
        if mutants::on(Mutant::ReleaseAfterPaid) {
            return self.release();
        }
        self.follows.givebacks.extend(goods_of(self.id, refund, cx.policies));
    }

    /// What its refunds have given back to cells, or are about to (INV-15).
    pub fn returns(&self, policies: &Policies) -> Vec<(CellId, Giveback)> {
        let moved = |id: &RefundId| self.parts(id).all(|(_, part)| part.state.has_moved());
        let given = self.granted().into_iter().filter(|(id, r)| r.restocks && moved(id));
        given.flat_map(|(_, refund)| goods_of(self.id, refund, policies)).collect()
    }

    /// What of its money went back because somebody asked, minor units (INV-18).
    pub(super) fn repaid(&self) -> i64 {
        sum(self.paying().map(|(key, payment)| self.moved_granted(key).min(payment.keep)))
    }

    /// What of a payment moved back, minor units.
    pub(super) fn moved(&self, payment: &PaymentKey) -> i64 {
        let moved = self.of_payment(payment).filter(|(_, r)| r.state.has_moved());
        sum(moved.map(|(_, r)| r.amount))
    }

    /// What of that somebody asked for.
    pub(super) fn moved_granted(&self, payment: &PaymentKey) -> i64 {
        let granted =
            |(_, r): &(&RefundKey, &Refund)| r.sort == RefundSort::Granted && r.state.has_moved();
        sum(self.of_payment(payment).filter(granted).map(|(_, r)| r.amount))
    }

    /// Payments that pay this order, in their order.
    pub(super) fn paying(&self) -> impl Iterator<Item = (&PaymentKey, &Payment)> {
        self.payments.iter().filter(|(_, p)| p.fate == Some(PaymentFate::Order(self.id)))
    }
}

/// The goods of a refund on their way back.
fn goods_of<'a>(
    order: OrderId,
    refund: &'a Refund,
    policies: &'a Policies,
) -> impl Iterator<Item = (CellId, Giveback)> + 'a {
    let lines = refund.ordinal.into_iter().flat_map(|n| refund.lines.iter().map(move |l| (n, l)));
    lines.map(move |(ordinal, (cell, units))| {
        let frees_limit = !policies.of(&cell.offer).limit_counts_ever;
        let gives = Gives::Return { ordinal, units: *units, frees_limit };
        (cell.clone(), Giveback { order, gives })
    })
}

/// A payment that captures more after its refund gets another one.
fn may_follow(refunds: u32) -> bool {
    if mutants::on(Mutant::NeedOnce) {
        return refunds == 0;
    }
    true
}

/// A sum that stops at the end of numbers.
pub(super) fn sum(amounts: impl Iterator<Item = i64>) -> i64 {
    amounts.fold(0, i64::saturating_add)
}

impl Refund {
    pub(super) fn automatic(amount: i64) -> Self {
        Self {
            sort: RefundSort::Automatic,
            amount,
            lines: Vec::new(),
            asked: amount,
            is_whole: false,
            restocks: false,
            ordinal: None,
            state: RefundState::Requested,
            tries: 0,
            first_sent_ms: 0,
            moved_ms: 0,
        }
    }
}
