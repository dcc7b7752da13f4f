//! The verdict on lives: pure. Each order is where its role says, each cell's units are those of
//! living orders, and the provider's books are ours, payment by payment and refund by refund.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::life::{Life, Payment, PaymentFate, PaymentState, RefundState, audit};
use domain::{CellId, RowStatus, Totals};

use serde_json::{Value, json};

use super::role::LifeRole;
use crate::provider::ProviderBooks;

/// The most violations that are printed.
const SHOWN: usize = 20;

/// What is known besides the orders.
pub(super) struct LifeFacts {
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

    /// `verdict: ...`, one line.
    pub(crate) fn line(&self) -> &'static str {
        if self.is_conserved() { "verdict: conserved" } else { "verdict: BROKEN" }
    }

    /// For a machine.
    pub(crate) fn json(&self) -> Value {
        let mut orders = BTreeMap::<String, BTreeMap<&str, u32>>::new();
        for ((role, status), n) in &self.table {
            orders.entry(role.to_string()).or_default().insert(status, *n);
        }
        let (came, kept, back) = self.money;
        json!({
            "orders": orders,
            "bought_again": self.bought_again,
            "money": {"in": came, "kept": kept, "back": back},
            "tasks": self.tasks,
            "verdict": if self.is_conserved() { "conserved" } else { "broken" },
            "violations": self.violations.iter().take(1000).collect::<Vec<_>>(),
        })
    }

    /// For a person.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for ((role, status), n) in &self.table {
            let role = role.to_string();
            let _ = writeln!(out, "  {role:<10} {status:<10} {n:>8}");
        }
        let (came, kept, back) = self.money;
        let _ = writeln!(out, "  bought again        {:>8}", self.bought_again);
        let _ = writeln!(out, "  money in            {came:>12}");
        let _ = writeln!(out, "  money kept          {kept:>12}");
        let _ = writeln!(out, "  money back          {back:>12}");
        let _ = writeln!(out, "  open tasks          {:>8}", self.tasks);
        for one in self.violations.iter().take(SHOWN) {
            let _ = writeln!(out, "  {one}");
        }
        if let more @ 1.. = self.violations.len().saturating_sub(SHOWN) {
            let _ = writeln!(out, "  and {more} more");
        }
        let _ = write!(out, "\n{}", self.line());
        out
    }
}

/// Judges order by order, so that a run of any size is judged in little memory.
#[derive(Default)]
pub(super) struct Judging {
    verdict: LifeVerdict,
    /// Units that living orders have, less what refunds brought back.
    net: BTreeMap<CellId, i64>,
    /// Captured and back, by payment.
    ours: BTreeMap<String, (i64, i64)>,
}

impl Judging {
    fn fault(&mut self, what: String) {
        self.verdict.violations.push(what);
    }

    /// One order and, where it was bought again, its successor; `None`: nobody heard of it.
    pub(super) fn order(
        &mut self,
        number: u32,
        role: LifeRole,
        lives: Option<(&Life, Option<&Life>)>,
    ) {
        let Some((life, next)) = lives else {
            return self.fault(format!("order {number}: nobody knows what became of it"));
        };
        self.ends(role, life, next);
        for life in [Some(life), next].into_iter().flatten() {
            for broken in audit::when_quiet(life) {
                self.fault(format!("{} {}", broken.id, broken.detail));
            }
            self.units(life);
            self.book(life);
        }
    }

    fn ends(&mut self, role: LifeRole, life: &Life, next: Option<&Life>) {
        let Some(order) = &life.order else {
            return self.fault(format!("{} ({role:?}): no row", life.id));
        };
        *self.verdict.table.entry((role, order.status.as_str())).or_default() += 1;
        let mut kept = if order.captured > 0 { order.captured - order.refunded } else { 0 };
        if role == LifeRole::Late {
            let paid = next.and_then(|l| l.order.as_ref()).filter(|o| o.status == RowStatus::Paid);
            self.verdict.bought_again += u32::from(paid.is_some());
            kept += paid.map_or(0, |o| o.captured - o.refunded);
            if life.payments.is_empty() || life.payments.values().any(waits) {
                self.fault(format!("{} ({role:?}): its payment waits", life.id));
            }
        } else if kept != role.keeps() {
            self.fault(format!("{} ({role:?}): keeps {kept}, must {}", life.id, role.keeps()));
        }
        self.verdict.money.1 += kept;
        if order.status != role.ends() {
            let (is, want) = (order.status.as_str(), role.ends().as_str());
            self.fault(format!("{} ({role:?}): {is}, must be {want}", life.id));
        }
    }

