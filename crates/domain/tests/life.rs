//! The life of an order after its row: the table of what a payment comes to, repetition and order
//! of news, and the books (INV-15 to INV-18).
#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::collections::BTreeMap;

use domain::ledger::Kind;
use domain::life::{
    self, Actor, AskedRefund, Cancelled, DueWork, LatePolicy, Life, LifeContext, LifeLine,
    MatchState, OfferPolicy, OrderState, Parcel, Payment, PaymentFate, PaymentKey, PaymentNews,
    Policies, Portion, ProviderEvent, RefundAnswer, RefundAsk, RefundKey, RefundPolicy, RefundSort,
    RefundState, Restock, TaskDraft,
};
use domain::moves::Cause;
use domain::{CampaignNo, CellId, Gives, Identity, OrderId, RowStatus};
use proptest::prelude::*;
use sluicegate_domain as domain;

const AMOUNT: i64 = 100;
const NOW: u64 = 1_800_000_000_000;

fn id() -> OrderId {
    OrderId::compose(CampaignNo(3), 77, 5, 9)
}

fn cell(n: u8) -> CellId {
    format!("shoe.{n}").parse().unwrap()
}

/// A pending order of 100: two units for 30 from one cell, one for 40 from another.
fn pending() -> Life {
    let line = |n, qty, unit_minor| LifeLine { cell: cell(n), qty, unit_minor };
    let order = OrderState {
        status: RowStatus::Pending,
        version: 1,
        amount: AMOUNT,
        currency: "EUR".into(),
        lines: vec![line(0, 2, 30), line(1, 1, 40)],
        anchor: 1,
        expires_at: Some(NOW),
        captured: 0,
        refunded: 0,
        supersedes: None,
        superseded_by: None,
        came_from: None,
    };
    Life { order: Some(order), ..Life::new(id()) }
}

/// What the transactions of a test are told.
struct Desk {
    actor: Actor,
    policies: Policies,
    identity: Identity,
}

impl Desk {
    fn new(policy: OfferPolicy) -> Self {
        Self {
            actor: Actor::Clerk,
            policies: Policies::new([("shoe".parse().unwrap(), policy)]),
            identity: Identity::new(b"0123456789abcdef"),
        }
    }

    fn by(&self, actor: Actor) -> Self {
        Self { actor, policies: self.policies.clone(), identity: self.identity.clone() }
    }

    fn operator(&self) -> Self {
        self.by(Actor::Operator("olga".into()))
    }

    fn buyer(&self) -> Self {
        self.by(Actor::Buyer)
    }

    fn cx(&self) -> LifeContext<'_> {
        LifeContext {
            now_ms: NOW,
            actor: &self.actor,
            policies: &self.policies,
            identity: &self.identity,
        }
    }

    fn tell(&self, life: &mut Life, payment: &str, news: PaymentNews) {
        life::join(life, self.cx(), &event(payment, "EUR", news));
        sound(life);
    }

    fn captured(&self, life: &mut Life, payment: &str, amount: i64) {
        self.tell(life, payment, PaymentNews::Captured(amount));
    }

    fn ask(&self, life: &mut Life, refund: &str, portion: Portion) -> AskedRefund {
        let ask = RefundAsk { refund: refund.parse().unwrap(), portion };
        let answer = life::ask_refund(life, self.cx(), &ask);
        sound(life);
        answer
    }

    fn succeed(&self, life: &mut Life, key: &RefundKey) {
        let given = life::provider_key(&self.identity, life.id, key);
        let payment = key.payment.payment.as_str().to_owned();
        self.tell(life, &payment, PaymentNews::RefundSucceeded(given));
    }
}

fn event(payment: &str, currency: &str, news: PaymentNews) -> ProviderEvent {
    ProviderEvent {
        event: None,
        provider: "card".parse().unwrap(),
        payment: payment.parse().unwrap(),
        order: id(),
        currency: currency.into(),
        news,
        is_final: false,
    }
}

