//! What becomes of an order after it was bought, over HTTP: paid, expired, cancelled, refunded,
//! bought again; with a provider that answers late, wrongly or not at all.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::bank::{self, Bank, captured, post, signed};
use common::{Dev, Setup, now_s, until};
use contract::Reason;
use serde_json::{Value, json};

/// A callback of the bank that is taken.
#[track_caller]
fn tell(dev: &Dev, news: &Value) {
    bank::tell(dev.gate, news);
}

fn know(bank: &Bank, dev: &Dev) {
    dev.operate_ok("PUT", "/admin/providers/bank", Some(&bank.settings()));
}

fn sale(fields: Value) -> (Dev, Bank) {
    let dev = Setup::quick().start();
    let bank = Bank::start();
    know(&bank, &dev);
    dev.offer_with("shoe", fields);
    (dev, bank)
}

/// An order of `ada` that has its row.
fn order(dev: &Dev, offer: &str, key: &str) -> String {
    let token = dev.token("ada");
    let taken = dev.buy(offer, &token, key);
    let order = dev.decided(&taken, &token);
    order["order_id"].as_str().unwrap().to_owned()
}

fn show(dev: &Dev, order: &str) -> Value {
    let reply = dev.get(&format!("/v1/orders/{order}"), &dev.token("ada"));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

#[track_caller]
fn becomes(dev: &Dev, order: &str, status: &str) -> Value {
    until(&format!("{order} to be {status}: {}", show(dev, order)), || {
        Some(show(dev, order)).filter(|o| o["status"] == status)
    })
}

fn ask(dev: &Dev, order: &str, what: &str, body: Option<&Value>) -> common::http::Reply {
    let body = body.map(Value::to_string);
    let (path, token) = (format!("/v1/orders/{order}/{what}"), dev.token("ada"));
    let body = body.as_deref().map(str::as_bytes);
    common::http::call(dev.gate, ("POST", &path), Some(&token), &[], body)
}

fn refunds(dev: &Dev, order: &str) -> Value {
    dev.get(&format!("/v1/orders/{order}/refunds"), &dev.token("ada")).json()["refunds"].clone()
}

fn tasks(dev: &Dev, query: &str) -> Vec<Value> {
    let all = dev.operate_ok("GET", &format!("/admin/tasks{query}"), None);
    all["tasks"].as_array().unwrap().clone()
}

#[track_caller]
fn task(dev: &Dev, kind: &str) -> Value {
    until(&format!("a task {kind}"), || tasks(dev, &format!("?kind={kind}")).into_iter().next())
}

fn resolve(dev: &Dev, task: &Value, outcome: &str) -> Value {
    let path = format!("/admin/tasks/{}/resolve", task["id"].as_str().unwrap());
    dev.operate_ok("POST", &path, Some(&json!({"note": "looked at it", "outcome": outcome})))
}

fn succeeds(_: &bank::Asked) -> (u16, Value) {
    (200, json!({"result": "succeeded"}))
}

#[test]
fn a_session_is_opened_once_and_its_capture_pays() {
    let (dev, bank) = sale(json!({}));
    let order = order(&dev, "shoe", "k");
    let pay = || ask(&dev, &order, "payments", Some(&json!({"provider": "bank"})));
    pay().problem(Reason::DependencyDown);
    bank.says(|_| (200, json!({"payment_id": "pay/1", "redirect": "https://bank/pay?x=1"})));
    let first = pay();
    assert_eq!(first.status, 200, "{first:?}");
    let session = json!({
        "provider": "bank", "payment_id": "pay/1", "state": "opened",
        "redirect": "https://bank/pay?x=1",
    });
    assert_eq!((first.json(), pay().json()), (session.clone(), session));
    let asked = bank.asked("POST /v9/payments");
    assert_eq!(asked.len(), 2, "one that failed, one that did not: {asked:?}");
    for one in &asked {
        assert_eq!(one.key, format!("{order}.1"), "the same key");
        assert_eq!(one.body["amount"], json!({"currency": "EUR", "minor": 1999}));
        assert!(one.signature.starts_with("t=") && one.body["expires_at"].is_string());
    }
    tell(&dev, &captured(&order, "pay/1", "EUR", 1999));
    let paid = becomes(&dev, &order, "paid");
    assert_eq!((&paid["captured"]["minor"], &paid["version"]), (&json!(1999), &json!(2)));
    // Repeated and late news change nothing.
    tell(&dev, &captured(&order, "pay/1", "EUR", 1999));
    pay().problem(Reason::IllegalTransition);
    ask(&dev, &order, "payments", Some(&json!({"provider": "nobody"})))
        .problem(Reason::UnknownProvider);
    for bad in [json!({}), json!({"provider": 1}), json!({"provider": "bank", "x": 1})] {
        ask(&dev, &order, "payments", Some(&bad)).problem(Reason::Malformed);
    }
    let history = dev.get(&format!("/v1/orders/{order}/history"), &dev.token("ada")).json();
    let all = history["transitions"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{history}");
    assert_eq!((&all[0]["to"], &all[0]["actor"]), (&json!("paid"), &json!("provider:bank")));
    assert_eq!(show(&dev, &order)["version"], 2);
}

#[test]
fn callbacks_are_the_providers_or_refused() {
    let (dev, _bank) = sale(json!({}));
    let order = order(&dev, "shoe", "k");
    let news = captured(&order, "p", "EUR", 1999).to_string();
    let body = news.as_bytes();
    let path = "/v1/payments/bank/callback";
    let forged = |signature: Option<&str>, body: &[u8]| {
        post(dev.gate, path, signature, body).problem(Reason::Unauthenticated);
    };
    forged(None, body);
    forged(Some(""), body);
    forged(Some("t=1"), body);
    forged(Some(&life::adapter::sign("somebody else's....", now_s(), body)), body);
    forged(Some(&signed(b"{}")), body);
    let secret = bank::SECRET;
    for far in [now_s() - 302, now_s() + 302] {
        forged(Some(&life::adapter::sign(secret, far, body)), body);
    }
    post(dev.gate, "/v1/payments/nobody/callback", Some(&signed(body)), body)
        .problem(Reason::UnknownProvider);
    let large = vec![b' '; 256 * 1024 + 1];
    post(dev.gate, path, Some(&signed(&large)), &large).problem(Reason::BodyTooLarge);
    assert_eq!(show(&dev, &order)["status"], "pending");
    // What is authentic is taken, whatever it says; a person hears of what nobody can read.
    for odd in [&b"{"[..], b"[]", b"{\"result\":\"captured\"}", b"\xff", b""] {
        let reply = post(dev.gate, path, Some(&signed(odd)), odd);
        assert_eq!(reply.status, 200, "{odd:?} {reply:?}");
    }
    let negative = captured(&order, "p", "EUR", -1).to_string();
    assert_eq!(
        post(dev.gate, path, Some(&signed(negative.as_bytes())), negative.as_bytes()).status,
        200
    );
    let unknown = json!({"event_id": "e", "payment_id": "p", "order_id": order, "result": "new"});
    tell(&dev, &unknown);
    assert_eq!(task(&dev, "unreadable")["state"], "open");
    assert_eq!(show(&dev, &order)["status"], "pending");
    // An older secret of it verifies too.
    let older = life::adapter::sign(bank::OLDER, now_s(), body);
    assert_eq!(post(dev.gate, path, Some(&older), body).status, 200);
    becomes(&dev, &order, "paid");
}

#[test]
fn what_paid_nothing_goes_back() {
    let (dev, bank) = sale(json!({}));
    bank.says(succeeds);
    let order = order(&dev, "shoe", "k");
    tell(&dev, &captured(&order, "dollars", "USD", 1999));
    tell(&dev, &captured(&order, "less", "EUR", 999));
    tell(&dev, &captured(&order, "more", "EUR", 1100));
    becomes(&dev, &order, "paid");
    tell(&dev, &captured(&order, "again", "EUR", 1999));
    let sent = until("all that is over to go back", || {
        let mut all: Vec<(String, i64)> = bank
            .asked("POST /v9/refunds")
            .iter()
            .map(|a| {
                let amount = a.body["amount"]["minor"].as_i64().unwrap();
                (a.body["payment_id"].as_str().unwrap().to_owned(), amount)
            })
            .collect();
        all.sort();
        all.dedup();
        (all.len() == 3).then_some(all)
    });
    let back = [("again", 1999), ("dollars", 1999), ("more", 100)];
    assert_eq!(sent, back.map(|(p, n)| (p.to_owned(), n)));
    let shown = show(&dev, &order);
    assert_eq!(
        (&shown["captured"]["minor"], &shown["refunded"]["minor"]),
        (&json!(1999), &json!(0))
    );
    // The buyer sees what goes back by itself, too.
    let shown = until("all three to be shown as moved", || {
        let all = refunds(&dev, &order);
        let moved = |r: &&Value| r["state"] == "succeeded" && r["lines"] == json!([]);
        let amounts = all.as_array()?.iter().filter(moved);
        let mut amounts: Vec<Value> = amounts.map(|r| r["amount"].clone()).collect();
        amounts.sort_by_key(Value::to_string);
        (amounts.len() == 3).then_some(amounts)
    });
    assert_eq!(shown[2], json!({"currency": "USD", "minor": 1999}));
}

#[test]
fn a_refund_is_told_when_the_money_moved_and_asked_about_before_it_is_sent_again() {
    let (dev, bank) = sale(json!({"allotment": 3}));
    let order = order(&dev, "shoe", "k");
    tell(&dev, &captured(&order, "p", "EUR", 1999));
    becomes(&dev, &order, "paid");
    // The first try has no answer, it is asked about, never arrived, is sent again.
    let mut calls = 0;
    bank.says(move |asked| {
        if asked.call.starts_with("GET") {
            return (404, json!({}));
        }
        calls += u32::from(asked.call.ends_with("/refunds"));
        if calls == 1 { (0, json!({})) } else { (200, json!({"result": "succeeded"})) }
    });
    let whole = json!({"refund_id": "r1", "note": "it broke"});
    let taken = dev.operate("POST", &format!("/admin/orders/{order}/refund"), Some(&whole));
    assert_eq!(taken.status, 202, "{taken:?}");
    assert_eq!(show(&dev, &order)["status"], "refunding");
    let done = becomes(&dev, &order, "refunded");
    assert_eq!(done["refunded"]["minor"], 1999);
    let sent = bank.asked("POST /v9/refunds");
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!((sent[0].key.as_str(), &sent[0].body), (sent[1].key.as_str(), &sent[1].body));
    assert_eq!(sent[0].body["refund_id"], sent[0].key);
    let asked = bank.asked("GET /v9/refunds/");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].call, format!("GET /v9/refunds/{}", sent[0].key));
    // The goods of a paid order are sold again.
    until("the unit to be back", || (dev.stock("shoe")["available"] == 3).then_some(()));
    let history = dev.get(&format!("/v1/orders/{order}/history"), &dev.token("ada")).json();
    let to: Vec<&Value> =
        history["transitions"].as_array().unwrap().iter().map(|t| &t["to"]).collect();
    assert_eq!(to, ["paid", "refunding", "refunding", "refunded"]);
    assert_eq!(history["transitions"][1]["actor"], "operator:admin");
    let state = json!([{
        "refund_id": "r1", "state": "succeeded", "amount": {"currency": "EUR", "minor": 1999},
        "lines": [{"offer": "shoe", "quantity": 1}],
    }]);
    assert_eq!(refunds(&dev, &order), state);
}

