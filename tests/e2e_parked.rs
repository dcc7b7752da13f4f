//! What a writer has put aside: operators see it, give it back to the log, and it becomes an order,
//! or is put aside again.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::fmt::Write;

use common::{Dev, Setup, now_s, until};
use contract::Reason;
use domain::frame::{self, Item, Mode, Sealed};
use domain::{Identity, OrderId, Payload};
use serde_json::{Value, json};
use testkit::store::make::one_line;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut s, b| {
        write!(s, "{b:02x}").unwrap();
        s
    })
}

/// An order of one unit that nobody holds anything for.
fn order(offer: &str, buyer: &str) -> Payload {
    let cell = offer.parse::<domain::OfferId>().unwrap().cell(0);
    one_line(&Identity::new(b"any"), &cell, (buyer, "k"))
}

fn sql(dev: &Dev, statement: &str) {
    testkit::own::on_file(&dev.path().join("db-0.sqlite"), statement).unwrap();
}

fn park(dev: &Dev, p: &Payload, mode: u8) {
    let bytes = [&[mode][..], &(now_s() * 1000).to_be_bytes(), &p.encode()].concat();
    let (id, bytes) = (hex(&p.order.0), hex(&bytes));
    sql(dev, &format!("INSERT INTO parked VALUES (x'{id}', 'a test', x'{bytes}', 1, 1, 1)"));
}

fn tasks(dev: &Dev, query: &str) -> Value {
    dev.operate_ok("GET", &format!("/admin/tasks{query}"), None)
}

fn status(dev: &Dev, p: &Payload) -> Option<String> {
    let path = format!("/v1/orders/{}", p.order);
    let reply = dev.get(&path, &dev.token(p.buyer.as_str()));
    (reply.status == 200).then(|| reply.json()["status"].as_str().unwrap().to_owned())
}

#[test]
fn parked_orders_go_back_into_the_log() {
    let dev = Setup::new().start();
    dev.offer("shoe", 5);
    let (bought, aborted) = (order("shoe", "ada"), order("shoe", "bob"));
    park(&dev, &bought, 1);
    park(&dev, &aborted, 2);
    let listed = tasks(&dev, "?kind=parked_order");
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2);
    let of = |p: &Payload| {
        let id = p.order.to_string();
        listed["tasks"].as_array().unwrap().iter().find(|t| t["id"] == id.as_str()).cloned()
    };
    let task = of(&bought).unwrap();
    assert_eq!(
        (&task["why"], &task["state"], &task["times"]),
        (&json!("a test"), &json!("open"), &json!(1))
    );
    for p in [&bought, &aborted] {
        let path = format!("/admin/parked/{}/retry", p.order);
        let done = dev.operate_ok("POST", &path, None);
        assert_eq!(done["state"], "retried");
        // It is no task any more.
        dev.operate("POST", &path, None).problem(Reason::UnknownTask);
    }
    until("an order", || (status(&dev, &bought)? == "pending").then_some(()));
    // What was to be rejected is rejected.
    until("a rejection", || (status(&dev, &aborted)? == "rejected").then_some(()));
    assert_eq!(tasks(&dev, ""), json!({"tasks": [], "next_cursor": null}));
    assert_eq!(dev.settled("shoe")["net"], 1);
}

#[test]
fn parked_frames_go_back_and_return() {
    let dev = Setup::new().start();
    dev.offer("shoe", 5);
    let p = order("shoe", "ada");
    let sealed = Sealed { t_ms: now_s() * 1000, payload: p.encode().into() };
    let good = frame::encode(&[Item::Order(Mode::Full, sealed)]);
    let broken = [b"no frame ".as_slice(), &[0xff; 40]].concat();
    let mut ids = Vec::new();
    for bytes in [&good[..], &broken] {
        let id = domain::identity::sha256_hex(bytes);
        let row = format!("'{id}', 'main-0', 'checksum', x'{}', 1, 1, 1", hex(bytes));
        sql(&dev, &format!("INSERT INTO parked_frame VALUES ({row})"));
        ids.push(id);
    }
    // Pages of one, in the order of the ids.
    let mut seen = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = tasks(&dev, &query);
        let Some(task) = page["tasks"].as_array().unwrap().first() else { break };
        seen.push(task["id"].as_str().unwrap().to_owned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("?limit=1&cursor={cursor}");
    }
    let mut want = ids.clone();
    want.sort_unstable();
    assert_eq!(seen, want);
    for id in &ids {
        dev.operate_ok("POST", &format!("/admin/parked/{id}/retry"), None);
    }
    until("an order", || (status(&dev, &p)? == "pending").then_some(()));
    // Nobody can read it: it comes back, and says so.
    let back = until("the broken one", || {
        let all = tasks(&dev, "?kind=parked_frame");
        all["tasks"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&back["id"], &back["kind"]), (&json!(ids[1]), &json!("parked_frame")));
    assert_eq!(dev.settled("shoe")["net"], 1);
}

#[test]
fn bad_questions_have_an_answer() {
    let dev = Setup::new().start();
    for query in ["limit=0", "limit=1000", "kind=sock", "state=lost", "cursor=%00", "page=2"] {
        let reply = dev.operate("GET", &format!("/admin/tasks?{query}"), None);
        reply.problem(Reason::Malformed);
    }
    let nobody = OrderId([7; 16]).to_string();
    for id in ["x", "..", &nobody, &"0".repeat(64), &"g".repeat(64), "%2e"] {
        let reply = dev.operate("POST", &format!("/admin/parked/{id}/retry"), None);
        reply.problem(Reason::UnknownTask);
    }
    let reply = dev.operate("GET", &format!("/admin/parked/{nobody}/retry"), None);
    reply.problem(Reason::MethodNotAllowed);
    let reply = dev.operate("POST", &format!("/admin/parked/{nobody}/retry"), Some(&json!({})));
    reply.problem(Reason::Malformed);
}