fn key(payment: &str) -> PaymentKey {
    format!("card/{payment}").parse().unwrap()
}

fn fate(life: &Life, payment: &str) -> Option<PaymentFate> {
    life.payments[&key(payment)].fate
}

/// What holds after every step: INV-9, INV-16, one version after the other.
fn sound(life: &Life) {
    assert_eq!(life.illegal, None);
    for (key, p) in &life.payments {
        assert!(life.going_back(key) <= p.captured, "INV-16 {key}: {life:?}");
        assert!((0..=p.captured).contains(&p.keep), "{p:?}");
    }
    let versions: Vec<u32> = life.follows.versions.iter().map(|v| v.version).collect();
    assert!(versions.windows(2).all(|w| w[0] + 1 == w[1]), "INV-19 {versions:?}");
    if let (Some(last), Some(order)) = (life.follows.versions.last(), &life.order) {
        assert_eq!((last.version, last.to), (order.version, order.status));
    }
}

/// Money kept, and money that goes back by itself.
fn money(life: &Life) -> (i64, i64) {
    let own = Some(PaymentFate::Order(life.id));
    let kept = life.payments.values().filter(|p| p.fate == own).map(|p| p.keep).sum();
    let auto = life.refunds.values().filter(|r| r.sort == RefundSort::Automatic);
    (kept, auto.filter(|r| r.state != RefundState::Failed).map(|r| r.amount).sum())
}

fn in_status(status: RowStatus) -> Life {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    let operator = desk.operator();
    let paid = |life: &mut Life| desk.captured(life, "first", AMOUNT);
    match status {
        RowStatus::Pending => {}
        RowStatus::Paid => paid(&mut life),
        RowStatus::Shipped | RowStatus::Completed => {
            paid(&mut life);
            let news =
                if status == RowStatus::Shipped { Parcel::Shipped } else { Parcel::Delivered };
            assert!(life::parcel(&mut life, operator.cx(), news));
        }
        RowStatus::Refunding | RowStatus::Refunded => {
            paid(&mut life);
            operator.ask(&mut life, "all", Portion::Whole);
            let key = life.refunds.keys().next().unwrap().clone();
            if status == RowStatus::Refunded {
                desk.succeed(&mut life, &key);
            }
        }
        RowStatus::Cancelled => {
            let ask = RefundAsk { refund: "c".parse().unwrap(), portion: Portion::Whole };
            assert_eq!(life::cancel(&mut life, desk.buyer().cx(), &ask), Cancelled::Done);
        }
        RowStatus::Expired => life::expire(&mut life, desk.cx()),
        // Rows are born so, or a rewind rejects them.
        RowStatus::Rejected => life.order.as_mut().unwrap().status = status,
    }
    assert_eq!(life.status(), Some(status));
    life
}

/// Every cell of the table "what it comes to".
#[test]
fn what_a_captured_payment_comes_to() {
    let desk = Desk::new(OfferPolicy::default());
    for status in RowStatus::ALL {
        for (currency, amount) in
            [("EUR", AMOUNT), ("EUR", AMOUNT - 1), ("EUR", AMOUNT + 1), ("USD", AMOUNT)]
        {
            let mut life = in_status(status);
            let before = money(&life);
            life::join(&mut life, desk.cx(), &event("p", currency, PaymentNews::Captured(amount)));
            sound(&life);
            let text = format!("{status:?} {currency} {amount}");
            let gained = (money(&life).0 - before.0, money(&life).1 - before.1);
            let now = life.status().unwrap();
            let whole = currency == "EUR" && amount >= AMOUNT;
            match status {
                _ if currency == "USD" => {
                    assert_eq!((now, gained), (status, (0, amount)), "{text}");
                }
                RowStatus::Pending if whole => {
                    assert_eq!((now, gained), (RowStatus::Paid, (AMOUNT, amount - AMOUNT)));
                }
                RowStatus::Pending => {
                    assert_eq!((now, gained, fate(&life, "p")), (status, (0, 0), None), "{text}");
                }
                RowStatus::Expired if whole => {
                    assert_eq!((now, gained), (status, (0, 0)), "{text}");
                    assert_eq!(fate(&life, "p"), Some(PaymentFate::Late), "{text}");
                    assert!(life.follows.due.contains_key(&DueWork::Reclaim(key("p"))));
                }
                RowStatus::Paid
                | RowStatus::Shipped
                | RowStatus::Completed
                | RowStatus::Refunding
                | RowStatus::Refunded
                | RowStatus::Expired
                | RowStatus::Cancelled
                | RowStatus::Rejected => {
                    assert_eq!((now, gained), (status, (0, amount)), "{text}");
                }
            }
            // Nothing more may be captured for what is decided.
            let closes = life.follows.due.contains_key(&DueWork::Close(key("p")));
            assert_eq!(closes, now != RowStatus::Pending, "{text}");
            let again = life.clone();
            life::settle(&mut life, desk.cx());
            assert_eq!(life, again, "{text}: settled twice");
        }
    }
}