#[test]
fn what_does_not_get_through_is_a_persons() {
    let (dev, bank) = sale(json!({}));
    let order = order(&dev, "shoe", "k");
    tell(&dev, &captured(&order, "p", "EUR", 1999));
    becomes(&dev, &order, "paid");
    let path = format!("/admin/orders/{order}/refund");
    dev.operate_ok("POST", &path, Some(&json!({"refund_id": "r1"})));
    let open = task(&dev, "refund");
    let tried = bank.asked("POST /v9/refunds").len() + bank.asked("GET /v9/refunds").len();
    assert!((3..=4).contains(&tried), "{tried} calls");
    assert_eq!(
        (&refunds(&dev, &order)[0]["state"], &open["state"]),
        (&json!("manual"), &json!("open"))
    );
    // Sent again by a person, it has as many tries once more.
    let retry = format!("/admin/tasks/{}/retry", open["id"].as_str().unwrap());
    dev.operate_ok("POST", &retry, None);
    until("it to be tried again", || {
        let now = bank.asked("GET /v9/refunds").len() + bank.asked("POST /v9/refunds").len();
        (now > tried).then_some(())
    });
    let open = task(&dev, "refund");
    let ignored = format!("/admin/tasks/{}/resolve", open["id"].as_str().unwrap());
    let ignore = json!({"note": "x", "outcome": "ignored"});
    dev.operate("POST", &ignored, Some(&ignore)).problem(Reason::IllegalTransition);
    let ended = resolve(&dev, &open, "failed");
    assert_eq!((&ended["state"], &ended["resolved_by"]), (&json!("resolved"), &json!("admin")));
    assert_eq!(ended["note"], "looked at it");
    becomes(&dev, &order, "paid");
    assert!(tasks(&dev, "").is_empty());
    assert_eq!(tasks(&dev, "?state=resolved&kind=refund").len(), 1);
    dev.operate("POST", &retry, None).problem(Reason::IllegalTransition);
    // What failed takes nothing: all of it may still go back.
    bank.says(succeeds);
    dev.operate_ok("POST", &path, Some(&json!({"refund_id": "r2"})));
    becomes(&dev, &order, "refunded");
    for bad in [json!({}), json!({"note": "", "outcome": "done"}), json!({"note": "x"})] {
        dev.operate("POST", &ignored, Some(&bad)).problem(Reason::Malformed);
    }
    dev.operate("POST", "/admin/tasks/life-9-5-61/retry", None).problem(Reason::UnknownTask);
}

