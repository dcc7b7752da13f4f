//! Bad input over a real socket: every problem of these routes, and what never became a request.
//!
//! Whatever is sent, the gate answers others, does not panic and loses no hold: the harness
//! audits that at the end of each test.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use common::http::{self, Conn, Reply};
use common::{Dev, Setup, now_s, sign, until};
use contract::Reason;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::json;

const BUY: &str = "/v1/offers/demo/orders";

fn alive(dev: &Dev) {
    assert_eq!(dev.buy("demo", &dev.token("alive"), "k").status / 100, 2);
}

#[test]
fn bodies_keys_and_media_types() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let body = |body: &[u8]| {
        http::call(dev.gate, ("POST", BUY), Some(&token), &[("idempotency-key", "k")], Some(body))
    };
    let deep = format!("{{\"metadata\":{{\"a\":{}1{}}}}}", "[".repeat(1500), "]".repeat(1500));
    let large = format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(1030));
    let wrong: [&[u8]; 23] = [
        b"{",
        b"nonsense",
        b"[]",
        b"[1]",
        b"null",
        b"1",
        b"\"x\"",
        b"{} {}",
        b"\xff\xfe",
        b"{\"quantity\":}",
        b"{\"quantity\":1,\"quantity\":1}",
        b"{\"quantiti\":1}",
        b"{\"Quantity\":1}",
        b"{\"quantity\":1.5}",
        b"{\"quantity\":\"1\"}",
        b"{\"quantity\":null}",
        b"{\"quantity\":true}",
        b"{\"metadata\":\"x\"}",
        b"{\"metadata\":{\"a\":1,\"a\":2}}",
        b"{\"metadata\":{\"a\":\"\xff\"}}",
        b"\xef\xbb\xbf{}",
        deep.as_bytes(),
        large.as_bytes(),
    ];
    for one in wrong {
        let p = body(one);
        let p = p.problem(Reason::Malformed);
        assert!(p.get("order_id").is_none(), "{p}");
    }
    for out in ["0", "-1", "101", "4294967297", "18446744073709551616", "1e300"] {
        body(format!("{{\"quantity\":{out}}}").as_bytes()).problem(Reason::BadQuantity);
    }
    let pad = |n: usize| format!("{}{{}}", " ".repeat(n - 2));
    assert_eq!(body(pad(4096).as_bytes()).status, 202);
    body(pad(4097).as_bytes()).problem(Reason::BodyTooLarge);

    let with = |headers: &[(&str, &str)], body: Option<&[u8]>| {
        http::call(dev.gate, ("POST", BUY), Some(&token), headers, body)
    };
    with(&[], None).problem(Reason::MissingIdempotencyKey);
    let long = "x".repeat(129);
    for key in ["", "a b", "k\u{e9}", "a\tb", &long] {
        with(&[("idempotency-key", key)], None).problem(Reason::Malformed);
    }
    with(&[("idempotency-key", "a"), ("Idempotency-Key", "a")], None).problem(Reason::Malformed);
    assert_eq!(with(&[("idempotency-key", &long[..128])], None).status, 202);
    for media in ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonx"] {
        let headers = [("idempotency-key", "m"), ("content-type", media)];
        with(&headers, Some(b"{}")).problem(Reason::UnsupportedMediaType);
    }
    let headers = [("idempotency-key", "m"), ("content-type", "Application/JSON; charset=utf-8")];
    assert_eq!(with(&headers, Some(b"{}")).status, 202);
    http::call(
        dev.gate,
        ("POST", &format!("{BUY}?x=1")),
        Some(&token),
        &[("idempotency-key", "q")],
        None,
    )
    .problem(Reason::Malformed);
}