    /// INV-11: net is the claims of living orders, less what refunds brought back.
    fn units(&mut self, life: &Life) {
        let Some(order) = life.order.as_ref().filter(|o| o.status.is_live()) else { return };
        for line in &order.lines {
            *self.net.entry(line.cell.clone()).or_default() += i64::from(line.qty);
        }
        for refund in life.granted_refunds().into_values() {
            if refund.state == RefundState::Succeeded {
                for (cell, units) in refund.lines {
                    *self.net.entry(cell).or_default() -= i64::from(units);
                }
            }
        }
    }

    fn book(&mut self, life: &Life) {
        for (key, payment) in &life.payments {
            if payment.state == PaymentState::Captured {
                self.ours.entry(key.payment.to_string()).or_default().0 = payment.captured;
            }
        }
        for (key, refund) in &life.refunds {
            if refund.state == RefundState::Succeeded {
                self.ours.entry(key.payment.payment.to_string()).or_default().1 += refund.amount;
            }
        }
    }

    /// After the last order.
    pub(super) fn end(mut self, facts: &LifeFacts, books: &ProviderBooks) -> LifeVerdict {
        self.verdict.tasks = facts.tasks;
        for (cell, totals) in &facts.cells {
            let (is, want) = (totals.net, self.net.get(cell).copied().unwrap_or(0));
            if is != want {
                self.fault(format!("INV-11 {cell}: net {is}, living orders have {want}"));
            }
        }
        self.both_books(books);
        if facts.given_up > 0 {
            self.fault(format!("{} steps had no answer in time", facts.given_up));
        }
        if facts.untold > 0 {
            self.fault(format!("the provider has {} news to tell", facts.untold));
        }
        self.verdict
    }

    /// Payment by payment, refund by refund, both ways.
    fn both_books(&mut self, books: &ProviderBooks) {
        let mut theirs = BTreeMap::<String, (i64, i64)>::new();
        let (mut came, mut back) = (0, 0);
        for (id, payment) in books.payments.iter().filter(|(_, p)| p.captured > 0) {
            theirs.entry(id.clone()).or_default().0 = payment.captured;
            came += payment.captured;
        }
        for (payment, amount) in books.refunds.values() {
            theirs.entry(payment.clone()).or_default().1 += amount;
            back += amount;
        }
        let ours = std::mem::take(&mut self.ours);
        for (id, them) in &theirs {
            let us = ours.get(id).copied().unwrap_or_default();
            if us != *them {
                self.fault(format!("{id}: captured and back {them:?} there, {us:?} here"));
            }
        }
        for id in ours.keys().filter(|id| !theirs.contains_key(*id)) {
            self.fault(format!("{id}: the provider does not know it"));
        }
        let kept = self.verdict.money.1;
        if came != kept + back {
            self.fault(format!("INV-18: {came} came in, {kept} is kept, {back} went back"));
        }
        self.verdict.money = (came, kept, back);
    }
}

