//! The short way of a purchase and hyper's give the same answers, and they share connections.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::http::{Conn, Reply, head};
use common::{Dev, Setup};

const BUY: &str = "/v1/offers/shoe/orders";

/// A purchase as bytes. `te` is harmless and makes it hyper's.
fn purchase(token: &str, key: &str, body: &str, hyper: bool) -> String {
    let length = body.len().to_string();
    let mut headers = vec![("content-type", "application/json"), ("content-length", &length)];
    if !key.is_empty() {
        headers.push(("idempotency-key", key));
    }
    if hyper {
        headers.push(("te", "trailers"));
    }
    head("POST", BUY, (!token.is_empty()).then_some(token), &headers) + "\r\n" + body
}

fn answer(dev: &Dev, request: &str) -> Reply {
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(request).unwrap();
    conn.reply().unwrap()
}

/// Everything but the date.
fn told(reply: &Reply) -> (u16, Vec<(String, String)>, String) {
    let headers = reply.headers.iter().filter(|h| h.0 != "date").cloned().collect();
    (reply.status, headers, reply.text())
}

#[test]
fn both_ways_give_the_same_answers() {
    let dev = Dev::start();
    dev.offer("shoe", 1);
    let (ann, eve) = (dev.token("ann"), dev.token("eve"));
    let first = answer(&dev, &purchase(&ann, "k", "{}", false));
    assert_eq!(first.status, 202, "{}", first.text());
    dev.decided(&first, &ann);
    let cases = [
        ("a replay", &*ann, "k", "{}", 200),
        ("other content", &ann, "k", "{\"quantity\":2}", 422),
        ("sold out", &eve, "k", "{}", 409),
        ("no JSON", &ann, "k2", "{", 400),
        ("no units", &ann, "k3", "{\"quantity\":0}", 400),
        ("no key", &ann, "", "{}", 400),
        ("a key that is not ASCII", &ann, "k\u{e9}", "{}", 400),
        ("no token", "", "k", "{}", 401),
        ("a forged token", "abc.def.ghi", "k", "{}", 401),
    ];
    for (what, token, key, body, status) in cases {
        let ways = [false, true].map(|hyper| {
            // The sold-out flag comes and goes; without it the answer names the order.
            let ask = || answer(&dev, &purchase(token, key, body, hyper));
            let flagged = |r: &Reply| status != 409 || !r.text().contains("order_id");
            (0..200).map(|_| ask()).find(flagged).unwrap_or_else(|| panic!("{what}: no flag"))
        });
        let [short, long] = ways.each_ref().map(told);
        assert!(ways[0].header("date").is_some() && ways[1].header("date").is_some());
        assert_eq!(short, long, "{what}");
        assert_eq!(short.0, status, "{what}");
    }
}

#[test]
fn both_ways_take_the_same_messages() {
    let proxies = "gate.trusted_proxies=[\"127.0.0.0/8\"]";
    let dev =
        Setup::new().set(proxies).set("limits.ip.per_second=1").set("limits.ip.burst=1").start();
    let ann = dev.token("ann");
    let bearer = format!("authorization: Bearer {ann}");
    let cases: [(&str, &[&str], u16); 17] = [
        ("no host", &[&bearer], 400),
        ("two hosts", &["host: t", "Host: t", &bearer], 400),
        ("a malformed host", &["host: a b", &bearer], 400),
        ("a host with a user", &["host: u@t", &bearer], 400),
        ("a host with a malformed port", &["host: t:http", &bearer], 400),
        ("a host with a port", &["host: t:80", &bearer], 202),
        ("an address as host", &["host: [::1]:80", &bearer], 202),
        ("an empty host", &["host:", &bearer], 202),
        ("two tokens", &["host: t", &bearer, &bearer], 401),
        ("a token and another scheme", &["host: t", &bearer, "authorization: Basic x"], 401),
        ("two codings", &["host: t", &bearer, "transfer-encoding: gzip, chunked"], 400),
        ("a coding twice", &["host: t", &bearer, "transfer-encoding: chunked, chunked"], 400),
        ("a long head", &["host: t", &bearer, "x: LONG"], 431),
        ("a proxied client", &["host: t", &bearer, "x-forwarded-for: 203.0.113.WAY"], 202),
        ("another header", &["host: t", &bearer, "forwarded: for=203.0.113.2WAY"], 202),
        ("one address twice", &["host: t", &bearer, "x-forwarded-for: 203.0.113.99"], 202),
        ("that address again", &["host: t", &bearer, "forwarded: for=203.0.113.99"], 429),
    ];
    for (at, (what, lines, status)) in cases.into_iter().enumerate() {
        let ways = [false, true].map(|hyper| {
            let way = if hyper { "1" } else { "2" };
            let text = lines.join("\r\n").replace("WAY", way).replace("LONG", &"x".repeat(17_000));
            let te = if hyper { "te: trailers\r\n" } else { "" };
            // Every line but those about addresses has an address of its own.
            let own = format!("x-forwarded-for: 198.51.100.{}\r\n", at * 2 + hyper as usize);
            let own = if text.contains("for: ") || text.contains("forwarded") {
                String::new()
            } else {
                own
            };
            let key = "idempotency-key: k";
            let text = format!("POST {BUY} HTTP/1.1\r\n{text}\r\n{own}{te}{key}\r\n\r\n");
            answer(&dev, &text.replace("shoe", "demo"))
        });
        let tells =
            ways.each_ref().map(|r| (r.status, r.header("content-type").map(str::to_owned)));
        let both = if what == "one address twice" { [202, 429] } else { [status; 2] };
        for (tell, status) in tells.iter().zip(both) {
            // The same request again is told what became of it.
            assert!(tell.0 == status || (status == 202 && tell.0 == 200), "{what}: {tells:?}");
        }
    }
}

#[test]
fn one_connection_goes_both_ways() {
    let dev = Dev::start();
    dev.offer("shoe", 9);
    let ann = dev.token("ann");
    let mut conn = Conn::open(dev.gate).unwrap();
    // Three in one segment, then one in pieces, then something else, then a last one.
    let three: String = ["a", "b", "c"].map(|k| purchase(&ann, k, "{}", false)).concat();
    conn.send(three).unwrap();
    let ids: Vec<String> = (0..3).map(|_| conn.reply().unwrap().order_id()).collect();
    let pieces = purchase(&ann, "d", "{\"quantity\":1}", false);
    let (one, two) = pieces.split_at(pieces.len() - 5);
    conn.send(one).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    conn.send(two).unwrap();
    assert_eq!(conn.reply().unwrap().status, 202);
    let path = format!("/v1/orders/{}?offer=shoe&wait=5s", ids[0]);
    conn.send(head("GET", &path, Some(&ann), &[]) + "\r\n").unwrap();
    assert_eq!(conn.reply().unwrap().order_id(), ids[0]);
    conn.send(purchase(&ann, "a", "{}", false)).unwrap();
    assert_eq!(conn.reply().unwrap().order_id(), ids[0]);
    let last = head("POST", BUY, Some(&ann), &[("idempotency-key", "e"), ("connection", "close")]);
    conn.send(last + "\r\n").unwrap();
    assert_eq!(conn.reply().unwrap().status, 202);
    assert!(conn.is_closed());
}
