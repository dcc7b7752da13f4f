//! The verdict on lives: pure. Each order is where its role says, each cell's units are those of
//! living orders, and the provider's books are ours, payment by payment and refund by refund.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use domain::life::{Life, Payment, PaymentFate, PaymentState, RefundState, audit};
use domain::{CellId, OrderId, RowStatus, Totals};

use super::role::LifeRole;
use crate::provider::ProviderBooks;

/// What is stored.
pub(super) struct LifeFacts {
    /// By the order's number; `None`: its buyer never heard of one.
    pub known: Vec<Option<OrderId>>,
    /// Of these orders and their successors.
    pub lives: HashMap<OrderId, Life>,
    pub cells: BTreeMap<CellId, Totals>,
    /// Open tasks of the deployment.
    pub tasks: usize,
    /// News that the provider has still to tell.
    pub untold: usize,
    /// Steps of buyers that were given up: the crowd did not do what the roles say.
    pub given_up: u32,
}

/// What it comes to.
#[derive(Debug, Default)]
pub(crate) struct LifeVerdict {
    /// Orders by role and status.
    pub table: BTreeMap<(LifeRole, &'static str), u32>,
    pub bought_again: u32,
    /// Minor units that came in, that the shop keeps, that went back, by the provider's books.
    pub money: (i64, i64, i64),
    pub tasks: usize,
    pub violations: Vec<String>,
}

impl LifeVerdict {
    pub(crate) fn is_conserved(&self) -> bool {
        self.violations.is_empty()
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for ((role, status), n) in &self.table {
            let role = format!("{role:?}").to_lowercase();
            let _ = writeln!(out, "  {role:<10} {status:<10} {n:>8}");
        }
        let (came, kept, back) = self.money;
        let _ = writeln!(out, "  bought again        {:>8}", self.bought_again);
        let _ = writeln!(out, "  money in            {came:>12}");
        let _ = writeln!(out, "  money kept          {kept:>12}");
        let _ = writeln!(out, "  money back          {back:>12}");
        let _ = writeln!(out, "  open tasks          {:>8}", self.tasks);
        for one in self.violations.iter().take(20) {
            let _ = writeln!(out, "  {one}");
        }
        let word = if self.is_conserved() { "conserved" } else { "BROKEN" };
        let _ = write!(out, "\nverdict: {word}");
        out
    }
}

/// Judges.
pub(super) fn judge(seed: u64, facts: &LifeFacts, books: &ProviderBooks) -> LifeVerdict {
    let mut v = LifeVerdict { tasks: facts.tasks, ..LifeVerdict::default() };
    for (number, order) in (0u32..).zip(&facts.known) {
        match order.and_then(|id| facts.lives.get(&id)) {
            Some(life) => order_ends(&mut v, LifeRole::of(seed, number), life, facts),
            None => v.violations.push(format!("order {number}: nobody knows what became of it")),
        }
    }
    for life in facts.lives.values() {
        v.violations
            .extend(audit::when_quiet(life).into_iter().map(|b| format!("{} {}", b.id, b.detail)));
    }
    units(&mut v, facts);
    both_books(&mut v, facts, books);
    if facts.given_up > 0 {
        v.violations.push(format!("{} steps had no answer in time", facts.given_up));
    }
    if facts.untold > 0 {
        v.violations.push(format!("the provider has {} news to tell", facts.untold));
    }
    v
}

fn order_ends(v: &mut LifeVerdict, role: LifeRole, life: &Life, facts: &LifeFacts) {
    let Some(order) = &life.order else {
        return v.violations.push(format!("{} ({role:?}): no row", life.id));
    };
    *v.table.entry((role, order.status.as_str())).or_default() += 1;
    let mut kept = if order.captured > 0 { order.captured - order.refunded } else { 0 };
    if role == LifeRole::Late {
        let next = order.superseded_by.and_then(|id| facts.lives.get(&id));
        let paid = next.and_then(|l| l.order.as_ref()).filter(|o| o.status == RowStatus::Paid);
        v.bought_again += u32::from(paid.is_some());
        kept += paid.map_or(0, |o| o.captured - o.refunded);
        // One that was authorised first may have been closed before its capture: nothing came.
        let waits = |p: &Payment| match p.fate {
            None | Some(PaymentFate::Late) => p.captured > 0 || !p.closed,
            Some(PaymentFate::Order(_) | PaymentFate::Back) => false,
        };
        if life.payments.is_empty() || life.payments.values().any(waits) {
            v.violations.push(format!("{} ({role:?}): its payment waits", life.id));
        }
    }
    v.money.1 += kept;
    if order.status != role.ends() {
        let (is, want) = (order.status.as_str(), role.ends().as_str());
        v.violations.push(format!("{} ({role:?}): {is}, must be {want}", life.id));
    }
    if role != LifeRole::Late && kept != role.keeps() {
        v.violations.push(format!("{} ({role:?}): keeps {kept}, must {}", life.id, role.keeps()));
    }
}

/// INV-11: net is the claims of living orders, less what refunds brought back.
fn units(v: &mut LifeVerdict, facts: &LifeFacts) {
    let mut net = BTreeMap::<CellId, i64>::new();
    for order in facts.lives.values().filter_map(|l| l.order.as_ref()) {
        for line in order.lines.iter().filter(|_| order.status.is_live()) {
            *net.entry(line.cell.clone()).or_default() += i64::from(line.qty);
        }
    }
    for refund in facts.lives.values().flat_map(|l| l.granted_refunds().into_values()) {
        if refund.state == RefundState::Succeeded {
            for (cell, units) in refund.lines {
                *net.entry(cell).or_default() -= i64::from(units);
            }
        }
    }
    for (cell, totals) in &facts.cells {
        let (is, want) = (totals.net, net.get(cell).copied().unwrap_or(0));
        if is != want {
            v.violations.push(format!("INV-11 {cell}: net {is}, living orders have {want}"));
        }
    }
}

/// Payment by payment, refund by refund, both ways.
fn both_books(v: &mut LifeVerdict, facts: &LifeFacts, books: &ProviderBooks) {
    let mut ours = BTreeMap::<String, (i64, i64)>::new();
    for life in facts.lives.values() {
        for (key, payment) in
            life.payments.iter().filter(|(_, p)| p.state == PaymentState::Captured)
        {
            ours.entry(key.payment.to_string()).or_default().0 = payment.captured;
        }
        for (key, refund) in life.refunds.iter().filter(|(_, r)| r.state == RefundState::Succeeded)
        {
            ours.entry(key.payment.payment.to_string()).or_default().1 += refund.amount;
        }
    }
    let mut theirs = BTreeMap::<String, (i64, i64)>::new();
    for (id, payment) in books.payments.iter().filter(|(_, p)| p.captured > 0) {
        theirs.entry(id.clone()).or_default().0 = payment.captured;
        v.money.0 += payment.captured;
    }
    for (payment, amount) in books.refunds.values() {
        theirs.entry(payment.clone()).or_default().1 += amount;
        v.money.2 += amount;
    }
    for (id, them) in &theirs {
        let us = ours.get(id).copied().unwrap_or_default();
        if us != *them {
            v.violations.push(format!("{id}: captured and back {them:?} there, {us:?} here"));
        }
    }
    for id in ours.keys().filter(|id| !theirs.contains_key(*id)) {
        v.violations.push(format!("{id}: the provider does not know it"));
    }
    let (came, kept, back) = v.money;
    if came != kept + back {
        v.violations.push(format!("INV-18: {came} came in, {kept} is kept, {back} went back"));
    }
}