/// What is owed goes back all the same: a person ends a try, and the next one has a key of its own.
#[test]
fn a_payment_that_bought_nothing_is_owed() {
    let (dev, bank) = sale(json!({}));
    let order = order(&dev, "shoe", "k");
    // A refusal is an answer: it opens no breaker, and is no clear word either.
    bank.says(|_| (422, json!({"error": "not today"})));
    tell(&dev, &captured(&order, "p", "USD", 700));
    let open = task(&dev, "refund");
    let first = bank.asked("POST /v9/refunds")[0].clone();
    bank.says(succeeds);
    resolve(&dev, &open, "failed");
    let next = until("another refund", || {
        bank.asked("POST /v9/refunds").into_iter().find(|a| a.key != first.key)
    });
    assert_eq!(
        (&next.body["amount"], &next.body["payment_id"]),
        (&json!({"currency": "USD", "minor": 700}), &json!("p"),)
    );
    until("no task is left", || tasks(&dev, "").is_empty().then_some(()));
    assert_eq!(show(&dev, &order)["status"], "pending");
}

#[test]
fn buyers_ask_and_a_person_grants() {
    let (dev, bank) = sale(json!({"allotment": 9}));
    bank.says(succeeds);
    let token = dev.token("ada");
    let taken = dev.buy_body("shoe", &token, "k", Some("{\"quantity\":3}"));
    let order = dev.decided(&taken, &token)["order_id"].as_str().unwrap().to_owned();
    let refund = |body: Value| ask(&dev, &order, "refund", Some(&body));
    refund(json!({"refund_id": "early"})).problem(Reason::IllegalTransition);
    tell(&dev, &captured(&order, "p", "EUR", 3 * 1999));
    becomes(&dev, &order, "paid");
    let two = json!({"refund_id": "two", "lines": [{"offer": "shoe", "quantity": 2}]});
    let asked = refund(two.clone());
    let amount = json!({"currency": "EUR", "minor": 2 * 1999});
    assert_eq!(asked.json(), json!({"refund_id": "two", "state": "asked", "amount": amount}));
    assert_eq!(refund(two).status, 202, "the same again");
    refund(json!({"refund_id": "two"})).problem(Reason::KeyConflict);
    let more = json!({"refund_id": "more", "lines": [{"offer": "shoe", "quantity": 2}]});
    refund(more).problem(Reason::RefundTooLarge);
    let much = json!({"refund_id": "m", "amount": {"currency": "EUR", "minor": 2000}});
    refund(much).problem(Reason::RefundTooLarge);
    for bad in [
        json!({}),
        json!({"refund_id": ""}),
        json!({"refund_id": "ä"}),
        json!({"refund_id": "x", "lines": []}),
        json!({"refund_id": "x", "lines": [{"offer": "hat", "quantity": 1}]}),
        json!({"refund_id": "x", "lines": [{"offer": "shoe", "quantity": 0}]}),
        json!({"refund_id": "x", "lines": [{"offer": "shoe", "quantity": -1}]}),
        json!({"refund_id": "x", "lines": [{"offer": "shoe", "quantity": 1},
            {"offer": "shoe", "quantity": 1}]}),
        json!({"refund_id": "x", "amount": {"currency": "USD", "minor": 1}}),
        json!({"refund_id": "x", "amount": {"currency": "EUR", "minor": 0}}),
        json!({"refund_id": "x", "amount": {"currency": "EUR", "minor": -5}}),
        json!({"refund_id": "x", "amount": {"currency": "EUR", "minor": 1}, "lines": []}),
        json!({"refund_id": "x", "note": "buyers have none"}),
        json!({"refund_id": "x", "unknown": 1}),
    ] {
        refund(bad).problem(Reason::Malformed);
    }
    // Another buyer's order is as unknown as none.
    let path = format!("/v1/orders/{order}/refund");
    let foreign = |path: &str| {
        let body = json!({"refund_id": "x"}).to_string();
        let bob = dev.token("bob");
        common::http::call(dev.gate, ("POST", path), Some(&bob), &[], Some(body.as_bytes()))
    };
    foreign(&path).problem(Reason::UnknownOrder);
    foreign("/v1/orders/00000078-b707-8033-a409-5c237d1a6eb0/refund").problem(Reason::UnknownOrder);
    assert!(bank.asked("POST /v9/refunds").is_empty(), "nobody has granted it");
    resolve(&dev, &task(&dev, "refund_asked"), "done");
    until("it to be sent", || (refunds(&dev, &order)[0]["state"] == "succeeded").then_some(()));
    let shown = show(&dev, &order);
    assert_eq!((&shown["status"], &shown["refunded"]["minor"]), (&json!("paid"), &json!(3998)));
    until("two units to be back", || (dev.stock("shoe")["available"] == 8).then_some(()));
    // Refused by a person, it takes nothing.
    let rest = json!({"refund_id": "rest"});
    assert_eq!(refund(rest.clone()).json()["amount"]["minor"], 1999);
    resolve(&dev, &task(&dev, "refund_asked"), "failed");
    assert_eq!(refunds(&dev, &order)[0]["state"], "failed");
    assert_eq!(show(&dev, &order)["status"], "paid");
}

