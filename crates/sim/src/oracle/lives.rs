//! After every transaction, what must hold of orders after their rows: INV-9, INV-15 to INV-19,
//! INV-21, and that what is told of money is what the provider did.

use std::collections::{BTreeMap, BTreeSet};

use domain::invariant::Violation;
use domain::ledger::Ordinal;
use domain::life::{
    CLOSE_TRIES, Life, Payment, PaymentFate, PaymentKey, Refund, RefundKey, RefundSort, Version,
    audit, refund_at_provider,
};
use domain::{CellId, OrderId, RowStatus, moves};
use store::port::OrderRow;

use super::Oracle;
use crate::bank::News;
use crate::world::World;

/// What is known of lives.
#[derive(Default)]
pub(super) struct LivesSeen {
    payments: BTreeMap<PaymentKey, Payment>,
    /// Orders that expired.
    dead: BTreeSet<OrderId>,
    /// News that a gate took: payment, all that was captured, when, UTC ms.
    pub(super) taken: Vec<(News, u64)>,
    /// Entries of returns that nobody has looked at yet.
    pub(super) returns: Vec<(CellId, OrderId, Ordinal, i64)>,
}

fn bad(id: &'static str, detail: String) -> Violation {
    Violation { id, detail }
}

impl Oracle {
    /// A gate answered 200: this is durable.
    pub fn news_taken(&mut self, world: &World, news: &News) {
        self.lives.taken.push((news.clone(), world.now_ms()));
    }

    /// The provider was asked for what must not be: more than there is, or two refunds by one key.
    /// Who forgot what it had sent asks for it again.
    pub fn provider_refuses(&mut self, why: String) {
        if !self.db_lost {
            self.bad("INV-16", why);
        }
    }

    /// What was seen of lives is not true any more.
    pub(super) fn lives_forked(&mut self) {
        self.lives.payments.clear();
        self.lives.dead.clear();
    }

    /// INV-9 and INV-19: history leads from what was seen before to what the row says.
    pub(super) fn lived(
        &mut self,
        world: &World,
        row: &OrderRow,
        before: Option<(RowStatus, u32)>,
    ) {
        let history = world.store.history_of(row.order);
        let (mut status, mut version) = before.unwrap_or((first(&history, row.status), 1));
        let known = version;
        for step in history.iter().filter(|h| h.version > known) {
            let Version { version: next, from, to, cause, .. } = step;
            if *next != version + 1 || *from != status {
                let text = format!("{}: version {next} from {from:?}", row.order);
                self.bad("INV-19", format!("{text} follows {version}, {status:?}"));
            }
            world.met("life", cause.as_str());
            if moves::find(*from, *to, *cause).is_none() {
                self.bad("INV-9", format!("{}: {from:?} became {to:?}, {cause:?}", row.order));
            }
            (status, version) = (*to, *next);
        }
        if (status, version) != (row.status, row.version) {
            let text = format!("{}: {:?} {}", row.order, row.status, row.version);
            self.bad("INV-19", format!("{text}, its history ends with {status:?} {version}"));
        }
    }

    /// Looks at everything that lives have.
    pub(super) fn lives(&mut self, world: &World) {
        if world.plan.lives.is_none() {
            return;
        }
        let all = world.store.lives_now();
        let mut found = Vec::new();
        for life in all.values() {
            found.extend(audit::at_any_time(life));
            found.extend(self.payments(life));
            found.extend(self.died_unclosed(life));
            if !self.db_lost {
                found.extend(self.died_in_time(life));
                found.extend(told_early(world, life));
            }
        }
        for (cell, order, ordinal, units) in std::mem::take(&mut self.lives.returns) {
            let says = all.get(&order).and_then(|life| says(life, &cell, ordinal));
            if says != Some(units) && !self.db_lost {
                let text =
                    format!("{cell}: {units} units of {order} are back, refunds say {says:?}");
                found.push(bad("INV-15", text));
            }
        }
        self.all(found);
    }

    /// A payment grows, and its fate is set once; from late once more.
    fn payments(&mut self, life: &Life) -> Option<Violation> {
        let mut found = None;
        for (key, now) in life.payments.iter().filter(|(_, p)| p.home() == life.id) {
            let Some(was) = self.lives.payments.insert(key.clone(), now.clone()) else { continue };
            if was == *now {
                continue;
            }
            let shrinks =
                now.state < was.state || now.captured < was.captured || (was.closed && !now.closed);
            let turns = match (was.fate, now.fate) {
                (None, _) | (Some(PaymentFate::Late), Some(_)) => false,
                (before, after) => before != after || now.keep != was.keep,
            };
            if shrinks || turns {
                let text = format!("{key}: {was:?} became {now:?}");
                found.get_or_insert(bad("INV-17", text));
            }
        }
        found
    }

    /// Before an order expires its payments are closed, or their provider was asked often enough.
    fn died_unclosed(&mut self, life: &Life) -> Option<Violation> {
        if life.status() != Some(RowStatus::Expired) || !self.lives.dead.insert(life.id) {
            return None;
        }
        let open = |(_, p): &(&PaymentKey, &Payment)| !p.closed && p.asked < CLOSE_TRIES;
        let (key, payment) = life.payments.iter().find(open)?;
        Some(bad("LIFE 3", format!("{} expired before {key} was closed: {payment:?}", life.id)))
    }

    /// INV-21: what was answered 200 before its time was over pays an order.
    fn died_in_time(&self, life: &Life) -> Option<Violation> {
        let order = life.order.as_ref().filter(|o| o.status == RowStatus::Expired)?;
        let over = order.expires_at?;
        let told = |key: &PaymentKey| {
            let news = self.lives.taken.iter().filter(|(news, at)| {
                news.payment == key.payment && news.currency == order.currency && *at < over
            });
            news.map(|(news, _)| news.minor).max().unwrap_or(0)
        };
        let own = life.payments.iter().filter(|(_, p)| p.order == life.id);
        let paid: i64 = own.map(|(key, _)| told(key)).sum();
        (paid >= order.amount && order.amount > 0).then(|| {
            let text = format!("{} expired with {paid} of {} told", life.id, order.amount);
            bad("INV-21", text)
        })
    }
}

fn first(history: &[Version], status: RowStatus) -> RowStatus {
    history.first().map_or(status, |h| h.from)
}

/// `refunded` is told only when the money has moved.
pub(super) fn told_early(world: &World, life: &Life) -> Option<Violation> {
    let told = life.refunds.iter().filter(|(_, r)| r.state.has_moved());
    let moved = |(key, r): &(&RefundKey, &Refund)| {
        world.bank.moved(&refund_at_provider(&world.identity, life.id, key, r))
    };
    told.into_iter().find(|one| moved(one) != one.1.amount).map(|(key, refund)| {
        let (moved, all) = (moved(&(key, refund)), refund.amount);
        let text = format!("{} {}: {moved} of {all} moved", life.id, key.refund);
        bad("INV-18", format!("{text}, and it is told"))
    })
}

/// Units that go back to a cell with the refund of this number, when all of its money moved.
fn says(life: &Life, cell: &CellId, ordinal: Ordinal) -> Option<i64> {
    let of = |r: &&Refund| r.ordinal == Some(ordinal) && r.sort == RefundSort::Granted;
    let parts: Vec<&Refund> = life.refunds.values().filter(of).collect();
    let first = parts.first().filter(|_| parts.iter().all(|r| r.state.has_moved()))?;
    first.lines.iter().find(|(of, _)| of == cell).map(|(_, units)| i64::from(*units))
}