/// The same table for what failed: it is noted, and nothing else.
#[test]
fn what_a_failed_payment_comes_to() {
    let desk = Desk::new(OfferPolicy::default());
    for status in RowStatus::ALL {
        let mut life = in_status(status);
        let before = (life.status(), money(&life));
        desk.tell(&mut life, "p", PaymentNews::Failed);
        assert_eq!((life.status(), money(&life)), before);
        assert_eq!(fate(&life, "p"), None);
    }
    // After the capture it says nothing.
    let mut life = in_status(RowStatus::Paid);
    let before = life.payments.clone();
    desk.tell(&mut life, "first", PaymentNews::Failed);
    assert_eq!(life.payments, before);
}

#[test]
fn payments_are_summed_up_and_the_rest_goes_back_when_the_order_dies() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    desk.captured(&mut life, "a", 60);
    desk.captured(&mut life, "b", 30);
    assert_eq!(life.status(), Some(RowStatus::Pending));
    let mut dead = life.clone();
    desk.captured(&mut life, "c", 30);
    assert_eq!((life.status(), money(&life)), (Some(RowStatus::Paid), (100, 20)));
    assert_eq!(fate(&life, "c"), Some(PaymentFate::Order(id())));
    life::expire(&mut dead, desk.cx());
    sound(&dead);
    assert_eq!((dead.status(), money(&dead)), (Some(RowStatus::Expired), (0, 90)));
    let back: Vec<_> = dead.follows.givebacks.iter().map(|(c, g)| (c.clone(), g.gives)).collect();
    assert_eq!(back, [(cell(0), Gives::Release), (cell(1), Gives::Release)]);
    // A capture that grows after it was decided grows its refund.
    desk.captured(&mut dead, "a", 100);
    assert_eq!((money(&dead), dead.order.as_ref().unwrap().superseded_by), ((0, 130), None));
    desk.captured(&mut dead, "a", 100);
    assert_eq!(money(&dead), (0, 130));
}

#[test]
fn an_order_of_nothing_is_paid_by_whoever_looks() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    life.order.as_mut().unwrap().amount = 0;
    life::expire(&mut life, desk.cx());
    assert_eq!(life.status(), Some(RowStatus::Paid));
}

