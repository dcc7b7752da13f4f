//! What a database lost with its last commits, and its payments' provider still knows.

use crate::stand::*;

/// A refund of this amount as a payment gets it by itself, under the provider's key.
fn automatic(desk: &Desk, payment: &str, captured: i64) -> (String, i64) {
    let mut life = in_status(RowStatus::Cancelled);
    desk.captured(&mut life, payment, captured);
    let of = |k: &&RefundKey| k.payment == key(payment);
    let refund = life.refunds.keys().find(of).unwrap().clone();
    (desk.given(&life, &refund), life.refunds[&refund].amount)
}

/// A refund of a paid order that somebody asked for.
fn asked(desk: &Desk, payment: &str, name: &str, amount: i64) -> String {
    let mut life = pending();
    desk.captured(&mut life, payment, AMOUNT);
    desk.operator().ask(&mut life, name, Portion::Amount(amount));
    let refund = RefundKey { refund: name.parse().unwrap(), payment: key(payment) };
    desk.given(&life, &refund)
}

fn moved(given: &str, amount: i64) -> PaymentNews {
    PaymentNews::RefundSucceeded { key: given.into(), amount }
}

/// Each refund that is not over: its sort, where it stands, how much.
fn refunds(life: &Life) -> Vec<(RefundSort, RefundState, i64)> {
    let lives = life.refunds.values().filter(|r| !r.state.is_failed());
    lives.map(|r| (r.sort, r.state, r.amount)).collect()
}

#[test]
fn what_went_back_by_itself_goes_once() {
    let desk = Desk::new(OfferPolicy { late: LatePolicy::Refund, ..OfferPolicy::default() });
    let (given, amount) = automatic(&desk, "p", 70);
    assert_eq!(amount, 70);
    let back = (RefundSort::Automatic, RefundState::Succeeded, 70);
    let more = (RefundSort::Automatic, RefundState::Requested, 20);
    for status in [RowStatus::Cancelled, RowStatus::Expired, RowStatus::Rejected] {
        // First what the provider says, then the news of the log.
        let mut life = in_status(status);
        desk.tell(&mut life, "p", moved(&given, amount));
        assert_eq!(life.payments[&key("p")].captured, 70, "it was there");
        desk.captured(&mut life, "p", 70);
        assert_eq!(refunds(&life), [back]);
        desk.tell(&mut life, "p", moved(&given, amount));
        assert_eq!(refunds(&life), [back], "told twice");
        // What came since goes under a key of its own.
        desk.captured(&mut life, "p", 90);
        let mut all = refunds(&life);
        all.sort();
        assert_eq!(all, [more, back]);
        assert_eq!(audit::when_quiet(&life), []);
        assert_eq!(life.follows.tasks, []);
        // The other way round it is the same refund.
        let mut life = in_status(status);
        desk.captured(&mut life, "p", 70);
        desk.tell(&mut life, "p", moved(&given, amount));
        assert_eq!(refunds(&life), [back]);
    }
}

#[test]
fn another_amount_is_another_key() {
    let desk = Desk::new(OfferPolicy::default());
    let (given, amount) = automatic(&desk, "p", 60);
    let (other, _) = automatic(&desk, "p", 100);
    assert_ne!(given, other);
    // Sent once more by who did not know, with what was captured since: it cannot move any more.
    let mut life = in_status(RowStatus::Cancelled);
    desk.captured(&mut life, "p", 100);
    let sent = life.refunds.keys().next().unwrap().clone();
    assert!(life::send_refund(&mut life, desk.cx(), &sent, 9));
    desk.tell(&mut life, "p", moved(&given, amount));
    assert_eq!(life.refunds[&sent].state, RefundState::Failed);
    let mut all = refunds(&life);
    all.sort();
    let of = |state, amount| (RefundSort::Automatic, state, amount);
    assert_eq!(all, [of(RefundState::Requested, 40), of(RefundState::Succeeded, 60)]);
    assert_eq!(audit::when_quiet(&life), []);
}

