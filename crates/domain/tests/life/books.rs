//! Where money and goods could be counted twice, or not at all.

use crate::stand::*;

fn granted(life: &Life, refund: &str) -> RefundKey {
    let found = life.refunds.keys().find(|k| k.refund.as_str() == refund);
    found.unwrap().clone()
}

#[test]
fn goods_in_the_post_are_not_on_sale() {
    let auto = Desk::new(OfferPolicy { refund: RefundPolicy::Auto, ..OfferPolicy::default() });
    let ask = Desk::new(OfferPolicy::default());
    for desk in [&auto, &ask] {
        let operator = desk.operator();
        let mut life = in_status(RowStatus::Paid);
        desk.buyer().ask(&mut life, "one", Portion::Lines(vec![(cell(0), 1)]));
        assert!(life::parcel(&mut life, operator.cx(), &Parcel::Shipped));
        desk.buyer().ask(&mut life, "two", Portion::Lines(vec![(cell(1), 1)]));
        for refund in ["one", "two"] {
            life::grant(&mut life, operator.cx(), &refund.parse().unwrap());
            let key = granted(&life, refund);
            desk.succeed(&mut life, &key);
        }
        assert_eq!(life.follows.givebacks, [], "nothing is back yet");
        // Each parcel brings back what its own refund names.
        for (refund, back_by_then) in [("two", 1), ("one", 2), ("one", 2)] {
            assert!(life::parcel(&mut life, operator.cx(), &back(refund)));
            assert_eq!(life.follows.givebacks.len(), back_by_then, "{refund}");
        }
        assert!(!life::parcel(&mut life, operator.cx(), &back("three")));
    }
}

#[test]
fn a_refund_has_a_name_of_its_own_sort() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = in_status(RowStatus::Paid);
    desk.captured(&mut life, "first", AMOUNT + 7);
    let automatic = life.refunds.keys().next().unwrap().refund.clone();
    desk.tell(&mut life, "first", PaymentNews::RefundSucceeded { key: "d".into(), amount: 1 });
    let known: Vec<_> = life.refunds.keys().map(|k| k.refund.to_string()).collect();
    let before = life.refunds.clone();
    for name in known.iter().map(String::as_str).chain([automatic.as_str(), "auto-", "provider-x"])
    {
        let answer = desk.operator().ask(&mut life, name, Portion::Whole);
        assert_eq!(answer, AskedRefund::Conflict, "{name}");
    }
    assert_eq!(life.refunds, before);
    // One that is called as the provider called its own is another one.
    let answer = desk.operator().ask(&mut life, "d", Portion::Amount(5));
    assert!(matches!(answer, AskedRefund::Done { amount: 5, .. }), "{answer:?}");
}

#[test]
fn money_that_was_taken_back_pays_nothing() {
    let desk = Desk::new(OfferPolicy::default());
    let taken = |key: &str, amount| PaymentNews::RefundSucceeded { key: key.into(), amount };
    // Refunded by hand before the rest came.
    let mut life = pending();
    desk.captured(&mut life, "a", 60);
    desk.tell(&mut life, "a", taken("by-hand", 60));
    desk.captured(&mut life, "b", 40);
    assert_eq!(life.status(), Some(RowStatus::Pending));
    desk.captured(&mut life, "c", 60);
    assert_eq!((life.status(), money(&life)), (Some(RowStatus::Paid), (100, 0)));
    // A dispute alone is no payment.
    let mut life = pending();
    desk.tell(&mut life, "a", taken("dispute", AMOUNT));
    assert_eq!(life.status(), Some(RowStatus::Pending));
    let mut late = in_status(RowStatus::Expired);
    desk.tell(&mut late, "a", taken("dispute", 1));
    desk.captured(&mut late, "a", AMOUNT);
    assert_eq!((fate(&late, "a"), money(&late)), (Some(PaymentFate::Back), (0, AMOUNT - 1)));
    // The order of the two does not matter while nothing is sent.
    for captured_first in [true, false] {
        let mut life = in_status(RowStatus::Cancelled);
        let steps = [PaymentNews::Captured(AMOUNT), taken("dispute", 40)];
        let mut steps = steps.to_vec();
        if !captured_first {
            steps.reverse();
        }
        steps.into_iter().for_each(|news| desk.tell(&mut life, "p", news));
        assert_eq!(money(&life), (0, 60), "{captured_first}");
    }
    // A dispute and a refund of the rest are a refund of all.
    let mut life = in_status(RowStatus::Paid);
    desk.tell(&mut life, "first", taken("dispute", 40));
    desk.operator().ask(&mut life, "w", Portion::Whole);
    let whole = granted(&life, "w");
    desk.succeed(&mut life, &whole);
    assert_eq!(life.status(), Some(RowStatus::Refunded));
    // A late payment of which some was taken back buys nothing.
    let mut old = in_status(RowStatus::Expired);
    desk.captured(&mut old, "a", AMOUNT);
    desk.tell(&mut old, "a", taken("dispute", 1));
    let next = old.order.as_ref().unwrap().superseded_by.unwrap();
    let mut new = Life { id: next, ..pending() };
    life::attach(&mut old, &mut new, desk.cx(), &key("a"));
    assert_eq!((new.status(), money(&old)), (Some(RowStatus::Pending), (0, AMOUNT - 1)));
}