#[test]
fn time_and_payment_decide_who_comes_first() {
    let desk = Desk::new(OfferPolicy::default());
    let mut early = pending();
    early.order.as_mut().unwrap().expires_at = Some(NOW + 1);
    life::expire(&mut early, desk.cx());
    assert_eq!(early.status(), Some(RowStatus::Pending));
    early.order.as_mut().unwrap().expires_at = None;
    life::expire(&mut early, desk.cx());
    assert_eq!(early.status(), Some(RowStatus::Pending), "it never expires");
    let mut paid = in_status(RowStatus::Paid);
    life::expire(&mut paid, desk.cx());
    let ask = RefundAsk { refund: "c".parse().unwrap(), portion: Portion::Whole };
    assert_eq!(life::cancel(&mut paid, desk.buyer().cx(), &ask), Cancelled::Illegal);
    assert_eq!(paid.status(), Some(RowStatus::Paid));
    let none = life::cancel(&mut Life::new(id()), desk.buyer().cx(), &ask);
    assert_eq!(none, Cancelled::NoRow);
    for dead in [RowStatus::Expired, RowStatus::Rejected, RowStatus::Refunded] {
        let mut life = in_status(dead);
        assert_eq!(life::cancel(&mut life, desk.buyer().cx(), &ask), Cancelled::Illegal);
    }
    // Where its offer says so, cancelling a paid one refunds it, and twice is once.
    let kind = Desk::new(OfferPolicy {
        cancel_refunds: true,
        refund: RefundPolicy::Auto,
        ..OfferPolicy::default()
    });
    for _ in 0..2 {
        let done = AskedRefund::Done { state: RefundState::Requested, amount: AMOUNT };
        let answer = life::cancel(&mut paid, kind.buyer().cx(), &ask);
        assert_eq!(answer, Cancelled::Refunds(done));
        assert_eq!((paid.status(), paid.refunds.len()), (Some(RowStatus::Refunding), 1));
    }
}

#[test]
fn one_late_payment_buys_one_successor() {
    let desk = Desk::new(OfferPolicy::default());
    let late = || {
        let mut life = in_status(RowStatus::Expired);
        desk.captured(&mut life, "a", AMOUNT + 5);
        desk.captured(&mut life, "b", AMOUNT);
        assert_eq!(fate(&life, "a"), Some(PaymentFate::Late));
        assert_eq!(fate(&life, "b"), Some(PaymentFate::Back));
        let next = life.order.as_ref().unwrap().superseded_by.unwrap();
        assert_eq!((next.shard(), next.campaign()), (id().shard(), id().campaign()));
        let successor = Life { id: next, ..pending() };
        (life, successor)
    };
    let (mut old, mut new) = late();
    let mut early = Life { order: None, ..new.clone() };
    life::attach(&mut old, &mut early, desk.cx(), &key("a"));
    assert_eq!(fate(&old, "a"), Some(PaymentFate::Late), "no row yet");
    for _ in 0..2 {
        life::attach(&mut old, &mut new, desk.cx(), &key("a"));
        life::forgo(&mut old, desk.cx(), &key("a"));
        sound(&old);
        sound(&new);
        assert_eq!(new.status(), Some(RowStatus::Paid));
        assert_eq!((money(&new), money(&old)), ((AMOUNT, 5), (0, AMOUNT)));
        assert_eq!(fate(&old, "a"), Some(PaymentFate::Order(new.id)));
        assert_eq!(old.follows.versions.last().unwrap().cause, Cause::Superseded);
    }
    // Too late: the money goes back, and a successor that comes now finds it gone.
    let (mut old, mut new) = late();
    life::forgo(&mut old, desk.cx(), &key("a"));
    life::attach(&mut old, &mut new, desk.cx(), &key("a"));
    assert_eq!((new.status(), money(&old)), (Some(RowStatus::Pending), (0, 2 * AMOUNT + 5)));
    // A successor that died, or was paid by somebody else.
    for status in [RowStatus::Expired, RowStatus::Cancelled, RowStatus::Rejected, RowStatus::Paid] {
        let (mut old, mut new) = late();
        new.order.as_mut().unwrap().status = status;
        life::attach(&mut old, &mut new, desk.cx(), &key("a"));
        assert_eq!(money(&old), (0, 2 * AMOUNT + 5), "{status:?}");
    }
    let never = Desk::new(OfferPolicy { late: LatePolicy::Refund, ..OfferPolicy::default() });
    let mut life = in_status(RowStatus::Expired);
    never.captured(&mut life, "a", AMOUNT);
    assert_eq!((fate(&life, "a"), money(&life)), (Some(PaymentFate::Back), (0, AMOUNT)));
}