#[test]
fn offers_say_what_becomes_of_refunds_and_cancellations() {
    let (dev, bank) = sale(json!({"refund": "no"}));
    bank.says(succeeds);
    dev.offer_with("auto", json!({"refund": "auto", "restock": "no", "cancel_paid": "refund"}));
    let (no, auto) = (order(&dev, "shoe", "a"), order(&dev, "auto", "b"));
    for order in [&no, &auto] {
        tell(&dev, &captured(order, order, "EUR", 1999));
        becomes(&dev, order, "paid");
    }
    ask(&dev, &no, "refund", Some(&json!({"refund_id": "r"}))).problem(Reason::RefundNotAllowed);
    ask(&dev, &no, "cancel", None).problem(Reason::IllegalTransition);
    assert_eq!(ask(&dev, &auto, "cancel", None).status, 202);
    becomes(&dev, &auto, "refunded");
    assert_eq!(ask(&dev, &auto, "cancel", None).status, 202, "again");
    assert_eq!(dev.stock("auto")["available"], 9, "it is not sold again");
    // Before it is paid, anybody may cancel; after that a payment goes back.
    let third = order(&dev, "shoe", "c");
    for _ in 0..2 {
        let cancelled = ask(&dev, &third, "cancel", None);
        assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
    }
    ask(&dev, &third, "cancel", Some(&json!({}))).problem(Reason::Malformed);
    until("its unit to be back", || (dev.stock("shoe")["available"] == 9).then_some(()));
    tell(&dev, &captured(&third, "late", "EUR", 1999));
    let back = |a: &bank::Asked| a.body["payment_id"] == "late";
    until("the money to go back", || {
        bank.asked("POST /v9/refunds").into_iter().find(back).map(drop)
    });
    assert_eq!(show(&dev, &third)["status"], "cancelled");
    // Operators cancel, ship and complete, under their names.
    let fourth = order(&dev, "shoe", "d");
    let operate = |what: &str| dev.operate("POST", &format!("/admin/orders/{fourth}/{what}"), None);
    operate("ship").problem(Reason::IllegalTransition);
    tell(&dev, &captured(&fourth, "p4", "EUR", 1999));
    becomes(&dev, &fourth, "paid");
    assert_eq!(operate("ship").json()["status"], "shipped");
    assert_eq!(operate("ship").json()["status"], "shipped");
    assert_eq!(operate("complete").json()["status"], "completed");
    operate("cancel").json();
    becomes(&dev, &fourth, "refunded");
    assert_eq!(dev.stock("shoe")["available"], 8, "what was shipped is not in the warehouse");
}

