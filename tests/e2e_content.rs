//! What makes two requests the same: content over a real socket, on both ways of the gate.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use common::Dev;
use common::http::{self, Conn, Reply};
use contract::Reason;

/// A purchase as bytes; `te` is harmless and makes it hyper's.
fn buy(dev: &Dev, key: &str, metadata: &str, hyper: bool) -> Reply {
    let body = format!("{{\"metadata\":{metadata}}}");
    let (token, length) = (dev.token("ann"), body.len().to_string());
    let mut headers = vec![("idempotency-key", key), ("content-length", length.as_str())];
    headers.push(("content-type", "application/json"));
    if hyper {
        headers.push(("te", "trailers"));
    }
    let head = http::head("POST", "/v1/offers/demo/orders", Some(&token), &headers);
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(head + "\r\n" + &body).unwrap();
    conn.reply().unwrap()
}

#[test]
fn numbers_of_metadata_come_back_as_they_were_written() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let written = [
        "472.74908866546684",
        "18446744073709551616",
        "18446744073709551617",
        "1",
        "1.0",
        "1.00",
        "1e0",
        "-0",
        "-0.0",
        "0.1000",
        "1E+300",
        "-2.2250738585072011e-308",
        "123456789012345678901234567890.123456789012345678901234567890",
    ];
    for (n, number) in written.iter().enumerate() {
        let key = format!("k{n}");
        let canonical = format!("{{\"a\":{number},\"b\":[{{\"c\":[{number}]}},null]}}");
        let other = format!("{{ \"b\" : [{{\"c\":[ {number}\t]}}, null],\n\"\\u0061\":{number} }}");
        let first = buy(&dev, &key, &canonical, n % 2 == 0);
        assert_eq!(first.status, 202, "{number}: {}", first.text());
        dev.decided(&first, &token);
        for (metadata, hyper) in [(&canonical, false), (&canonical, true), (&other, false)] {
            let again = buy(&dev, &key, metadata, hyper);
            assert_eq!((again.status, again.order_id()), (200, first.order_id()), "{metadata}");
            let shown = format!("\"metadata\":{canonical}");
            assert!(again.text().contains(&shown), "{shown}: {}", again.text());
        }
        let next = written[(n + 1) % written.len()];
        for hyper in [false, true] {
            let metadata = format!("{{\"a\":{next},\"b\":[{{\"c\":[{number}]}},null]}}");
            buy(&dev, &key, &metadata, hyper).problem(Reason::KeyConflict);
        }
    }
}