#[test]
fn a_payment_without_an_order_waits_and_then_goes_back_if_it_is_ours() {
    let desk = Desk::new(OfferPolicy::default());
    let early = || {
        let mut life = Life::new(id());
        desk.captured(&mut life, "p", AMOUNT);
        assert!(life.follows.due.contains_key(&DueWork::Match(key("p"))));
        life
    };
    let look = |life: &mut Life, state| life::match_order(life, desk.cx(), &key("p"), state);
    let mut life = early();
    look(&mut life, MatchState::Waits);
    assert_eq!((fate(&life, "p"), life.follows.done.len()), (None, 0));
    let mut found = life.clone();
    found.order = pending().order;
    look(&mut found, MatchState::Waits);
    assert_eq!(found.status(), Some(RowStatus::Paid));
    let mut orphan = life.clone();
    look(&mut orphan, MatchState::Over { is_ours: false });
    assert_eq!((fate(&orphan, "p"), money(&orphan)), (None, (0, 0)));
    assert_eq!(orphan.follows.tasks, [TaskDraft::Orphan(key("p"))]);
    let mut ours = life.clone();
    ours.payments.get_mut(&key("p")).unwrap().attempt = 1;
    look(&mut ours, MatchState::Over { is_ours: false });
    look(&mut life, MatchState::Over { is_ours: true });
    for mut life in [ours, life] {
        assert_eq!((fate(&life, "p"), money(&life)), (Some(PaymentFate::Back), (0, AMOUNT)));
        // Its row comes all the same: what is on its way back pays nothing.
        life.order = pending().order;
        life::settle(&mut life, desk.cx());
        assert_eq!((life.status(), money(&life)), (Some(RowStatus::Pending), (0, AMOUNT)));
    }
}

#[test]
fn refunds_never_take_more_than_is_left() {
    let desk = Desk::new(OfferPolicy { refund: RefundPolicy::Auto, ..OfferPolicy::default() });
    let buyer = desk.buyer();
    let done = |amount| AskedRefund::Done { state: RefundState::Requested, amount };
    let lines =
        |list: &[(u8, u32)]| Portion::Lines(list.iter().map(|(n, q)| (cell(*n), *q)).collect());
    let mut life = in_status(RowStatus::Paid);
    let mut ask = |refund, portion| buyer.ask(&mut life, refund, portion);
    for amount in [0, -1, i64::MIN, 101, i64::MAX] {
        assert_eq!(ask("x", Portion::Amount(amount)), AskedRefund::TooLarge);
    }
    for bad in [&[(0, 3)][..], &[(2, 1)], &[(0, 0)], &[(0, 2), (0, 1)], &[]] {
        assert_eq!(ask("x", lines(bad)), AskedRefund::TooLarge, "{bad:?}");
    }
    assert_eq!(ask("a", lines(&[(0, 1)])), done(30));
    assert_eq!(ask("a", lines(&[(0, 1)])), done(30));
    for other in [lines(&[(0, 2)]), lines(&[(1, 1)]), Portion::Amount(30), Portion::Whole] {
        assert_eq!(ask("a", other), AskedRefund::Conflict);
    }
    assert_eq!(ask("b", lines(&[(0, 2)])), AskedRefund::TooLarge);
    assert_eq!(ask("b", Portion::Amount(15)), done(15));
    // The goods are there, their money is not.
    assert_eq!(ask("c", lines(&[(0, 1), (1, 1)])), AskedRefund::TooLarge);
    assert_eq!(ask("c", Portion::Whole), done(55));
    assert_eq!(ask("d", Portion::Amount(1)), AskedRefund::Illegal);
    assert_eq!(life.status(), Some(RowStatus::Refunding));
    let whole = life.refunds.iter().find(|(k, _)| k.refund.as_str() == "c").unwrap();
    assert_eq!(whole.1.lines, [(cell(0), 1), (cell(1), 1)]);
    let numbers: Vec<u8> =
        life.refunds.values().filter_map(|r| r.ordinal).map(|o| o.number()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    // Told only when the money moved, and goods with the last part of it.
    let keys: Vec<RefundKey> = life.refunds.keys().cloned().collect();
    let goods = |life: &Life| life.follows.givebacks.len();
    for (n, key) in keys.iter().enumerate() {
        desk.succeed(&mut life, key);
        desk.succeed(&mut life, key);
        let last = n == 2;
        assert_eq!(life.status() == Some(RowStatus::Refunded), last);
        assert_eq!(goods(&life), [1, 1, 3][n]);
    }
    assert_eq!(life.order.as_ref().unwrap().refunded, AMOUNT);
    for pending in [RowStatus::Pending, RowStatus::Expired, RowStatus::Refunded] {
        let mut life = in_status(pending);
        assert_eq!(buyer.ask(&mut life, "n", Portion::Amount(1)), AskedRefund::Illegal);
    }
    assert_eq!(buyer.ask(&mut Life::new(id()), "n", Portion::Amount(1)), AskedRefund::NoRow);
}

#[test]
fn a_refund_of_several_payments_has_a_part_of_each() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    desk.captured(&mut life, "a", 30);
    desk.captured(&mut life, "b", 80);
    desk.operator().ask(&mut life, "w", Portion::Whole);
    let parts: Vec<(RefundKey, i64)> = life
        .refunds
        .iter()
        .filter(|(_, r)| r.sort == RefundSort::Granted)
        .map(|(k, r)| (k.clone(), r.amount))
        .collect();
    assert_eq!(parts.iter().map(|p| p.1).collect::<Vec<_>>(), [30, 70]);
    desk.succeed(&mut life, &parts[1].0);
    assert_eq!((life.status(), life.follows.givebacks.len()), (Some(RowStatus::Refunding), 0));
    desk.succeed(&mut life, &parts[0].0);
    assert_eq!((life.status(), life.follows.givebacks.len()), (Some(RowStatus::Refunded), 2));
    assert_eq!(money(&life), (100, 10));
}