/// True for money that nobody has decided on. One that was authorised first may have been closed
/// before its capture: nothing came.
fn waits(payment: &Payment) -> bool {
    match payment.fate {
        None | Some(PaymentFate::Late) => payment.captured > 0 || !payment.closed,
        Some(PaymentFate::Order(_) | PaymentFate::Back) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::life::{LifeLine, OrderState, PaymentKey};
    use domain::{CampaignNo, OrderId};

    use super::super::role::PRICE;
    use super::*;
    use crate::provider::BookedPayment;

    fn cell() -> CellId {
        "shoe.0".parse().unwrap()
    }

    fn id(number: u32) -> OrderId {
        OrderId::compose(CampaignNo(3), 77, 5, number)
    }

    /// As it is bought and as `role` ends when everything goes right.
    fn life(number: u32, role: LifeRole) -> Life {
        let id = id(number);
        let order = OrderState {
            status: role.ends(),
            version: 2,
            amount: PRICE,
            currency: "EUR".into(),
            lines: vec![LifeLine { cell: cell(), qty: 1, unit_minor: PRICE }],
            anchor: 0,
            expires_at: None,
            captured: role.keeps(),
            refunded: 0,
            supersedes: None,
            superseded_by: None,
            came_from: None,
        };
        let mut life = Life { order: Some(order), ..Life::new(id) };
        if role == LifeRole::Paid {
            let key: PaymentKey = format!("load/{number}").parse().unwrap();
            let paid = Payment {
                state: PaymentState::Captured,
                captured: PRICE,
                keep: PRICE,
                fate: Some(PaymentFate::Order(id)),
                ..Payment::new(id, "EUR")
            };
            life.payments.insert(key, paid);
        }
        life
    }

    struct Sale {
        seed: u64,
        lives: Vec<Life>,
        facts: LifeFacts,
        books: ProviderBooks,
    }

    impl Sale {
        /// Orders of the two roles that end by themselves.
        fn new() -> Self {
            let seed = 11;
            let roles = (0..200).map(|n| (n, LifeRole::of(seed, n)));
            let plain = |role| matches!(role, LifeRole::Paid | LifeRole::Unpaid);
            let lives: Vec<Life> = roles
                .map(|(n, role)| life(n, if plain(role) { role } else { LifeRole::Unpaid }))
                .collect();
            let mut books = ProviderBooks::default();
            let paid = lives.iter().filter(|l| !l.payments.is_empty());
            for key in paid.flat_map(|l| l.payments.keys()) {
                let payment = BookedPayment {
                    order: String::new(),
                    captured: PRICE,
                    currency: "EUR".into(),
                    closed: false,
                };
                books.payments.insert(key.payment.to_string(), payment);
            }
            let net = books.payments.len() as i64;
            let cells = BTreeMap::from([(cell(), Totals { net, ..Totals::default() })]);
            let facts = LifeFacts { cells, tasks: 0, untold: 0, given_up: 0 };
            Self { seed, lives, facts, books }
        }

        fn judge(&self) -> LifeVerdict {
            let mut judging = Judging::default();
            for (number, life) in (0..).zip(&self.lives) {
                if matches!(LifeRole::of(self.seed, number), LifeRole::Paid | LifeRole::Unpaid) {
                    judging.order(number, LifeRole::of(self.seed, number), Some((life, None)));
                }
            }
            judging.end(&self.facts, &self.books)
        }

        fn paid(&mut self) -> &mut Life {
            self.lives.iter_mut().find(|l| !l.payments.is_empty()).unwrap()
        }
    }

    #[test]
    fn a_sale_in_which_all_went_right_is_conserved() {
        let verdict = Sale::new().judge();
        assert_eq!(verdict.violations, [] as [&str; 0]);
        let (came, kept, back) = verdict.money;
        assert!(came > 100 * PRICE && came == kept && back == 0, "{came} {kept} {back}");
        assert!(verdict.text().ends_with("verdict: conserved"));
    }

    #[test]
    fn each_way_to_lose_money_or_units_is_found() {
        type Breaks = fn(&mut Sale);
        let cases: [(&str, Breaks); 11] = [
            ("no row", |s| s.paid().order = None),
            ("must be paid", |s| s.paid().order.as_mut().unwrap().status = RowStatus::Expired),
            ("keeps 999", |s| s.paid().order.as_mut().unwrap().captured -= 1),
            ("INV-17", |s| s.paid().payments.values_mut().for_each(|p| p.keep = 0)),
            ("here", |s| s.paid().payments.clear()),
            ("does not know it", |s| drop(s.books.payments.pop_first())),
            ("INV-18", |s| s.books.payments.values_mut().next().unwrap().captured += 1),
            ("back (1000, 5) there", |s| {
                let payment = s.books.payments.keys().next().unwrap().clone();
                s.books.refunds.insert("r".into(), (payment, 5));
            }),
            ("INV-11", |s| s.facts.cells.values_mut().for_each(|t| t.net += 1)),
            ("2 steps had no answer", |s| s.facts.given_up = 2),
            ("3 news to tell", |s| s.facts.untold = 3),
        ];
        for (says, breaks) in cases {
            let mut sale = Sale::new();
            breaks(&mut sale);
            let verdict = sale.judge();
            let found = verdict.violations.iter().any(|v| v.contains(says));
            assert!(found, "{says}: {:?}", verdict.violations);
            assert!(verdict.text().ends_with("verdict: BROKEN"));
            assert_eq!(verdict.json()["verdict"], "broken");
        }
    }

    #[test]
    fn an_order_that_nobody_heard_of_is_found() {
        let mut judging = Judging::default();
        judging.order(7, LifeRole::Paid, None);
        let facts = LifeFacts { cells: BTreeMap::new(), tasks: 0, untold: 0, given_up: 0 };
        let verdict = judging.end(&facts, &ProviderBooks::default());
        assert_eq!(verdict.violations, ["order 7: nobody knows what became of it"]);
    }
}