#[test]
fn tokens() {
    let dev = Dev::start();
    let admin_token = dev.secret("admin_token").to_owned();
    let secret = dev.secret("hs256_secret").to_owned();
    let hs = |claims: serde_json::Value| sign(&secret, Algorithm::HS256, &claims);
    let exp = now_s() + 600;
    let good = hs(json!({"sub": "ann", "exp": exp}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = sign(&"x".repeat(64), Algorithm::HS256, &json!({"sub": "ann", "exp": exp}));
    let claims = base64_url(format!(r#"{{"sub":"ann","exp":{exp}}}"#).as_bytes());
    let none = format!("{}.{claims}.", base64_url(br#"{"alg":"none","typ":"JWT"}"#));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let sealed = |header: &[u8]| {
        let message = format!("{}.{claims}", base64_url(header));
        let seal = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{seal}")
    };
    let mut swapped = signature.to_owned().into_bytes();
    swapped[0] = if swapped[0] == b'A' { b'B' } else { b'A' };
    let forged = format!("{signed}.{}", String::from_utf8(swapped).unwrap());
    let operator = dev.minted(&["--role", "operator"]);
    let viewer = dev.minted(&["--role", "viewer"]);
    let refused = [
        other,
        none,
        forged,
        sealed(br#"{"alg":"HS256","crit":["b64"]}"#),
        format!("{good}.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        "x".into(),
        String::new(),
        "..".into(),
        "x".repeat(5000),
        operator.clone(),
        viewer.clone(),
        admin_token.clone(),
        sign(&secret, Algorithm::HS384, &json!({"sub": "ann", "exp": exp})),
        sign(&secret, Algorithm::HS512, &json!({"sub": "ann", "exp": exp})),
        hs(json!({"sub": "ann", "exp": now_s() - 31})),
        hs(json!({"sub": "ann", "exp": exp, "nbf": now_s() + 120})),
        hs(json!({"sub": "ann"})),
        hs(json!({"exp": exp})),
        hs(json!({"sub": "", "exp": exp})),
        hs(json!({"sub": "x".repeat(129), "exp": exp})),
        hs(json!({"sub": 7, "exp": exp})),
        hs(json!({"sub": "ann", "exp": "soon"})),
        hs(json!({"sub": "ann", "exp": -1})),
        hs(json!({"sub": "ann", "exp": 1e300})),
        hs(json!({"sub": "ann", "exp": now_s() as f64 - 31.5})),
        hs(json!({"sub": "ann", "exp": exp, "nbf": now_s() as f64 + 120.5})),
        hs(json!(["ann", exp, null, null, null, null])),
        sealed(br#"{"alg":"HS256","crit":null}"#),
        sealed(br#"["HS256",null]"#),
        hs(json!({"sub": "ann", "exp": exp, "role": "operator"})),
        hs(json!({"sub": "ann", "exp": exp, "aud": "sluicegate-admin"})),
    ];
    for token in &refused {
        for _ in 0..2 {
            let reply = dev.buy("demo", token, "k");
            reply.problem(Reason::Unauthenticated);
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        dev.get("/v1/orders?idempotency_key=k", token).problem(Reason::Unauthenticated);
    }
    for header in ["Basic YTpi", "Bearer", "", &format!("Token {good}")] {
        let headers = [("authorization", header), ("idempotency-key", "k")];
        http::call(dev.gate, ("POST", BUY), None, &headers, None).problem(Reason::Unauthenticated);
    }
    http::call(dev.gate, ("POST", BUY), None, &[], None).problem(Reason::Unauthenticated);
    let fine = [
        good.clone(),
        hs(json!({"sub": "ann", "exp": u64::MAX})),
        sealed(br#"{"alg":"HS256"}"#),
        hs(json!({"sub": "ann", "exp": exp as f64 + 0.5, "nbf": now_s() as f64 - 0.5})),
        dev.minted(&["--buyer", "ann"]),
        hs(json!({"sub": "ann", "exp": now_s() - 10, "nbf": now_s() + 10, "other": [1]})),
        hs(json!({"sub": "x".repeat(128), "exp": exp})),
    ];
    for token in &fine {
        assert_eq!(dev.buy("demo", token, "k").status / 100, 2, "{token}");
        assert_eq!(dev.buy("demo", token, "k").status / 100, 2, "{token}");
    }

    let admin = |method: &str, path: &str, token: Option<&str>| {
        http::call(dev.admin, (method, path), token, &[], None)
    };
    admin("GET", "/admin/status", None).problem(Reason::Unauthenticated);
    admin("GET", "/admin/status", Some(&admin_token.to_uppercase()))
        .problem(Reason::Unauthenticated);
    admin("GET", "/admin/status", Some(&good)).problem(Reason::Forbidden);
    admin("POST", "/admin/offers/demo/pause", Some(&good)).problem(Reason::Forbidden);
    let fake = hs(json!({"sub": "x", "exp": exp, "role": "operator"}));
    admin("GET", "/admin/status", Some(&fake)).problem(Reason::Forbidden);
    for token in [&viewer, &operator, &admin_token] {
        assert_eq!(admin("GET", "/admin/status", Some(token)).status, 200);
    }
    admin("POST", "/admin/offers/demo/pause", Some(&viewer)).problem(Reason::Forbidden);
    admin("PUT", "/admin/offers/demo", Some(&viewer)).problem(Reason::Forbidden);
    assert_eq!(admin("POST", "/admin/offers/demo/pause", Some(&operator)).status, 200);
    assert_eq!(admin("POST", "/admin/offers/demo/resume", Some(&operator)).status, 200);
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(Conn::get(dev.admin, path).unwrap().status, 200, "{path}");
    }
}

/// base64url without padding.
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for piece in bytes.chunks(3) {
        let n = piece.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - piece.len()));
        for i in 0..=piece.len() {
            out.push(char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}

#[test]
fn routes_and_methods() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let send =
        |method: &str, path: &str| http::call(dev.gate, (method, path), Some(&token), &[], None);
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/offers",
        "/v1/offers/",
        "/v1/offers//orders",
        "/v1/orders/",
        "/v1/offers/demo/orders/",
        "/v1/offers/demo/orders/x",
        "/v2/offers/demo",
        "//v1/offers/demo",
        "/v1/offers/demo/../demo",
        "/V1/offers/demo",
        "/admin/status",
        "/metrics",
        "/v1/offers/a/b/c",
        "/%76%31/offers/demo",
        "/v1/orders/x/y",
    ] {
        let reply = send("GET", path);
        reply.problem(Reason::UnknownRoute);
        assert_eq!(reply.header("allow"), None, "{path}");
    }
    for id in [
        "none",
        "DEMO",
        "de%6do",
        "demo%2Forders",
        "demo%00",
        "..",
        "%2e%2e",
        "a.0",
        "demo%20",
        &"x".repeat(64),
        &"x".repeat(65),
        &"x".repeat(4000),
    ] {
        send("GET", &format!("/v1/offers/{id}")).problem(Reason::UnknownOffer);
        send("POST", &format!("/v1/offers/{id}/orders")).problem(Reason::UnknownOffer);
    }
    for (method, path, allow) in [
        ("GET", BUY, "POST"),
        ("PUT", BUY, "POST"),
        ("OPTIONS", BUY, "POST"),
        ("BREW", BUY, "POST"),
        ("POST", "/v1/offers/demo", "GET, HEAD"),
        ("DELETE", "/v1/orders/x", "GET, HEAD"),
        ("POST", "/v1/orders/x", "GET, HEAD"),
        ("POST", "/livez", "GET, HEAD"),
        ("HEAD", BUY, "POST"),
    ] {
        let reply = send(method, path);
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allow)), "{method} {path}");
        if method != "HEAD" {
            reply.problem(Reason::MethodNotAllowed);
        }
    }
    let admin = |method: &str, path: &str, body: Option<serde_json::Value>| {
        dev.operate(method, path, body.as_ref())
    };
    admin("GET", "/admin", None).problem(Reason::UnknownRoute);
    admin("GET", "/nothing", None).problem(Reason::UnknownRoute);
    admin("GET", "/admin/offers/none", None).problem(Reason::UnknownOffer);
    admin("POST", "/admin/cells/none.0/rebuild", None).problem(Reason::UnknownCell);
    admin("POST", "/admin/cells/x/rebuild", None).problem(Reason::UnknownCell);
    for (method, path, allow) in [
        ("DELETE", "/admin/offers/demo", "GET, HEAD, PUT"),
        ("GET", "/admin/offers/demo/pause", "POST"),
        ("PUT", "/admin/status", "GET, HEAD"),
        ("GET", "/admin/reconcile", "POST"),
        ("GET", "/admin/campaigns/x", "PUT"),
    ] {
        let reply = admin(method, path, None);
        reply.problem(Reason::MethodNotAllowed);
        assert_eq!(reply.header("allow"), Some(allow));
    }
    for path in ["/admin/offers/demo", "/admin/status", "/admin/tasks", "/openapi.json"] {
        let (got, head) = (admin("GET", path, None), admin("HEAD", path, None));
        assert_eq!((head.status, head.body.len()), (got.status, 0), "{path}");
    }
    // What a call does not look at is not there: nobody may take a real run for a dry one.
    let units = json!({"request_id": "r", "units": 1});
    for (method, path, body) in [
        ("POST", "/admin/reconcile?dry_run=true", None),
        ("POST", "/admin/reconcile?dry_run=true", Some(json!({"dry_run": true}))),
        ("POST", "/admin/cells/demo.0/rebuild", Some(json!({"dry_run": true}))),
        ("POST", "/admin/cells/demo.0/rebuild?dry_run=1", None),
        ("POST", "/admin/offers/demo/pause?dry_run=1", None),
        ("POST", "/admin/offers/demo/pause", Some(json!({}))),
        ("POST", "/admin/offers/demo/supply?units=5", Some(units)),
        ("GET", "/admin/status?x=1", None),
        ("GET", "/admin/status", Some(json!({}))),
        ("GET", "/admin/offers/demo?cells=no", None),
        ("GET", "/admin/offers/demo", Some(json!("demo"))),
        ("GET", "/admin/tasks?limit=1&limit=2", None),
        ("GET", "/admin/tasks", Some(json!({"limit": 1}))),
        ("PUT", "/admin/campaigns/x?opens_at=now", Some(json!({}))),
        ("POST", "/admin/parked/x/retry?all=1", None),
    ] {
        admin(method, path, body).problem(Reason::Malformed);
    }
    assert_eq!(dev.stock("demo")["state"], "open", "nothing was done");
}

#[test]
fn operators_input() {
    let dev = Dev::start();
    let put = |path: &str, body: serde_json::Value| dev.operate("PUT", path, Some(&body));
    let offer = json!({"campaign": "evergreen", "sku": "S", "allotment": 5,
        "price": {"currency": "EUR", "minor": 1}});
    let with = |name: &str, value: serde_json::Value| {
        let mut body = offer.clone();
        body[name] = value;
        put("/admin/offers/new", body)
    };
    for (name, value) in [
        ("sku", json!("")),
        ("sku", json!("x".repeat(129))),
        ("allotment", json!(-1)),
        ("allotment", json!(1_000_000_000_001i64)),
        ("allotment", json!(1.5)),
        ("limit_per_buyer", json!(0)),
        ("limit_per_buyer", json!(null)),
        ("limit_per_buyer", json!(-1)),
        ("limit_per_buyer", json!(2_147_483_648_u32)),
        ("limit_per_buyer", json!(1.5)),
        ("buckets", json!(0)),
        ("buckets", json!(65)),
        ("price", json!({"currency": "eur", "minor": 1})),
        ("price", json!({"currency": "EUR", "minor": -1})),
        ("price", json!({"currency": "EUR"})),
        ("price", json!(["EUR", 1])),
        ("price", json!({"currency": "EUR", "minor": 1, "x": 1})),
        ("more", json!(1)),
    ] {
        with(name, value).problem(Reason::Malformed);
    }
    with("campaign", json!("Not A Name")).problem(Reason::BadId);
    with("campaign", json!("missing")).problem(Reason::UnknownCampaign);
    for id in ["New", "a_b", "a.b", &"x".repeat(65), "%20"] {
        put(&format!("/admin/offers/{id}"), offer.clone()).problem(Reason::BadId);
        put(&format!("/admin/campaigns/{id}"), json!({})).problem(Reason::BadId);
    }
    dev.operate("GET", "/admin/offers/new", None).problem(Reason::UnknownOffer);
    dev.offer("new", 5);
    with("sku", json!("T")).is(200);
    with("allotment", json!(6)).problem(Reason::AllotmentFixed);
    with("buckets", json!(2)).is_one_of(&[Reason::BucketsFixed, Reason::Malformed]);
    for body in [
        json!({"opens_at": "yesterday"}),
        json!({"opens_at": 5}),
        json!({"closes_at": "9999-12-31T23:59:59.999-00:01"}),
        json!({"opens_at": "9999-12-31T23:59:59-23:59"}),
        json!({"payment_window_s": 2_592_001}),
        json!({"payment_window_s": -1}),
        json!({"x": 1}),
        json!([]),
        json!({"opens_at": "2030-01-02T00:00:00Z", "closes_at": "2030-01-01T00:00:00Z"}),
    ] {
        put("/admin/campaigns/c", body).problem(Reason::Malformed);
    }
    let campaign = put("/admin/campaigns/c", json!({"opens_at": "2030-01-01T01:00:00.5+01:00"}));
    assert_eq!(
        (campaign.status, &campaign.json()["opens_at"]),
        (201, &json!("2030-01-01T00:00:00.500Z"))
    );
    let last = put("/admin/campaigns/c", json!({"closes_at": "9999-12-31T23:59:59.999Z"}));
    assert_eq!((last.status, &last.json()["closes_at"]), (200, &json!("9999-12-31T23:59:59.999Z")));
    assert_eq!(put("/admin/campaigns/c", json!({})).status, 200);
    dev.operate("POST", "/admin/reconcile", Some(&json!({"dry_run": "yes"})))
        .problem(Reason::Malformed);
    dev.operate("POST", "/admin/reconcile", Some(&json!({"offer": "none"})))
        .problem(Reason::UnknownOffer);
    let token = dev.secret("admin_token").to_owned();
    let media = [("content-type", "text/plain")];
    http::call(dev.admin, ("POST", "/admin/reconcile"), Some(&token), &media, Some(b"{}"))
        .problem(Reason::UnsupportedMediaType);
    let huge = vec![b' '; 64 * 1024 + 1];
    http::call(dev.admin, ("POST", "/admin/reconcile"), Some(&token), &[], Some(&huge))
        .problem(Reason::BodyTooLarge);
}

#[test]
fn more_units_than_an_offer_may_have_are_refused() {
    let dev = Dev::start();
    dev.offer("full", 1_000_000_000_000 - 5);
    let supply = |id: &str, units: i64| {
        let body = json!({"request_id": id, "units": units});
        dev.operate("POST", "/admin/offers/full/supply", Some(&body))
    };
    supply("last", 5).is(200);
    for units in [1, 6, 1_000_000_000_000] {
        let p = supply(&format!("over-{units}"), units).problem(Reason::IllegalTransition);
        let detail = p["detail"].as_str().unwrap();
        assert!(detail.contains("at most 1000000000000"), "{detail}");
    }
    supply("last", 5).is(200);
    supply("last", 4).problem(Reason::KeyConflict);
    for units in [1_000_000_000_001, i64::MAX, i64::MIN, 0] {
        supply("beyond", units).problem(Reason::Malformed);
    }
    assert_eq!(dev.settled("full")["supply"], json!(1_000_000_000_000i64));
    supply("less", -5).is(200);
    supply("more", 5).is(200);
}

/// More checks of an answer.
trait More {
    /// The status.
    fn is(&self, status: u16);
    /// One of these problems.
    fn is_one_of(&self, any: &[Reason]);
}

impl More for Reply {
    fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }
    fn is_one_of(&self, any: &[Reason]) {
        let reason = self.json()["reason"].as_str().map(str::to_owned);
        assert!(any.iter().any(|r| Some(r.as_str()) == reason.as_deref()), "{}", self.text());
    }
}

#[test]
fn slow_and_broken_requests() {
    let dev =
        Setup::new().set("gate.header_timeout_ms=500").set("gate.body_timeout_ms=700").start();
    let token = dev.token("ann");
    let head =
        |more: &str| http::head("POST", BUY, Some(&token), &[("idempotency-key", "slow")]) + more;

    // Silence, half a head, half a preface of HTTP/2, a byte at a time.
    for start in
        ["", "GET /v1/off", "GET /livez HTTP/1.1\r\nhost: t\r\n", "PRI * HTTP/2.0\r\n\r\nSM"]
    {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(start).unwrap();
        assert!(closed_or_408(&mut conn), "{start:?}");
    }
    let mut conn = Conn::open(dev.gate).unwrap();
    let began = Instant::now();
    let drip = head("\r\n");
    let stopped = drip.bytes().any(|b| {
        std::thread::sleep(Duration::from_millis(25));
        began.elapsed() > Duration::from_secs(15) || conn.send([b]).is_err()
    });
    assert!((stopped && began.elapsed() < Duration::from_secs(14)) || closed_or_408(&mut conn));

    // Half a body, and one that drips.
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(head("content-type: application/json\r\ncontent-length: 14\r\n\r\n{\"quan")).unwrap();
    conn.reply().unwrap().problem(Reason::RequestTimeout);
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(head("content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"))
        .unwrap();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        if conn.send("1\r\n \r\n").is_err() {
            break;
        }
    }
    conn.reply().unwrap().problem(Reason::RequestTimeout);

    // A client that leaves in the middle of its body, or before the answer.
    for _ in 0..20 {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(head("content-length: 14\r\n\r\n{\"q")).unwrap();
        drop(conn);
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(head("\r\n")).unwrap();
        drop(conn);
    }
    alive(&dev);
}

/// True when the server closed, or said 408 and closed.
fn closed_or_408(conn: &mut Conn) -> bool {
    match conn.reply() {
        Ok(reply) => reply.status == 408 && conn.is_closed(),
        Err(e) => {
            !matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        }
    }
}

#[test]
fn large_and_malformed_requests() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let head =
        |more: &str| http::head("POST", BUY, Some(&token), &[("idempotency-key", "big")]) + more;

    // 100 MB announced: refused from the head.
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(head("content-type: application/json\r\ncontent-length: 104857600\r\n\r\n")).unwrap();
    conn.reply().unwrap().problem(Reason::BodyTooLarge);
    let sent = pour(&mut conn, 100 << 20);
    assert!(sent < 60 << 20, "{sent} bytes were taken");
    // The same without an announcement.
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(head(
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n6400000\r\n",
    ))
    .unwrap();
    conn.send([b' '; 8192]).unwrap();
    conn.reply().unwrap().problem(Reason::BodyTooLarge);
    assert!(dev.memory() < 300 << 20);

    // Heads that are too large or have too many fields.
    for more in [
        format!("x-large: {}\r\n", "x".repeat(100_000)),
        (0..100).map(|i| format!("x-{i}: 1\r\n")).collect::<String>(),
    ] {
        let mut conn = Conn::open(dev.gate).unwrap();
        let _ = conn.send(head(&more) + "\r\n");
        match conn.reply() {
            Ok(reply) => assert_eq!(reply.status, 431),
            Err(e) => assert!(!matches!(e.kind(), std::io::ErrorKind::WouldBlock), "{e}"),
        }
    }
    // What no HTTP parser takes.
    for raw in [
        &b"GET\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/\xff HTTP/1.1\r\nhost: t\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ntransfer-encoding: nonsense\r\n\r\n",
    ] {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(raw).unwrap();
        let reply = conn.reply().unwrap_or_else(|e| panic!("{raw:?}: {e}"));
        assert!((400..=505).contains(&reply.status), "{raw:?}: {reply:?}");
    }
    // Both framings: 400, or chunked wins and the connection closes.
    let mut conn = Conn::open(dev.gate).unwrap();
    let both =
        "content-type: application/json\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    conn.send(head(both) + "2\r\n{}\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    let first = conn.reply().unwrap();
    assert!(first.status == 400 || first.status / 100 == 2, "{first:?}");
    assert!(conn.is_closed(), "nothing after both framings is a request");
    alive(&dev);
}

/// Writes until the other side closes; how many bytes it took.
fn pour(conn: &mut Conn, most: usize) -> usize {
    let piece = vec![b' '; 1 << 16];
    let mut sent = 0;
    conn.stream().set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    while sent < most && conn.send(&piece).is_ok() {
        sent += piece.len();
    }
    sent
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let mut conn = Conn::open(dev.gate).unwrap();
    let mut all = String::new();
    for i in 0..50 {
        let key = format!("p-{i}");
        all += &http::head("POST", BUY, Some(&token), &[("idempotency-key", &key)]);
        all += "content-type: application/json\r\ncontent-length: 14\r\n\r\n{\"quantity\":1}";
        all += "GET /v1/offers/none HTTP/1.1\r\nhost: t\r\n\r\n";
    }
    conn.send(&all).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let bought = conn.reply().unwrap();
        assert_eq!(bought.status, 202, "{bought:?}");
        ids.insert(bought.order_id());
        conn.reply().unwrap().problem(Reason::UnknownOffer);
    }
    assert_eq!(ids.len(), 50);
    assert_eq!(dev.settled("demo")["net"], 50);
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let mut conn = Conn::open(dev.gate).unwrap();
    let buy = http::head("POST", BUY, Some(&token), &[("idempotency-key", "k")]);
    conn.send(buy + "content-length: 0\r\n\r\nGET /v1/offers/no").unwrap();
    assert_eq!(conn.reply().unwrap().status, 202);
    conn.send("ne HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    conn.reply().unwrap().problem(Reason::UnknownOffer);
    // A refusal of the head, with some of its body behind it.
    let mut conn = Conn::open(dev.gate).unwrap();
    let head = http::head("POST", BUY, None, &[("idempotency-key", "k")]);
    conn.send(head + "content-length: 900\r\n\r\n{\"quantity\"").unwrap();
    conn.reply().unwrap().problem(Reason::Unauthenticated);
}

#[test]
fn connections_are_bounded() {
    let dev =
        Setup::new().set("gate.max_connections=50").set("gate.header_timeout_ms=3000").start();
    bounded(&dev, 50);
    let dev = Setup::new()
        .set("gate.max_connections_per_ip=5")
        .set("gate.header_timeout_ms=3000")
        .start();
    bounded(&dev, 5);
}

fn bounded(dev: &Dev, most: usize) {
    let mut open = Vec::new();
    for _ in 0..most {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send("GET /livez HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        assert_eq!(conn.reply().unwrap().status, 200);
        open.push(conn);
    }
    let mut over = Conn::open(dev.gate).unwrap();
    let _ = over.send("GET /livez HTTP/1.1\r\nhost: t\r\n\r\n");
    assert!(over.reply().is_err(), "one too many");
    assert!(dev.metric("sluicegate_connections_refused_total") >= 1.0);
    assert_eq!(dev.metric("sluicegate_connections") as usize, most);
    drop(open);
    until("a place to be free again", || Conn::get(dev.gate, "/livez").ok().map(|r| r.status));
    alive(dev);
}

#[test]
fn many_idle_connections_cost_little() {
    const HANDLES: u32 = 12_000;
    let setup = Setup::new().handles(HANDLES).set("gate.header_timeout_ms=60000");
    let dev = setup.set("gate.max_connections_per_ip=20000").start();
    let mut idle = Vec::new();
    // This process has as many handles as it was given.
    while idle.len() < 10_000 {
        match Conn::open(dev.gate) {
            Ok(conn) => idle.push(conn),
            Err(_) => break,
        }
    }
    idle.truncate(idle.len().saturating_sub(64));
    assert!(idle.len() > 500, "{} connections", idle.len());
    // A few of them have sent half a head.
    for conn in idle.iter_mut().step_by(10) {
        let _ = conn.send("GET /v1/offers/demo HTT");
    }
    alive(&dev);
    let memory = dev.memory() >> 20;
    assert!(memory < 300, "{memory} MiB with {} connections", idle.len());
    drop(idle);
    alive(&dev);
}

#[test]
fn rate_limits_say_when_to_come_back() {
    for (name, sets) in [
        ("global", "limits.global"),
        ("ip", "limits.ip"),
        ("buyer", "limits.buyer"),
        ("offer", "limits.offer"),
    ] {
        let dev = Setup::new()
            .set(&format!("{sets}.per_second=1"))
            .set(&format!("{sets}.burst=5"))
            .start();
        let token = dev.token("ann");
        let replies: Vec<Reply> =
            (0..30).map(|i| dev.buy("demo", &token, &format!("k{i}"))).collect();
        let taken = replies.iter().filter(|r| r.status == 202).count();
        assert!((5..30).contains(&taken), "{name}: {taken}");
        let no = replies.iter().find(|r| r.status == 429).unwrap();
        let p = no.problem(Reason::RateLimited);
        assert!(p["detail"].as_str().unwrap().contains(name), "{p}");
        assert_eq!(no.header("ratelimit-policy"), Some(format!("\"{name}\";q=1;w=1").as_str()));
        assert!(no.header("ratelimit").unwrap().starts_with(&format!("\"{name}\";r=0;t=")));
        // Probes are free; others are not in the way of a buyer's or an offer's limit.
        assert_eq!(Conn::get(dev.gate, "/livez").unwrap().status, 200);
        if name == "buyer" {
            assert_eq!(dev.buy("demo", &dev.token("bob"), "k").status, 202);
        }
        until("the next second", || (dev.buy("demo", &token, "later").status == 202).then_some(()));
    }
}

#[test]
fn http2_floods_and_large_heads() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        use http_body_util::Empty;
        use hyper_util::rt::{TokioExecutor, TokioIo};
        type None = Empty<hyper::body::Bytes>;
        let stream = tokio::net::TcpStream::connect(dev.gate).await.unwrap();
        let shake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut send, conn) = shake.await.unwrap();
        let conn = tokio::spawn(conn);
        let large = "x".repeat(40_000);
        let request = hyper::Request::get("http://t/v1/offers/demo").header("x-large", large);
        let answer = send.send_request(request.body(None::new()).unwrap());
        match tokio::time::timeout(Duration::from_secs(10), answer).await.expect("an answer") {
            Ok(answer) => assert_eq!(answer.status(), 431),
            Err(e) => assert!(!e.is_timeout(), "{e}"),
        }
        conn.abort();
    });
    // Streams that are opened and reset at once, by hand.
    for _ in 0..3 {
        let mut conn = Conn::open(dev.gate).unwrap();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&frame(4, 0, 0, &[]));
        for n in 0..400u32 {
            let id = 2 * n + 1;
            // :method GET, :scheme http, :path /, :authority t
            bytes.extend_from_slice(&frame(1, 5, id, &[0x82, 0x86, 0x84, 0x41, 0x01, b't']));
            bytes.extend_from_slice(&frame(3, 0, id, &8u32.to_be_bytes()));
        }
        let _ = conn.send(&bytes);
        conn.stream().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sink = [0; 4096];
        while matches!(conn.stream().read(&mut sink), Ok(1..)) {}
    }
    assert!(dev.memory() < 300 << 20);
    assert_eq!(dev.buy("demo", &token, "after").status, 202);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}