#[test]
fn a_refund_is_tried_and_then_a_persons() {
    let desk = Desk::new(OfferPolicy::default());
    for came_from in [RowStatus::Paid, RowStatus::Shipped, RowStatus::Completed] {
        let mut life = in_status(came_from);
        desk.operator().ask(&mut life, "w", Portion::Whole);
        let key = life.refunds.keys().next().unwrap().clone();
        for n in 1..=5u64 {
            assert!(life::send_refund(&mut life, desk.cx(), &key, 5), "try {n}");
            life::answer_refund(&mut life, desk.cx(), &key, RefundAnswer::Unknown(n));
        }
        assert!(!life::send_refund(&mut life, desk.cx(), &key, 5));
        assert_eq!(life.refunds[&key].state, RefundState::Manual);
        assert_eq!(life.follows.tasks, [TaskDraft::Refund(key.clone())]);
        assert!(!life::give_up(
            &mut life.clone(),
            desk.operator().cx(),
            &RefundKey { refund: "other".parse().unwrap(), payment: key.payment.clone() }
        ));
        // A person sends it again, it is refused for good, and the person gives it up.
        let mut given_up = life.clone();
        assert!(life::retry_refund(&mut given_up, desk.operator().cx(), &key));
        life::answer_refund(&mut given_up, desk.cx(), &key, RefundAnswer::Failed);
        assert!(life::give_up(&mut given_up, desk.operator().cx(), &key));
        sound(&given_up);
        assert_eq!(given_up.status(), Some(came_from), "back to where it came from");
        assert!(given_up.follows.tasks.is_empty());
        // It succeeded after all: the books follow the money.
        desk.succeed(&mut given_up, &key);
        assert_eq!(given_up.order.as_ref().unwrap().refunded, AMOUNT);
        assert_eq!(given_up.follows.tasks, [TaskDraft::Bounced(key.clone())]);
        // Or the provider tells while it waits for the person.
        desk.succeed(&mut life, &key);
        assert_eq!(life.status(), Some(RowStatus::Refunded));
        assert!(life.follows.tasks.is_empty());
        let given = life::provider_key(&desk.identity, life.id, &key);
        desk.tell(&mut life, "first", PaymentNews::RefundFailed(given));
        assert_eq!(life.refunds[&key].state, RefundState::Bounced);
        assert_eq!(life.status(), Some(RowStatus::Refunded), "nothing is taken back silently");
    }
}

