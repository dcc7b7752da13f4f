//! Refunds: who asks, who grants, how they are sent, and the goods.

use crate::stand::*;

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
    for bad in
        [&[(0, 3)][..], &[(2, 1)], &[(0, 0)], &[(0, 2), (0, 1)], &[(0, u32::MAX), (0, 9)], &[]]
    {
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
        let given = desk.given(&life, &key);
        desk.tell(&mut life, "first", PaymentNews::RefundFailed { key: given });
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
            assert!(life::parcel(&mut life, operator.cx(), &back("w")));
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
    assert!(!life::parcel(&mut life, desk.operator().cx(), &back("w")), "no refund names it");
    let mut life = in_status(RowStatus::Expired);
    for news in [Parcel::Shipped, Parcel::Delivered] {
        assert!(!life::parcel(&mut life, desk.operator().cx(), &news));
    }
    assert_eq!(life.status(), Some(RowStatus::Expired));
}

#[test]
fn what_the_provider_takes_back_is_not_paid_twice() {
    let desk = Desk::new(OfferPolicy::default());
    let taken = || PaymentNews::RefundSucceeded { key: "dispute-1".into(), amount: 40 };
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
