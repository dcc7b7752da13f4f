//! When everything is quiet: the money adds up, the provider's books against ours (INV-17, INV-18),
//! nothing that had to follow is left (INV-20), and one purchase is one order.

use std::collections::BTreeMap;

use domain::frame::{self, Item};
use domain::life::{
    Life, Lives, Payment, PaymentFate, PaymentId, PaymentKey, Policies, Refund, RefundKey,
    RefundSort, TaskDraft, audit,
};
use domain::{Kind, OrderId, RowStatus};
use orderlog::port::Partition;
use testkit::memory::StoredFrame;

use super::Oracle;
use super::lives::told_early;
use crate::bank::News;
use crate::world::World;

impl Oracle {
    /// What of lives still moves.
    pub(super) fn restless_lives(&self, world: &World) -> Option<String> {
        world.plan.lives?;
        if unread(world) {
            return Some("news are not joined".to_owned());
        }
        if let Some(work) = world.store.life_work_now().into_iter().next() {
            return Some(format!("{work} is to be done"));
        }
        if let Some(text) = self.unjoined(world) {
            return Some(text);
        }
        world.store.lives_now().values().find_map(waits)
    }

    /// The last look at lives.
    pub(super) fn money(&mut self, world: &World) {
        if world.plan.lives.is_none() {
            return;
        }
        let all = world.store.lives_now();
        for life in all.values() {
            self.all(audit::when_quiet(life));
            self.all(told_early(world, life).into_iter().collect());
        }
        let kept = self.kept(world, &all);
        for (order, life) in &all {
            self.order_keeps(*order, life, kept.get(order).copied().unwrap_or(0));
        }
        self.goods_are_back(&all);
        self.one_purchase(&all);
        // A ledger that has lost a claim refuses what comes back of it, until the rewind.
        if !self.db_lost {
            self.refused_givebacks(world);
        }
        if let Some(text) = self.unjoined(world) {
            self.bad("INV-17", text);
        }
    }

    /// What each order keeps, by the provider's books; money that nobody keeps is back.
    fn kept(&mut self, world: &World, all: &Lives) -> BTreeMap<OrderId, i64> {
        let mut kept = BTreeMap::new();
        for (key, booked, back) in world.bank.payments() {
            let has = booked.captured - back;
            let ours = all.values().find_map(|l| l.payments.get(&key).map(|p| (l, p)));
            let Some((life, payment)) = ours else {
                // Nobody here has opened it, or knows that, and all its callbacks were lost.
                let is_ours = key.payment.as_str().starts_with("s-") && !self.db_lost;
                if is_ours || self.is_taken(&key) {
                    self.bad("INV-17", format!("{key}: {has} captured, never heard of"));
                }
                continue;
            };
            let waits = life.status().is_none_or(|s| s == RowStatus::Pending);
            match payment.fate {
                Some(PaymentFate::Order(order)) => *kept.entry(order).or_insert(0) += has,
                Some(PaymentFate::Back) if has == 0 => {}
                None if waits || payment.captured == 0 => {
                    self.unheard(&key, payment.captured, booked.captured)
                }
                Some(PaymentFate::Back | PaymentFate::Late) | None => {
                    let text = format!("{key}: {has} kept, {:?} {:?}", payment.fate, life.status());
                    self.bad("INV-17", text);
                }
            }
        }
        kept
    }

    fn is_taken(&self, key: &PaymentKey) -> bool {
        self.lives.taken.iter().any(|(news, _)| news.payment == key.payment)
    }

    /// A payment that waits has what is known of it; more only if that was never told.
    fn unheard(&mut self, key: &PaymentKey, known: i64, has: i64) {
        let told = self.lives.taken.iter().filter(|(news, _)| news.payment == key.payment);
        let told = told.map(|(news, _)| news.minor).max().unwrap_or(0);
        if told > known || known > has {
            self.bad("INV-17", format!("{key}: {told} told, {known} known, {has} there"));
        }
    }