#[test]
fn buyers_ask_and_persons_grant() {
    let desk = Desk::new(OfferPolicy::default());
    let asked = AskedRefund::Done { state: RefundState::Asked, amount: AMOUNT };
    let mut life = in_status(RowStatus::Paid);
    assert_eq!(desk.buyer().ask(&mut life, "w", Portion::Whole), asked);
    assert_eq!(life.status(), Some(RowStatus::Paid));
    let work = |life: &Life| life.follows.due.keys().any(|w| matches!(w, DueWork::Refund(_)));
    assert!(!work(&life) && life.follows.tasks.len() == 1);
    // What is asked for is taken already.
    assert_eq!(desk.operator().ask(&mut life, "x", Portion::Amount(1)), AskedRefund::TooLarge);
    let mut refused = life.clone();
    let key = life.refunds.keys().next().unwrap().clone();
    assert!(life::give_up(&mut refused, desk.operator().cx(), &key));
    assert_eq!((refused.status(), refused.follows.tasks.len()), (Some(RowStatus::Paid), 0));
    assert!(life::grant(&mut life, desk.operator().cx(), &key.refund));
    assert!(!life::grant(&mut life, desk.operator().cx(), &key.refund));
    assert_eq!(life.status(), Some(RowStatus::Refunding));
    assert!(work(&life) && life.follows.tasks.is_empty());
    let never = Desk::new(OfferPolicy { refund: RefundPolicy::No, ..OfferPolicy::default() });
    let mut life = in_status(RowStatus::Paid);
    assert_eq!(never.buyer().ask(&mut life, "w", Portion::Whole), AskedRefund::NotAllowed);
    let sent = AskedRefund::Done { state: RefundState::Requested, amount: AMOUNT };
    assert_eq!(never.operator().ask(&mut life, "w", Portion::Whole), sent);
}

#[test]
fn goods_follow_the_money_where_the_offer_says_so() {
    for (restock, came_from, by_itself, after_return) in [
        (Restock::Yes, RowStatus::Paid, 2, 2),
        (Restock::Yes, RowStatus::Shipped, 0, 2),
        (Restock::No, RowStatus::Paid, 0, 0),
        (Restock::Ask, RowStatus::Paid, 0, 2),
    ] {
        let desk = Desk::new(OfferPolicy { restock, ..OfferPolicy::default() });
        let operator = desk.operator();
        let mut life = in_status(came_from);
        operator.ask(&mut life, "w", Portion::Whole);
        let key = life.refunds.keys().next().unwrap().clone();
        assert_eq!(life.follows.givebacks.len(), 0, "never at the request");
        desk.succeed(&mut life, &key);
        assert_eq!(life.follows.givebacks.len(), by_itself, "{restock:?} {came_from:?}");
        for _ in 0..2 {
            assert!(life::parcel(&mut life, operator.cx(), Parcel::Returned));
            assert_eq!(life.follows.givebacks.len(), after_return, "{restock:?} {came_from:?}");
        }
        let kinds = life.follows.givebacks.iter().map(|(_, g)| g.gives);
        for gives in kinds {
            let Gives::Return { ordinal, .. } = gives else { panic!("a release of a paid order") };
            assert_eq!(Kind::Return(ordinal).class().number(), 16);
        }
    }
    let desk = Desk::new(OfferPolicy::default());
    let mut life = in_status(RowStatus::Paid);
    assert!(!life::parcel(&mut life, desk.operator().cx(), Parcel::Returned), "no refund names it");
    let mut life = in_status(RowStatus::Expired);
    for news in [Parcel::Shipped, Parcel::Delivered] {
        assert!(!life::parcel(&mut life, desk.operator().cx(), news));
    }
    assert_eq!(life.status(), Some(RowStatus::Expired));
}