#[test]
fn what_somebody_asked_for_says_that_the_order_was_paid() {
    let desk = Desk::new(OfferPolicy::default());
    let given = asked(&desk, "p", "r1", 30);
    let known = (RefundSort::Granted, RefundState::Succeeded, 30);
    for first in [true, false] {
        let mut life = pending();
        if first {
            desk.tell(&mut life, "p", moved(&given, 30));
        }
        desk.captured(&mut life, "p", AMOUNT);
        if !first {
            desk.tell(&mut life, "p", moved(&given, 30));
        }
        assert_eq!(life.status(), Some(RowStatus::Paid));
        assert_eq!(life.order.as_ref().unwrap().refunded, 30);
        assert_eq!(refunds(&life), [known]);
        assert_eq!(audit::when_quiet(&life), []);
        let lost = life.refunds.keys().next().unwrap().refund.clone();
        assert_eq!(life.follows.tasks, [TaskDraft::TakenBack(key("p"), lost.clone())]);
        // Asked for again under its name it is the same refund, whatever of the order it was.
        let done = AskedRefund::Done { state: RefundState::Succeeded, amount: 30 };
        for portion in [Portion::Whole, Portion::Amount(30), Portion::Lines(vec![(cell(0), 1)])] {
            assert_eq!(desk.operator().ask(&mut life, "r1", portion), done);
        }
        assert_eq!(
            desk.operator().ask(&mut life, lost.as_str(), Portion::Whole),
            AskedRefund::Conflict
        );
        assert_eq!(
            desk.operator().ask(&mut life, "r2", Portion::Amount(71)),
            AskedRefund::TooLarge
        );
        let rest = desk.operator().ask(&mut life, "r2", Portion::Amount(70));
        assert!(matches!(rest, AskedRefund::Done { amount: 70, .. }), "{rest:?}");
    }
}

#[test]
fn of_an_order_that_died_meanwhile_only_the_rest_goes_back() {
    let desk = Desk::new(OfferPolicy { late: LatePolicy::Reclaim, ..OfferPolicy::default() });
    let given = asked(&desk, "p", "r1", 30);
    let mut life = in_status(RowStatus::Expired);
    desk.tell(&mut life, "p", moved(&given, 30));
    desk.captured(&mut life, "p", AMOUNT);
    assert_eq!(fate(&life, "p"), Some(PaymentFate::Back), "less than it costs buys nothing again");
    let mut all = refunds(&life);
    all.sort();
    let rest = (RefundSort::Automatic, RefundState::Requested, 70);
    assert_eq!(all, [rest, (RefundSort::Granted, RefundState::Succeeded, 30)]);
    assert_eq!(audit::when_quiet(&life), []);
}

#[test]
fn a_refund_that_cannot_move_any_more_is_a_persons() {
    let desk = Desk::new(OfferPolicy { refund: RefundPolicy::Ask, ..OfferPolicy::default() });
    let given = asked(&desk, "p", "r1", 80);
    for granted in [true, false] {
        let mut life = pending();
        desk.captured(&mut life, "p", AMOUNT);
        desk.buyer().ask(&mut life, "r2", Portion::Whole);
        let key = RefundKey { refund: "r2".parse().unwrap(), payment: key("p") };
        if granted {
            assert!(life::grant(&mut life, desk.operator().cx(), &key.refund));
            assert!(life::send_refund(&mut life, desk.cx(), &key, 9));
        }
        desk.tell(&mut life, "p", moved(&given, 80));
        assert_eq!(life.refunds[&key].state, RefundState::Manual);
        assert!(!life.follows.tasks.contains(&TaskDraft::Asked(key.refund.clone())), "{granted}");
        assert!(life.follows.tasks.contains(&TaskDraft::Refund(key.clone())));
        // There is not so much left: sent again it would come back again.
        assert!(!life::retry_refund(&mut life, desk.operator().cx(), &key));
        assert!(life::give_up(&mut life, desk.operator().cx(), &key));
        let rest = desk.operator().ask(&mut life, "r3", Portion::Amount(20));
        assert!(matches!(rest, AskedRefund::Done { amount: 20, .. }), "{rest:?}");
    }
}

#[test]
fn keys_of_others_are_others() {
    let desk = Desk::new(OfferPolicy::default());
    let (given, _) = automatic(&desk, "p", AMOUNT);
    let mut turned = given.clone().into_bytes();
    turned[0] = if turned[0] == b'0' { b'1' } else { b'0' };
    let turned = String::from_utf8(turned).unwrap();
    let other = Desk { identity: Identity::new(b"another secret.."), ..desk.by(Actor::Clerk) };
    let (foreign, _) = automatic(&other, "p", AMOUNT);
    for name in ["re_1", "", "é", &turned, &foreign, &given[..24], &given.to_uppercase()] {
        let mut life = in_status(RowStatus::Cancelled);
        desk.tell(&mut life, "p", moved(name, AMOUNT));
        let taken = (RefundSort::Provider, RefundState::Succeeded, AMOUNT);
        assert_eq!(refunds(&life), [taken], "{name}");
    }
    // Nothing moved.
    let mut life = in_status(RowStatus::Cancelled);
    desk.tell(&mut life, "p", moved(&given, 0));
    desk.tell(&mut life, "p", moved(&given, -5));
    assert_eq!(refunds(&life), []);
}