#[test]
fn nobody_expires_who_was_told_in_time_and_payments_are_closed_first() {
    let (dev, bank) = sale(json!({}));
    dev.operate_ok("PUT", "/admin/campaigns/quick", Some(&json!({"payment_window_s": 1})));
    dev.operate_ok("PUT", "/admin/campaigns/never", Some(&json!({"payment_window_s": 0})));
    dev.offer_with("fast", json!({"campaign": "quick"}));
    dev.offer_with("cash", json!({"campaign": "never"}));
    let cash = order(&dev, "cash", "k");
    assert_eq!(show(&dev, &cash)["expires_at"], Value::Null);
    bank.says(|asked| match asked.call.as_str() {
        "POST /v9/payments" => {
            (200, json!({"payment_id": format!("p-{}", asked.body["order_id"].as_str().unwrap())}))
        }
        // No answer at all: five take longer than the death of an order without a payment.
        close if close.ends_with("/close") => (0, json!({})),
        _ => (200, json!({"result": "succeeded"})),
    });
    let orders: Vec<String> = (0..3).map(|n| order(&dev, "fast", &format!("k{n}"))).collect();
    for order in &orders[..2] {
        ask(&dev, order, "payments", Some(&json!({"provider": "bank"})));
    }
    // One without a payment dies without asking, though the provider is silent.
    becomes(&dev, &orders[2], "expired");
    for order in &orders[..2] {
        assert_eq!(show(&dev, order)["status"], "pending");
    }
    // Whose time is over begins no new session, or it would live for as long as it asks.
    ask(&dev, &orders[2], "payments", Some(&json!({"provider": "bank"})))
        .problem(Reason::IllegalTransition);
    let first = orders[0].clone();
    let mut closes = 0;
    bank.says(move |asked| {
        let paid = asked.body["order_id"] == first.as_str();
        closes += u32::from(paid);
        match asked.call.ends_with("/close") {
            // How much was captured nobody knows: it is asked again.
            true if paid && closes == 1 => (200, json!({"result": "captured"})),
            true if paid => {
                let captured = json!({"currency": "EUR", "minor": 1999});
                (200, json!({"result": "captured", "captured": captured}))
            }
            true => (200, json!({"result": "closed"})),
            false => (200, json!({"result": "succeeded"})),
        }
    });
    becomes(&dev, &orders[0], "paid");
    becomes(&dev, &orders[1], "expired");
    until("the units to be back", || (dev.stock("fast")["available"] == 9).then_some(()));
    assert_eq!(show(&dev, &cash)["status"], "pending", "cash never expires");
}