#[test]
fn what_the_provider_takes_back_is_not_paid_twice() {
    let desk = Desk::new(OfferPolicy::default());
    let taken = || PaymentNews::TakenBack("dispute-1".parse().unwrap(), 40);
    let mut life = in_status(RowStatus::Paid);
    for _ in 0..2 {
        desk.tell(&mut life, "first", taken());
    }
    assert_eq!(life.refunds.len(), 1);
    assert_eq!(life.follows.tasks.len(), 1);
    let ask = |life: &mut Life, amount| desk.operator().ask(life, "r", Portion::Amount(amount));
    assert_eq!(ask(&mut life, 61), AskedRefund::TooLarge);
    assert!(matches!(ask(&mut life, 60), AskedRefund::Done { amount: 60, .. }));
    // Of a payment that goes back anyway, only the rest is sent.
    let mut life = in_status(RowStatus::Cancelled);
    desk.tell(&mut life, "p", taken());
    desk.captured(&mut life, "p", AMOUNT);
    assert_eq!(money(&life), (0, 60));
}

fn news() -> impl Strategy<Value = (u8, PaymentNews, bool)> {
    let told = prop_oneof![
        Just(PaymentNews::Opened),
        Just(PaymentNews::Failed),
        Just(PaymentNews::Authorised),
        Just(PaymentNews::Closed),
        (1i64..=4).prop_map(|n| PaymentNews::Captured(n * 40)),
    ];
    (0u8..3, told, proptest::bool::weighted(0.1))
}

/// What is known of payments, whatever was decided on them.
fn joined(life: &Life) -> BTreeMap<PaymentKey, Payment> {
    let bare =
        |(k, p): (&PaymentKey, &Payment)| (k.clone(), Payment { fate: None, keep: 0, ..p.clone() });
    life.payments.iter().map(bare).collect()
}

proptest! {
    /// What is known, what an order comes to and where all the money goes depend on the set of the
    /// news alone, not on their order and how often each comes.
    #[test]
    fn only_the_set_of_news_counts(
        news in prop::collection::vec(news(), 1..9),
        order in Just(()).prop_perturb(|(), rng| rng),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        dies in any::<bool>(),
    ) {
        let desk = Desk::new(OfferPolicy { late: LatePolicy::Refund, ..OfferPolicy::default() });
        let run = |list: &[(u8, PaymentNews, bool)]| {
            let mut life = pending();
            for (n, news, foreign) in list {
                // A payment keeps one currency; which, is part of the set.
                let name = format!("p{n}{}", if *foreign { "x" } else { "" });
                let currency = if *foreign { "USD" } else { "EUR" };
                life::join(&mut life, desk.cx(), &event(&name, currency, news.clone()));
                sound(&life);
            }
            if dies {
                life::expire(&mut life, desk.cx());
                sound(&life);
            }
            let again = life.clone();
            life::settle(&mut life, desk.cx());
            assert_eq!(life, again);
            life
        };
        let first = run(&news);
        let mut rng = order;
        let mut other = news.clone();
        other.extend(repeats.iter().map(|i| i.get(&news).clone()));
        for i in (1..other.len()).rev() {
            other.swap(i, rng.random_range(0..=i));
        }
        let second = run(&other);
        prop_assert_eq!(joined(&first), joined(&second));
        prop_assert_eq!(first.status(), second.status());
        prop_assert_eq!(money(&first), money(&second));
        // INV-17: every captured cent is kept, or goes back, once the order is decided.
        let captured: i64 = first.payments.values().map(|p| p.captured).sum();
        let (kept, back) = money(&first);
        if first.status() != Some(RowStatus::Pending) {
            prop_assert_eq!(kept + back, captured);
        }
        prop_assert_eq!(kept, if first.status() == Some(RowStatus::Paid) { AMOUNT } else { 0 });
    }
}