#[test]
fn money_of_a_paid_order_that_was_back_before_is_a_persons() {
    let desk = Desk::new(OfferPolicy::default());
    let (given, amount) = automatic(&desk, "p", AMOUNT);
    // It was cancelled and its money sent back; then the cancellation was lost.
    let mut life = pending();
    desk.captured(&mut life, "p", AMOUNT);
    assert_eq!(life.status(), Some(RowStatus::Paid));
    desk.tell(&mut life, "p", moved(&given, amount));
    assert_eq!(refunds(&life), [(RefundSort::Automatic, RefundState::Succeeded, AMOUNT)]);
    assert!(matches!(life.follows.tasks.as_slice(), [TaskDraft::TakenBack(..)]));
    assert_eq!(audit::at_any_time(&life), []);
    // Heard before the news it pays nothing.
    let mut life = pending();
    desk.tell(&mut life, "p", moved(&given, amount));
    desk.captured(&mut life, "p", AMOUNT);
    assert_eq!(life.status(), Some(RowStatus::Pending));
}

#[test]
fn a_paid_order_without_units_has_a_refund_to_be_granted() {
    let desk = Desk::new(OfferPolicy::default());
    let writer = desk.by(Actor::Writer);
    let mut life = pending();
    desk.captured(&mut life, "p", AMOUNT + 5);
    for _ in 0..2 {
        assert!(!life::reject(&mut life, writer.cx()), "it is paid");
        sound(&life);
        let id = "auto-sold-again".parse().unwrap();
        assert_eq!(life.follows.tasks, [TaskDraft::Asked(id)], "once");
        assert_eq!(life.status(), Some(RowStatus::Paid));
    }
    let id = "auto-sold-again".parse().unwrap();
    assert!(life::grant(&mut life, desk.operator().cx(), &id));
    let key = RefundKey { refund: id, payment: key("p") };
    desk.succeed(&mut life, &key);
    assert_eq!(life.status(), Some(RowStatus::Refunded));
    assert_eq!(life.refunds[&key].amount, AMOUNT);
    assert_eq!(life.follows.givebacks, [], "there was nothing");
    assert_eq!(life.returns(&desk.policies), []);
}

#[test]
fn a_paid_order_without_units_and_money_is_refunded() {
    let desk = Desk::new(OfferPolicy::default());
    let (given, amount) = automatic(&desk, "p", AMOUNT);
    let mut life = pending();
    desk.captured(&mut life, "p", AMOUNT);
    desk.tell(&mut life, "p", moved(&given, amount));
    assert!(!life::reject(&mut life, desk.by(Actor::Writer).cx()));
    sound(&life);
    assert_eq!(life.status(), Some(RowStatus::Refunded));
    assert_eq!(audit::at_any_time(&life), []);
    assert_eq!(life.follows.givebacks, []);
}

#[test]
fn returns_are_what_refunds_have_given_back() {
    let desk = Desk::new(OfferPolicy { restock: Restock::Yes, ..OfferPolicy::default() });
    let mut life = in_status(RowStatus::Paid);
    desk.operator().ask(&mut life, "one", Portion::Lines(vec![(cell(0), 1)]));
    desk.operator().ask(&mut life, "two", Portion::Lines(vec![(cell(1), 1)]));
    desk.operator().ask(&mut life, "money", Portion::Amount(1));
    assert_eq!(life.returns(&desk.policies), [], "nothing has moved");
    for name in ["one", "money", "two"] {
        let find = |k: &&RefundKey| k.refund.as_str() == name;
        let key = life.refunds.keys().find(find).unwrap().clone();
        desk.succeed(&mut life, &key);
        let mut given = life.follows.givebacks.clone();
        given.sort();
        let mut again = life.returns(&desk.policies);
        again.sort();
        assert_eq!(again, given, "{name}");
    }
    assert_eq!(life.follows.givebacks.len(), 2);
}
