//! What the audit of a life finds: each way in which money does not add up, made by hand.

use crate::domain;
use crate::stand::*;

fn found(life: &Life) -> Vec<&'static str> {
    audit::when_quiet(life).into_iter().map(|v| v.id).collect()
}

fn payment<'a>(life: &'a mut Life, name: &str) -> &'a mut Payment {
    life.payments.get_mut(&key(name)).unwrap()
}

fn first_refund(life: &mut Life) -> &mut domain::life::Refund {
    life.refunds.values_mut().next().unwrap()
}

#[test]
fn every_status_that_was_reached_rightly_is_sound() {
    for status in RowStatus::ALL {
        assert_eq!(found(&in_status(status)), [] as [&str; 0], "{status:?}");
    }
}

/// Two payments: one pays, the other one goes back.
fn twice() -> Life {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = in_status(RowStatus::Paid);
    desk.captured(&mut life, "second", AMOUNT);
    assert_eq!(found(&life), [] as [&str; 0]);
    life
}

#[test]
fn money_that_does_not_add_up_is_found() {
    type Breaks = fn(&mut Life);
    let cases: [(&str, Breaks, &str); 9] = [
        ("a refund larger than its payment", |l| first_refund(l).amount = AMOUNT + 1, "INV-16"),
        ("keeps more than came", |l| payment(l, "first").keep = AMOUNT + 1, "INV-16"),
        ("keeps less than it costs", |l| payment(l, "first").keep = AMOUNT - 1, "INV-17"),
        (
            "the refund of the second failed",
            |l| first_refund(l).state = RefundState::Failed,
            "INV-17",
        ),
        ("a refund of less", |l| first_refund(l).amount = AMOUNT - 1, "INV-17"),
        ("nobody decided on the second", |l| payment(l, "second").fate = None, "INV-17"),
        ("none pays it", |l| payment(l, "first").fate = Some(PaymentFate::Back), "INV-17"),
        ("more refunded than came", |l| l.order.as_mut().unwrap().refunded = AMOUNT + 1, "INV-18"),
        ("refunded, and nothing moved", |l| l.order.as_mut().unwrap().refunded = 1, "INV-18"),
    ];
    for (what, breaks, id) in cases {
        let mut life = twice();
        breaks(&mut life);
        assert!(found(&life).contains(&id), "{what}: {:?}", found(&life));
    }
}

#[test]
fn a_refund_that_moved_is_in_the_row() {
    let mut life = in_status(RowStatus::Refunded);
    life.order.as_mut().unwrap().refunded = 0;
    assert_eq!(found(&life), ["INV-18"]);
    // A bounced one is not taken off silently.
    let mut life = in_status(RowStatus::Refunded);
    first_refund(&mut life).state = RefundState::Bounced;
    assert_eq!(found(&life), [] as [&str; 0]);
}

#[test]
fn what_waits_is_sound() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    desk.captured(&mut life, "half", AMOUNT / 2);
    assert_eq!(found(&life), [] as [&str; 0], "the rest may come");
    let mut unknown = Life::new(id());
    desk.captured(&mut unknown, "early", AMOUNT);
    assert_eq!(found(&unknown), [] as [&str; 0], "its row may come");
    // What the provider took back by itself may meet a refund under way.
    let mut life = twice();
    let taken = PaymentNews::RefundSucceeded { key: "dispute".into(), amount: AMOUNT };
    desk.tell(&mut life, "second", taken);
    assert_eq!(found(&life), [] as [&str; 0], "a task tells of it");
}

/// A late payment of more than it takes to buy again: what is over goes back by the successor's
/// books, and both orders are sound.
#[test]
fn an_order_that_was_bought_again_is_sound() {
    let desk = Desk::new(OfferPolicy { late: LatePolicy::Reclaim, ..OfferPolicy::default() });
    let mut old = in_status(RowStatus::Expired);
    desk.captured(&mut old, "late", AMOUNT + 7);
    assert_eq!(old.payments[&key("late")].fate, Some(PaymentFate::Late));
    let successor = old.order.as_ref().unwrap().superseded_by.unwrap();
    let mut new = Life { id: successor, ..pending() };
    life::attach(&mut old, &mut new, desk.cx(), &key("late"));
    assert_eq!(new.status(), Some(RowStatus::Paid));
    assert_eq!((found(&old), found(&new)), (vec![], vec![]));
    let mut sums = domain::life::MoneyTotals::default();
    sums.count(&new, &key("late"));
    assert_eq!((sums.captured, sums.under_way), (AMOUNT + 7, 7));
    // Who keeps less than it costs is found by the one that decides.
    new.payments.get_mut(&key("late")).unwrap().keep -= 1;
    assert_eq!((found(&old), found(&new).contains(&"INV-17")), (vec![], true));
}
