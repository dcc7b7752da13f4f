//! What a checkout keeps of a person with an order, over HTTP: kept apart, shown to its buyer, and
//! erased.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::http::{Reply, call};
use common::{Dev, Setup};
use contract::Reason;
use serde_json::{Value, json};

fn order(dev: &Dev, buyer: &str, key: &str) -> String {
    let token = dev.token(buyer);
    let taken = dev.buy("demo", &token, key);
    dev.decided(&taken, &token)["order_id"].as_str().unwrap().to_owned()
}

fn put(dev: &Dev, order: &str, buyer: &str, body: &str) -> Reply {
    let (path, token) = (format!("/v1/orders/{order}/details"), dev.token(buyer));
    call(dev.gate, ("PUT", &path), Some(&token), &[], Some(body.as_bytes()))
}

fn show(dev: &Dev, order: &str, buyer: &str) -> Reply {
    dev.get(&format!("/v1/orders/{order}/details"), &dev.token(buyer))
}

fn erase(dev: &Dev, buyer: &str) -> Reply {
    dev.operate("DELETE", &format!("/admin/buyers/{buyer}/details"), None)
}

#[test]
fn details_are_kept_as_they_were_given_and_erased_for_one_buyer() {
    let dev = Dev::start();
    let (first, second) = (order(&dev, "ada", "k1"), order(&dev, "ada", "k2"));
    assert_eq!(show(&dev, &first, "ada").text(), "{}");
    // Numbers that no float has, an emoji, its own order of fields.
    let text = "{\"z\":1e300,\"name\":\"Ada 🎉\",\"a\":[9007199254740993]}";
    assert_eq!(put(&dev, &first, "ada", text).text(), text);
    assert_eq!(show(&dev, &first, "ada").text(), text);
    assert_eq!(put(&dev, &first, "ada", " {} ").text(), "{}", "in place of it");
    assert_eq!(put(&dev, &first, "ada", text).status, 200);
    assert_eq!(put(&dev, &second, "ada", text).status, 200);
    let other = order(&dev, "ada/ü %", "k");
    assert_eq!(put(&dev, &other, "ada/ü %", text).status, 200);
    assert_eq!(erase(&dev, "ada").json(), json!({"erased": 2}));
    assert_eq!(erase(&dev, "ada").json(), json!({"erased": 0}));
    for order in [&first, &second] {
        assert_eq!(show(&dev, order, "ada").text(), "{}");
    }
    assert_eq!(show(&dev, &other, "ada/ü %").text(), text);
    assert_eq!(erase(&dev, "ada%2F%C3%BC%20%25").json(), json!({"erased": 1}));
    // The order itself is as it was.
    let shown: Value = dev.get(&format!("/v1/orders/{first}"), &dev.token("ada")).json();
    assert_eq!((&shown["status"], &shown["metadata"]), (&json!("pending"), &json!({})));
}

#[test]
fn what_is_no_object_or_no_order_of_theirs_is_refused() {
    let dev = Dev::start();
    let own = order(&dev, "ada", "k");
    for bad in ["[]", "1", "\"x\"", "null", "{", "{}x", "{\"a\":\u{1}}"] {
        put(&dev, &own, "ada", bad).problem(Reason::Malformed);
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    put(&dev, &own, "ada", &deep).problem(Reason::Malformed);
    let fits = format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024 - 8));
    assert_eq!(put(&dev, &own, "ada", &fits).status, 200, "{}", fits.len());
    put(&dev, &own, "ada", &format!("{fits} ")).problem(Reason::BodyTooLarge);
    let path = format!("/v1/orders/{own}/details");
    let token = dev.token("ada");
    let plain = [("content-type", "text/plain")];
    call(dev.gate, ("PUT", &path), Some(&token), &plain, Some(b"{}"))
        .problem(Reason::UnsupportedMediaType);
    call(dev.gate, ("PUT", &path), Some(&token), &[], None).problem(Reason::Malformed);
    call(dev.gate, ("DELETE", &path), Some(&token), &[], None).problem(Reason::MethodNotAllowed);
    // Another buyer's order is one that nobody knows.
    for foreign in [own.as_str(), "00000078-b707-8033-a409-5c237d1a6eb0", "x"] {
        put(&dev, foreign, "eve", "{}").problem(Reason::UnknownOrder);
        show(&dev, foreign, "eve").problem(Reason::UnknownOrder);
    }
    for bad in ["%ff", &"x".repeat(129)] {
        erase(&dev, bad).problem(Reason::BadId);
    }
    let viewer = dev.minted(&["--role", "viewer"]);
    let at = ("DELETE", "/admin/buyers/ada/details");
    call(dev.admin, at, Some(&viewer), &[], None).problem(Reason::Forbidden);
    assert_eq!(show(&dev, &own, "ada").text(), fits);
}

#[test]
fn details_survive_a_kill() {
    let mut dev = Setup::new().start();
    let own = order(&dev, "ada", "k");
    assert_eq!(put(&dev, &own, "ada", "{\"street\":\"x\"}").status, 200);
    dev.kill();
    let dev = Setup::new().instead_of(&dev).start();
    assert_eq!(show(&dev, &own, "ada").json(), json!({"street": "x"}));
}