    /// INV-18: a sold order keeps what it costs less what was granted and moved, any other nothing.
    fn order_keeps(&mut self, id: OrderId, life: &Life, kept: i64) {
        let Some(order) = &life.order else {
            if kept != 0 {
                self.bad("INV-17", format!("{kept} kept for {id}, which is none"));
            }
            return;
        };
        let moved = |key: &PaymentKey, which: fn(RefundSort) -> bool| -> i64 {
            let is = |(of, r): &(&RefundKey, &Refund)| {
                of.payment == *key && r.state.has_moved() && which(r.sort)
            };
            life.refunds.iter().filter(is).map(|(_, r)| r.amount).sum()
        };
        let pays = |(_, p): &(&PaymentKey, &Payment)| p.fate == Some(PaymentFate::Order(id));
        let paying = || life.payments.iter().filter(pays);
        let granted: i64 = paying().map(|(key, _)| moved(key, |s| s == RefundSort::Granted)).sum();
        let want = match order.status.is_paid() {
            // Money may have gone back before the database lost that, and somebody paid again.
            true if self.db_lost => paying().map(|(k, p)| p.captured - moved(k, |_| true)).sum(),
            true => order.amount - granted,
            false => 0,
        };
        if kept != want {
            let status = order.status;
            self.bad("INV-18", format!("{id} {status:?} keeps {kept}, should {want}"));
        }
        let is_over = order.status == RowStatus::Refunded;
        if is_over && granted != order.amount && !self.db_lost {
            self.bad("INV-18", format!("{id} is refunded with {granted} of {}", order.amount));
        }
    }

    /// INV-15: what refunds gave back their cells have, unless they never gave it.
    fn goods_are_back(&mut self, all: &Lives) {
        let mut missing = None;
        for (cell, give) in all.values().flat_map(|life| life.returns(&Policies::default())) {
            let has =
                self.cells.get(&cell).map(|facts| facts.watch.kind(give.order, give.gives.class()));
            if has == Some(None) && self.verdict(&cell, give.order).0 == Some(Kind::Claim) {
                missing.get_or_insert(format!(
                    "{cell}: {:?} of {} is not there",
                    give.gives, give.order
                ));
            }
        }
        if let Some(text) = missing {
            self.bad("INV-15", text);
        }
    }

    /// INV-17: of an order and what its late payments bought one at most is sold.
    fn one_purchase(&mut self, all: &Lives) {
        let mut sold = BTreeMap::<OrderId, u32>::new();
        for (id, life) in all {
            let Some(order) = &life.order else { continue };
            if order.status.is_paid() {
                *sold.entry(order.supersedes.unwrap_or(*id)).or_insert(0) += 1;
            }
        }
        if let Some((order, n)) = sold.iter().find(|(_, n)| **n > 1) {
            self.bad("INV-17", format!("{n} paid orders of the purchase {order}"));
        }
    }

    /// INV-20: no ledger refused units of an order.
    fn refused_givebacks(&mut self, world: &World) {
        for (kind, subject) in world.store.open_tasks_now() {
            let draft = TaskDraft::stored(kind, &subject);
            if let Some(TaskDraft::Giveback(cell, class)) = draft {
                self.bad("INV-20", format!("{cell} refused {subject} (class {class})"));
            }
        }
    }

    /// What was answered 200 and is not known.
    fn unjoined(&self, world: &World) -> Option<String> {
        let lives = world.store.lives_now();
        let payments = lives.values().flat_map(|life| &life.payments);
        let known: BTreeMap<&PaymentId, i64> =
            payments.map(|(key, payment)| (&key.payment, payment.captured)).collect();
        let has = |news: &News| known.get(&news.payment).copied().unwrap_or(0);
        let lost = self.lives.taken.iter().map(|(news, _)| news).find(|n| has(n) < n.minor);
        lost.map(|n| format!("{}: {} was taken, {} is known", n.payment, n.minor, has(n)))
    }
}

/// What of an order is still to come: money that goes back, a payment, an end of its refunds.
fn waits(life: &Life) -> Option<String> {
    let refund = life.refunds.iter().find(|(_, r)| !r.state.is_final());
    if let Some((key, refund)) = refund {
        return Some(format!("refund {} is {:?}", key.refund, refund.state));
    }
    let order = life.order.as_ref()?;
    let pending = order.status == RowStatus::Pending && order.expires_at.is_some();
    let waits = pending || order.status == RowStatus::Refunding;
    waits.then(|| format!("{} is {:?}", life.id, order.status))
}

/// True while news wait in the log. Of those that a clerk has the ack may be lost.
fn unread(world: &World) -> bool {
    let parts = (0..world.plan.databases).map(Partition::Life);
    let news = |frame: &StoredFrame| {
        let items = frame::decode(&frame.frame).unwrap_or_default();
        items.iter().any(|i| matches!(i, Item::News(_)))
    };
    parts.flat_map(|p| world.log.unacked(p)).any(|frame| !frame.out && news(&frame))
}