#[test]
fn a_late_payment_buys_the_order_again_while_there_are_units() {
    let (dev, bank) = sale(json!({}));
    bank.says(succeeds);
    dev.operate_ok("PUT", "/admin/campaigns/quick", Some(&json!({"payment_window_s": 1})));
    dev.offer_with("fast", json!({"campaign": "quick", "allotment": 1, "limit_per_buyer": 1}));
    dev.offer_with("strict", json!({"campaign": "quick", "late_payment": "refund"}));
    let (old, strict) = (order(&dev, "fast", "a"), order(&dev, "strict", "b"));
    becomes(&dev, &old, "expired");
    becomes(&dev, &strict, "expired");
    tell(&dev, &captured(&strict, "strict", "EUR", 1999));
    tell(&dev, &captured(&old, "late", "EUR", 2099));
    let next =
        until("a successor", || show(&dev, &old)["superseded_by"].as_str().map(str::to_owned));
    let bought = show(&dev, &next);
    assert_eq!((&bought["status"], &bought["supersedes"]), (&json!("paid"), &json!(old)));
    assert_eq!(bought["amount"]["minor"], 1999);
    assert_eq!(show(&dev, &old)["status"], "expired");
    assert_eq!(dev.stock("fast")["available"], 0);
    // What was over, the money of the offer that does not buy again, and of a second late payment.
    tell(&dev, &captured(&old, "later", "EUR", 1999));
    let sent = until("three refunds", || {
        let mut all: Vec<(String, i64)> = bank
            .asked("POST /v9/refunds")
            .iter()
            .map(|a| {
                let payment = a.body["payment_id"].as_str().unwrap().to_owned();
                (payment, a.body["amount"]["minor"].as_i64().unwrap())
            })
            .collect();
        all.sort();
        all.dedup();
        (all.len() == 3).then_some(all)
    });
    assert_eq!(
        sent,
        [("late", 100), ("later", 1999), ("strict", 1999)].map(|(p, n)| (p.into(), n))
    );
    // Sold out meanwhile: the money goes back.
    dev.offer_with("last", json!({"campaign": "quick", "allotment": 1}));
    let gone = order(&dev, "last", "c");
    becomes(&dev, &gone, "expired");
    until("its unit", || (dev.stock("last")["available"] == 1).then_some(()));
    let bob = dev.token("bob");
    dev.decided(&dev.buy("last", &bob, "k"), &bob);
    tell(&dev, &captured(&gone, "gone", "EUR", 1999));
    until("the money to go back", || {
        let back = |a: &bank::Asked| a.body["payment_id"] == "gone";
        bank.asked("POST /v9/refunds").into_iter().find(back).map(drop)
    });
    assert_eq!(show(&dev, &gone)["superseded_by"], Value::Null);
}

