//! What payments come to, how orders die, and what becomes of late money.

use crate::stand::*;

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
            // Nothing more may be captured for what is decided, nor what goes back all the same.
            let closes = life.follows.due.contains_key(&DueWork::Close(key("p")));
            assert_eq!(closes, now != RowStatus::Pending || currency == "USD", "{text}");
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
    assert!(!life::expire(&mut dead, desk.cx()), "it dies before its payments are closed");
    assert_eq!((dead.status(), closing(&dead)), (Some(RowStatus::Pending), vec!["a", "b"]));
    desk.tell(&mut dead, "a", PaymentNews::Closed);
    for _ in 1..life::CLOSE_TRIES {
        life::close_unknown(&mut dead, desk.cx(), &key("b"), Some(1000));
        assert!(!life::expire(&mut dead, desk.cx()));
        assert_eq!(closing(&dead), ["b"]);
    }
    life::close_unknown(&mut dead, desk.cx(), &key("b"), Some(1000));
    assert!(life::expire(&mut dead, desk.cx()));
    sound(&dead);
    assert_eq!(closing(&dead), ["b"], "until the answer is definite");
    assert_eq!((dead.status(), money(&dead)), (Some(RowStatus::Expired), (0, 90)));
    let back: Vec<_> = dead.follows.givebacks.iter().map(|(c, g)| (c.clone(), g.gives)).collect();
    assert_eq!(back, [(cell(0), Gives::Release), (cell(1), Gives::Release)]);
    // A capture that grows after it was decided grows its refund.
    desk.captured(&mut dead, "a", 100);
    assert_eq!((money(&dead), dead.order.as_ref().unwrap().superseded_by), ((0, 130), None));
    desk.captured(&mut dead, "a", 100);
    assert_eq!(money(&dead), (0, 130));
}

/// The payments that are to be closed.
fn closing(life: &life::Life) -> Vec<&str> {
    let close = |work: &DueWork| match work {
        DueWork::Close(key) => Some(key.payment.as_str().to_owned()),
        DueWork::Match(_) | DueWork::Refund(_) | DueWork::Reclaim(_) => None,
    };
    let all: Vec<String> = life.follows.due.keys().filter_map(close).collect();
    ["a", "b", "c"].into_iter().filter(|name| all.iter().any(|n| n == name)).collect()
}

#[test]
fn a_payment_whose_provider_cannot_be_asked_keeps_no_order_alive() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    desk.tell(&mut life, "a", PaymentNews::Opened);
    assert!(!life::expire(&mut life, desk.cx()));
    life::close_unknown(&mut life, desk.cx(), &key("a"), None);
    assert!(life::expire(&mut life, desk.cx()));
    assert_eq!((life.status(), closing(&life).len()), (Some(RowStatus::Expired), 0));
}

#[test]
fn a_session_is_opened_once_and_again_when_it_failed() {
    let desk = Desk::new(OfferPolicy::default());
    let mut life = pending();
    let in_time =
        |life: &mut life::Life| life.order.as_mut().unwrap().expires_at = Some(NOW + 1000);
    in_time(&mut life);
    let provider = "card".parse().unwrap();
    let begin = |life: &mut life::Life| life::begin_session(life, desk.buyer().cx(), &provider);
    let asks = |attempt, amount| SessionAnswer::Ask {
        attempt,
        amount,
        currency: "EUR".into(),
        expires_at: Some(NOW + 1000),
    };
    let opened = |attempt| PaySession { attempt, payment: None, redirect: "/pay".into() };
    let open = |payment: &str, state| SessionAnswer::Open {
        payment: payment.parse().unwrap(),
        state,
        redirect: "/pay".into(),
    };
    assert_eq!(begin(&mut life), asks(1, 100));
    assert_eq!(begin(&mut life), asks(1, 100), "nobody knows whether the provider was asked");
    // It may be told of before we are answered.
    desk.tell(&mut life, "a", PaymentNews::Opened);
    let told = life::session_opened(&mut life, desk.cx(), &key("a"), &opened(1));
    assert_eq!(told, open("a", PaymentState::Opened));
    assert_eq!((life.payments[&key("a")].attempt, begin(&mut life)), (1, told));
    desk.tell(&mut life, "a", PaymentNews::Failed);
    assert_eq!(begin(&mut life), asks(2, 100));
    desk.captured(&mut life, "b", 30);
    assert_eq!(begin(&mut life), asks(2, 70), "what is left to pay");
    // An answer of an attempt that is over changes nothing.
    life::session_opened(&mut life, desk.cx(), &key("a"), &opened(1));
    assert_eq!(begin(&mut life), asks(2, 70));
    let mut dead = life.clone();
    let told = life::session_opened(&mut life, desk.cx(), &key("c"), &opened(2));
    assert_eq!(told, open("c", PaymentState::Opened));
    desk.captured(&mut life, "c", 70);
    assert_eq!(begin(&mut life), SessionAnswer::Illegal);
    // Opened for an order that died meanwhile: it is closed again.
    let refund = "r".parse().unwrap();
    assert_eq!(life::cancel(&mut dead, desk.buyer().cx(), &refund), Cancelled::Done);
    let told = life::session_opened(&mut dead, desk.cx(), &key("c"), &opened(2));
    assert_eq!((told, closing(&dead)), (SessionAnswer::Illegal, vec!["a", "b", "c"]));
    let mut none = life::Life::new(id());
    assert_eq!(begin(&mut none), SessionAnswer::NoRow);
    // One whose time is over waits for its payments to be closed: asking again keeps it alive no
    // longer.
    let mut over = pending();
    assert_eq!(begin(&mut over), SessionAnswer::Illegal);
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
    let ask = "c".parse().unwrap();
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
    look(&mut life, MatchState::Waits { again_ms: 0 });
    assert_eq!((fate(&life, "p"), life.follows.done.len()), (None, 0));
    let mut found = life.clone();
    found.order = pending().order;
    look(&mut found, MatchState::Waits { again_ms: 0 });
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