#[test]
fn a_rejected_order_gives_everything_back() {
    let desk = Desk::new(OfferPolicy::default());
    let writer = desk.by(Actor::Writer);
    let mut life = pending();
    desk.captured(&mut life, "a", 60);
    assert!(life::reject(&mut life, writer.cx()));
    sound(&life);
    assert_eq!((life.status(), money(&life)), (Some(RowStatus::Rejected), (0, 60)));
    assert_eq!(life.follows.givebacks.len(), 2);
    assert_eq!(life.follows.versions.last().unwrap().cause, Cause::LostCommits);
    assert!(!life::reject(&mut life, writer.cx()));
    for status in [RowStatus::Paid, RowStatus::Expired, RowStatus::Shipped] {
        let mut life = in_status(status);
        assert!(!life::reject(&mut life, writer.cx()));
        assert_eq!(life.status(), Some(status));
    }
}

#[test]
fn what_a_person_gave_up_may_move_after_all() {
    let desk = Desk::new(OfferPolicy::default());
    let operator = desk.operator();
    let mut life = in_status(RowStatus::Paid);
    operator.ask(&mut life, "one", Portion::Whole);
    let one = granted(&life, "one");
    life::answer_refund(&mut life, desk.cx(), &one, RefundAnswer::Failed);
    assert!(life::give_up(&mut life, operator.cx(), &one));
    operator.ask(&mut life, "two", Portion::Whole);
    desk.captured(&mut life, "first", AMOUNT);
    let given = desk.given(&life, &one);
    let news = PaymentNews::RefundSucceeded { key: given, amount: AMOUNT };
    life::join(&mut life, desk.cx(), &event("first", "EUR", news));
    // The second one would take the same money again: a person has to look.
    let two = granted(&life, "two");
    assert!(!life::send_refund(&mut life, desk.cx(), &two, 5));
    assert_eq!(life.refunds[&two].state, RefundState::Manual);
    assert!(life.follows.tasks.contains(&TaskDraft::Refund(two)));
    assert_eq!(audit::when_quiet(&life), [], "what a person has is no alarm");
}

#[test]
fn a_line_that_is_named_twice_is_one() {
    let desk = Desk::new(OfferPolicy::default());
    let operator = desk.operator();
    let twice = || Portion::Lines(vec![(cell(0), 1), (cell(0), 1)]);
    let mut life = in_status(RowStatus::Paid);
    let done = AskedRefund::Done { state: RefundState::Requested, amount: 60 };
    for _ in 0..2 {
        assert_eq!(operator.ask(&mut life, "r", twice()), done);
    }
    assert_eq!(operator.ask(&mut life, "r", Portion::Lines(vec![(cell(0), 2)])), done);
    let key = granted(&life, "r");
    desk.succeed(&mut life, &key);
    let units: Vec<_> = life.follows.givebacks.iter().map(|(_, g)| g.gives).collect();
    assert!(matches!(units[..], [Gives::Return { units: 2, .. }]), "{units:?}");
}

/// No payment covers an order of nothing, and its units are gone: looking at it does not pay it.
#[test]
fn a_rejected_order_of_nothing_is_rejected() {
    let desk = Desk::new(OfferPolicy::default());
    let writer = desk.by(Actor::Writer);
    let mut life = pending();
    life.order.as_mut().unwrap().amount = 0;
    assert!(life::reject(&mut life, writer.cx()));
    sound(&life);
    assert_eq!(life.status(), Some(RowStatus::Rejected));
    assert_eq!(life.follows.givebacks.len(), 2);
}