/// What was answered 200 is durable, wherever it was when the process was killed.
#[test]
fn money_that_was_taken_survives_a_kill() {
    let (mut dev, _bank) = sale(json!({"allotment": 20}));
    let orders: Vec<String> = (0..12).map(|n| order(&dev, "shoe", &format!("k{n}"))).collect();
    let operate = |dev: &Dev, order: &str| {
        let path = format!("/admin/orders/{order}/refund");
        dev.operate("POST", &path, Some(&json!({"refund_id": "r"}))).status
    };
    for order in &orders[..4] {
        tell(&dev, &captured(order, order, "EUR", 1999));
        becomes(&dev, order, "paid");
        assert_eq!(operate(&dev, order), 202);
    }
    for order in &orders[4..] {
        tell(&dev, &captured(order, order, "EUR", 1999));
    }
    dev.kill();
    let again = Setup::quick().dir(&dev.dir).start();
    let bank = Bank::start();
    bank.says(succeeds);
    know(&bank, &again);
    for order in &orders[4..] {
        becomes(&again, order, "paid");
    }
    for order in &orders[..4] {
        let open = tasks(&again, "?kind=refund");
        let own = open.iter().find(|t| t["subject"].as_str().unwrap().starts_with(order.as_str()));
        if let Some(task) = own {
            let retry = format!("/admin/tasks/{}/retry", task["id"].as_str().unwrap());
            again.operate_ok("POST", &retry, None);
        }
        becomes(&again, order, "refunded");
    }
    until("their units", || (again.stock("shoe")["available"] == 12).then_some(()));
}

#[test]
fn a_payment_finds_its_order_or_a_person() {
    let (dev, bank) = sale(json!({}));
    bank.says(succeeds);
    // Nobody's order: the account may be used by others as well.
    let nobodys = "00000078-b707-8033-a409-5c237d1a6eb0";
    tell(&dev, &captured(nobodys, "whose", "EUR", 1999));
    let open = task(&dev, "orphan");
    assert_eq!(open["subject"], "bank/whose");
    assert!(bank.asked("POST /v9/refunds").is_empty());
    // A payment that is told of two orders.
    let (first, second) = (order(&dev, "shoe", "a"), order(&dev, "shoe", "b"));
    tell(&dev, &captured(&first, "p", "EUR", 1999));
    becomes(&dev, &first, "paid");
    tell(&dev, &captured(&second, "p", "EUR", 1999));
    task(&dev, "other_order");
    assert_eq!(show(&dev, &second)["status"], "pending");
    // Money that the provider took back by itself.
    tell(
        &dev,
        &json!({
            "event_id": "dispute", "payment_id": "p", "order_id": first,
            "result": "refund_succeeded", "refund_id": "dp_1",
            "amount": {"currency": "EUR", "minor": 1999},
        }),
    );
    task(&dev, "taken_back");
    assert_eq!(show(&dev, &first)["status"], "paid", "not reduced silently");
}

#[test]
fn warehouses_tell_what_became_of_goods() {
    let (dev, bank) = sale(json!({"allotment": 5}));
    bank.says(succeeds);
    let order = order(&dev, "shoe", "k");
    let parcel = |news: Value| {
        let body = news.to_string();
        let path = "/v1/fulfilments/bank/callback";
        let reply = post(dev.gate, path, Some(&signed(body.as_bytes())), body.as_bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
    };
    let news = |id: &str, result: &str| {
        let tracking = "T 1";
        json!({"event_id": id, "order_id": order, "result": result, "tracking": tracking})
    };
    parcel(news("e1", "shipped"));
    assert_eq!(task(&dev, "parcel")["state"], "open", "it is not paid");
    tell(&dev, &captured(&order, "p", "EUR", 1999));
    becomes(&dev, &order, "paid");
    parcel(news("e2", "delivered"));
    assert_eq!(becomes(&dev, &order, "completed")["version"], 4, "it was shipped before");
    parcel(news("e1", "shipped"));
    dev.operate_ok(
        "POST",
        &format!("/admin/orders/{order}/refund"),
        Some(&json!({"refund_id": "r"})),
    );
    becomes(&dev, &order, "refunded");
    assert_eq!(dev.stock("shoe")["available"], 4);
    let back = |lines: Value| {
        let (id, result) = ("e3", "returned");
        json!({"event_id": id, "order_id": order, "result": result, "lines": lines})
    };
    parcel(back(json!([{"offer": "shoe", "quantity": 2}])));
    until("a person to hear of goods of no refund", || {
        (tasks(&dev, "?kind=parcel").len() == 2).then_some(())
    });
    for _ in 0..2 {
        parcel(back(json!([{"offer": "shoe", "quantity": 1}])));
    }
    until("the unit to be back", || (dev.stock("shoe")["available"] == 5).then_some(()));
    let unsigned = post(dev.gate, "/v1/fulfilments/bank/callback", None, b"{}");
    unsigned.problem(Reason::Unauthenticated);
}

#[test]
fn another_price_than_the_buyer_saw_is_refused() {
    let (dev, _bank) = sale(json!({}));
    let token = dev.token("ada");
    let buy = |key: &str, body: Value| dev.buy_body("shoe", &token, key, Some(&body.to_string()));
    let seen = |minor: i64| json!({"expected_amount": {"currency": "EUR", "minor": minor}});
    buy("a", seen(1998)).problem(Reason::PriceChanged);
    buy("a", json!({"expected_amount": {"currency": "USD", "minor": 1999}}))
        .problem(Reason::PriceChanged);
    assert_eq!(dev.stock("shoe")["held"], 0, "nothing is held");
    for bad in [json!({"expected_amount": 1999}), json!({"expected_amount": {"minor": 1}})] {
        buy("a", bad).problem(Reason::Malformed);
    }
    let taken = buy("a", seen(1999));
    let order = dev.decided(&taken, &token)["order_id"].clone();
    let two = json!({"quantity": 2, "expected_amount": {"currency": "EUR", "minor": 3998}});
    dev.decided(&buy("b", two), &token);
    // The same request after a change of price is the same order.
    let offer = json!({
        "campaign": "evergreen", "sku": "SKU-1", "allotment": 10,
        "price": {"currency": "EUR", "minor": 5000},
    });
    dev.operate_ok("PUT", "/admin/offers/shoe", Some(&offer));
    let again = buy("a", seen(1999));
    assert_eq!((again.status, again.json()["order_id"].clone()), (200, order));
    buy("c", seen(1999)).problem(Reason::PriceChanged);
}

#[test]
fn providers_are_checked_and_their_secrets_not_shown() {
    let dev = Dev::start();
    let good = json!({"adapter": "generic", "secrets": ["0123456789abcdef"]});
    let put = |body: &Value| dev.operate("PUT", "/admin/providers/card", Some(body));
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for bad in [
        json!({}),
        with("adapter", json!("paypal")),
        with("secrets", json!([])),
        with("secrets", json!([""])),
        with("secrets", json!(["x".repeat(257)])),
        with("secrets", json!(["0123456789 abcdef"])),
        with("secrets", json!(vec!["0123456789abcdef"; 9])),
        with("base_url", json!("ftp://x")),
        with("base_url", json!("http://user:secret@x")),
        with("base_url", json!(null)),
        with("timeout_ms", json!(99)),
        with("timeout_ms", json!(60_001)),
        with("x", json!(1)),
        json!({"adapter": "standard-webhooks", "secrets": ["whsec_not base64 at all"]}),
    ] {
        put(&bad).problem(Reason::Malformed);
    }
    dev.operate("PUT", "/admin/providers/A", Some(&good)).problem(Reason::BadId);
    dev.operate("GET", "/admin/providers/card", None).problem(Reason::UnknownProvider);
    assert_eq!((put(&good).status, put(&good).status), (201, 200));
    let shown = dev.operate("GET", "/admin/providers/card", None);
    assert!(!shown.text().contains("0123456789abcdef"), "{}", shown.text());
    assert_eq!(shown.json()["secrets"], json!(["[redacted]"]));
    assert_eq!(
        (&shown.json()["timeout_ms"], &shown.json()["base_url"]),
        (&json!(5000), &json!(null))
    );
}
