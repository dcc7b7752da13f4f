//! Buying through the real binary on the embedded default: what the HTTP API promises to a buyer.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::time::Duration;

use common::http::{self, Conn};
use common::{Dev, Setup, until};
use contract::Reason;
use serde_json::{Value, json};

#[test]
fn an_order_is_accepted_written_and_replayed() {
    let dev = Dev::start();
    dev.offer("shoe", 10);
    let token = dev.minted(&["--buyer", "ann"]);
    let body = r#"{"quantity":2,"metadata":{"b":[1,null],"a":"x"}}"#;
    let taken = dev.buy_body("shoe", &token, "k-1", Some(body));
    assert_eq!(taken.status, 202, "{taken:?}");
    let t = taken.json();
    let id = taken.order_id();
    assert_eq!((&t["status"], &t["offer"]), (&json!("accepted"), &json!("shoe")));
    assert_eq!(t["quantity"], 2);
    assert_eq!(t["amount"], json!({"currency": "EUR", "minor": 3998}));
    let link = t["links"]["self"].as_str().unwrap().to_owned();
    assert_eq!(taken.header("location"), Some(link.as_str()));
    assert!(link.starts_with(&format!("/v1/orders/{id}?offer=shoe&receipt=")), "{link}");
    let expires = t["expires_at"].as_str().unwrap();
    assert!(expires.ends_with('Z') && expires.len() == 24, "{expires}");

    let order = dev.decided(&taken, &token);
    assert_eq!(order["order_id"], id.as_str());
    assert_eq!((&order["status"], &order["reason"]), (&json!("pending"), &Value::Null));
    let line = json!({"offer": "shoe", "quantity": 2,
        "unit_price": {"currency": "EUR", "minor": 1999}});
    assert_eq!(order["lines"], json!([line]));
    assert_eq!(order["amount"]["minor"], 3998);
    assert_eq!(order["metadata"], json!({"a": "x", "b": [1, null]}));
    assert!(order["version"].as_u64().unwrap() >= 1);
    for field in ["created_at", "updated_at", "expires_at"] {
        assert!(order[field].as_str().unwrap().ends_with('Z'), "{order}");
    }

    let again = dev.buy_body("shoe", &token, "k-1", Some(body));
    assert_eq!((again.status, again.order_id()), (200, id.clone()));
    assert_eq!(again.json()["status"], "pending");
    let spelled = r#" { "metadata": {"a":"x", "b":[ 1, null ]}, "quantity": 2 } "#;
    let again = dev.buy_body("shoe", &token, "k-1", Some(spelled));
    assert_eq!((again.status, again.order_id()), (200, id.clone()));

    for other in [r#"{"quantity":3}"#, r#"{"quantity":2}"#, "{}"] {
        let p = dev.buy_body("shoe", &token, "k-1", Some(other));
        assert_eq!(p.problem(Reason::KeyConflict)["order_id"], id.as_str());
        assert_eq!(p.json()["links"]["self"], format!("/v1/orders/{id}"));
    }
    let by_key = dev.get("/v1/orders?idempotency_key=k-1&offer=shoe", &token);
    assert_eq!((by_key.status, by_key.order_id()), (200, id));
    assert_eq!(dev.settled("shoe")["net"], 2);
}

#[test]
fn nobody_sees_the_order_of_another() {
    let dev = Dev::start();
    dev.offer("shoe", 10);
    let (ann, bob) = (dev.token("ann"), dev.token("bob"));
    let taken = dev.buy("shoe", &ann, "k");
    let id = taken.order_id();
    dev.decided(&taken, &ann);
    let unknown = "00000000-0000-8000-8000-000000000000";
    let a = dev.get(&format!("/v1/orders/{id}"), &bob);
    let b = dev.get(&format!("/v1/orders/{unknown}"), &bob);
    a.problem(Reason::UnknownOrder);
    assert_eq!((a.status, &a.body), (b.status, &b.body));
    // With the owner's link too: the receipt is bound to the buyer.
    let link = taken.json()["links"]["self"].as_str().unwrap().to_owned();
    let c = dev.get(&link, &bob);
    assert_eq!((c.status, &c.body), (b.status, &b.body));
    for id in ["nonsense", "%00", &id.to_uppercase(), "00000000-0000-4000-8000-000000000000"] {
        dev.get(&format!("/v1/orders/{id}"), &ann).problem(Reason::UnknownOrder);
    }
    dev.get("/v1/orders?idempotency_key=other", &ann).problem(Reason::UnknownOrder);
    dev.get("/v1/orders?idempotency_key=k", &bob).problem(Reason::UnknownOrder);
    let same = dev.buy("shoe", &bob, "k");
    assert_eq!(same.status, 202);
    assert_ne!(same.order_id(), id);
}

#[test]
fn a_receipt_proves_that_an_order_was_accepted() {
    let dev = Dev::start();
    let identity = domain::Identity::new(dev.secret("identity_secret").as_bytes());
    let (buyer, key) = ("ann".parse().unwrap(), "never-sent".parse().unwrap());
    let order = identity.order_id(domain::CampaignNo(0), &buyer, &key, b"content");
    let token = dev.token("ann");
    let receipt = identity.receipt(order, &buyer, common::now_s() as u32);
    let found = dev.get(&format!("/v1/orders/{order}?offer=demo&receipt={receipt}"), &token);
    assert_eq!((found.status, &found.json()["status"]), (200, &json!("accepted")));
    let last = if receipt.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}", &receipt[..receipt.len() - 1]);
    for wrong in [forged.as_str(), "", "x", &receipt[..31], &format!("{receipt}0")] {
        dev.get(&format!("/v1/orders/{order}?offer=demo&receipt={wrong}"), &token)
            .problem(Reason::UnknownOrder);
    }
    // Older than ten minutes without a trace: counted.
    let old = identity.receipt(order, &buyer, common::now_s() as u32 - 700);
    let found = dev.get(&format!("/v1/orders/{order}?receipt={old}"), &token);
    assert_eq!(found.status, 200);
    assert_eq!(dev.metric("sluicegate_accepted_missing_total"), 1.0);
}

#[test]
fn one_key_in_two_offers_keeps_the_first() {
    let dev = Dev::start();
    dev.offer("shoe", 10);
    dev.offer("sock", 10);
    let token = dev.token("ann");
    let first = dev.buy("shoe", &token, "same");
    dev.decided(&first, &token);
    let second = dev.buy("sock", &token, "same");
    if second.status == 202 {
        let order = dev.decided(&second, &token);
        assert_eq!(
            (&order["status"], &order["reason"]),
            (&json!("rejected"), &json!("key_conflict"))
        );
        let again = dev.buy("sock", &token, "same");
        assert_eq!((again.status, again.order_id()), (200, second.order_id()));
    } else {
        second.problem(Reason::KeyConflict);
    }
    assert_eq!(dev.settled("sock")["net"], 0, "the loser's units are on sale again");
    assert_eq!(dev.settled("shoe")["net"], 1);
    let by_key = dev.get("/v1/orders?idempotency_key=same", &token);
    assert_eq!(by_key.order_id(), first.order_id());
}

#[test]
fn sold_out_is_said_before_the_body_and_ends_with_a_top_up() {
    let dev = Dev::start();
    dev.offer("shoe", 2);
    let (ann, bob, eve) = (dev.token("ann"), dev.token("bob"), dev.token("eve"));
    let first = dev.buy("shoe", &ann, "k");
    assert_eq!((first.status, dev.buy("shoe", &bob, "k").status), (202, 202));
    dev.decided(&first, &ann);
    let no = dev.buy("shoe", &eve, "k");
    assert!(no.problem(Reason::SoldOut)["order_id"].is_string(), "decided after the body");

    // The head alone, with a body announced: a gate that waited for it would say 408.
    let path = "/v1/offers/shoe/orders";
    let headers = [("idempotency-key", "k2"), ("content-length", "10")];
    let head = http::head("POST", path, Some(&eve), &headers) + "\r\n";
    let short = (0..20).any(|_| {
        dev.buy("shoe", &eve, "k");
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(&head).unwrap();
        let reply = conn.reply().unwrap();
        if reply.status == 408 {
            return false;
        }
        let body = reply.problem(Reason::SoldOut);
        assert!(body.get("order_id").is_none(), "{body}");
        true
    });
    assert!(short, "the short circuit never came");

    // Who bought gets the original answer, also now.
    let replay = dev.buy("shoe", &ann, "k");
    assert_eq!((replay.status, replay.order_id()), (200, first.order_id()));
    dev.buy_body("shoe", &ann, "k", Some("{\"quantity\":2}")).problem(Reason::KeyConflict);
    until("state sold_out", || {
        let offer = Conn::get(dev.gate, "/v1/offers/shoe").unwrap().json();
        (offer["state"] == "sold_out" && offer["remaining"] == 0).then_some(())
    });

    dev.operate_ok(
        "POST",
        "/admin/offers/shoe/supply",
        Some(&json!({"request_id": "t", "units": 1})),
    );
    let began = std::time::Instant::now();
    let sold = until("a sale after the top-up", || {
        let reply = dev.buy("shoe", &eve, "k");
        (reply.status == 202).then_some(reply)
    });
    // One second is promised; a busy machine gets some more.
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(sold.order_id(), no.order_id(), "a refusal stores nothing: same key, same id");
    dev.decided(&sold, &eve);
    assert_eq!(dev.settled("shoe")["available"], 0);
}

#[test]
fn a_buyer_s_limit_counts_units() {
    let dev = Dev::start();
    dev.offer_with("shoe", json!({ "limit_per_buyer": 3 }));
    let token = dev.token("ann");
    let taken = dev.buy_body("shoe", &token, "a", Some("{\"quantity\":2}"));
    assert_eq!(taken.status, 202);
    let no = dev.buy_body("shoe", &token, "b", Some("{\"quantity\":2}"));
    assert!(no.problem(Reason::LimitReached)["order_id"].is_string());
    assert_eq!(dev.buy("shoe", &token, "c").status, 202);
    dev.buy("shoe", &token, "d").problem(Reason::LimitReached);
    let replay = dev.buy_body("shoe", &token, "a", Some("{\"quantity\":2}"));
    assert_eq!(replay.order_id(), taken.order_id());
    assert!(replay.status == 200 || replay.status == 202, "{replay:?}");
    assert_eq!(dev.buy("shoe", &dev.token("bob"), "a").status, 202);
    assert_eq!(dev.settled("shoe")["net"], 4);
    dev.buy("shoe", &token, "e").problem(Reason::LimitReached);
}

#[test]
fn a_campaign_s_window_decides_when_it_sells() {
    let dev = Dev::start();
    dev.campaign("later", Some(3600), None);
    dev.campaign("over", Some(-7200), Some(-3600));
    dev.campaign("soon", Some(3), Some(3600));
    for id in ["later", "over", "soon"] {
        dev.offer_with(&format!("{id}-o"), json!({ "campaign": id }));
    }
    let token = dev.token("ann");
    // Twice: once by the script, once by the gate alone.
    for key in ["a", "b"] {
        let no = dev.buy("later-o", &token, key);
        no.problem(Reason::NotOpen);
        let wait: u64 = no.header("retry-after").unwrap().parse().unwrap();
        assert!((3000..=3600).contains(&wait), "{wait}");
    }
    dev.buy("over-o", &token, "a").problem(Reason::Closed);
    let state = |id: &str| Conn::get(dev.gate, &format!("/v1/offers/{id}")).unwrap().json();
    assert_eq!(state("later-o")["state"], "scheduled");
    assert_eq!(state("later-o")["remaining"], 10);
    assert!(state("later-o")["opens_at"].is_string());
    assert_eq!(state("over-o")["state"], "closed");
    let sold = until("the opening", || {
        let reply = dev.buy("soon-o", &token, "a");
        if reply.status != 202 {
            reply.problem(Reason::NotOpen);
        }
        (reply.status == 202).then_some(reply)
    });
    dev.decided(&sold, &token);
    dev.campaign("soon", Some(-60), Some(-1));
    until("the changed window", || {
        let reply = dev.buy("soon-o", &token, "b");
        (reply.status == 410).then(|| reply.problem(Reason::Closed))
    });
    let replay = dev.buy("soon-o", &token, "a");
    assert_eq!((replay.status, replay.order_id()), (200, sold.order_id()));
}

#[test]
fn flags_pause_close_and_reopen() {
    let dev = Dev::start();
    dev.offer("shoe", 10);
    let token = dev.token("ann");
    let flag = |verb: &str| dev.operate("POST", &format!("/admin/offers/shoe/{verb}"), None);
    let public = |want: &str| {
        until(want, || {
            let offer = Conn::get(dev.gate, "/v1/offers/shoe").unwrap().json();
            (offer["state"] == want).then_some(())
        });
    };
    let first = dev.buy("shoe", &token, "first");
    dev.decided(&first, &token);
    for _ in 0..2 {
        let paused = flag("pause");
        assert_eq!((paused.status, &paused.json()["state"]), (200, &json!("paused")));
    }
    dev.buy("shoe", &dev.token("bob"), "a").problem(Reason::Paused);
    assert_eq!(dev.buy("shoe", &token, "first").order_id(), first.order_id());
    public("paused");
    assert_eq!(flag("resume").json()["state"], "open");
    assert_eq!(flag("resume").status, 200, "repeating is fine");
    assert_eq!(dev.buy("shoe", &dev.token("bob"), "a").status, 202);
    assert_eq!(flag("close").json()["state"], "closed");
    assert_eq!(flag("close").status, 200);
    dev.buy("shoe", &dev.token("eve"), "a").problem(Reason::Closed);
    public("closed");
    flag("pause").problem(Reason::IllegalTransition);
    flag("resume").problem(Reason::IllegalTransition);
    assert_eq!(flag("open").json()["state"], "open");
    assert_eq!(dev.buy("shoe", &dev.token("eve"), "a").status, 202);
    public("open");
    let p = dev.operate("POST", "/admin/offers/shoe/pause", Some(&json!({})));
    p.problem(Reason::Malformed);
}

#[test]
fn supply_moves_in_both_directions_once() {
    let dev = Dev::start();
    dev.offer("shoe", 10);
    let path = "/admin/offers/shoe/supply";
    let supply = |id: &str, units: i64| {
        dev.operate("POST", path, Some(&json!({"request_id": id, "units": units})))
    };
    for _ in 0..2 {
        assert_eq!(supply("more", 5).json()["supply"], 15);
    }
    supply("more", 6).problem(Reason::KeyConflict);
    for _ in 0..2 {
        assert_eq!(supply("less", -4).json()["supply"], 11);
    }
    supply("less", -5).problem(Reason::KeyConflict);
    supply("less", 4).problem(Reason::KeyConflict);
    for _ in 0..2 {
        supply("more", -5).problem(Reason::KeyConflict);
        assert_eq!(dev.stock("shoe")["held"], 0, "a refusal holds nothing");
    }
    assert_eq!(supply("more", 5).json()["supply"], 11, "and the first use stays what it was");
    supply("all", -12).problem(Reason::UnitsNotAvailable);
    let token = dev.token("ann");
    let taken = dev.buy_body("shoe", &token, "k", Some("{\"quantity\":8}"));
    dev.decided(&taken, &token);
    supply("held", -4).problem(Reason::UnitsNotAvailable);
    assert_eq!(supply("rest", -3).json()["available"], 0);
    dev.buy("shoe", &dev.token("bob"), "k").problem(Reason::SoldOut);
    for bad in [
        json!({"request_id": "x", "units": 0}),
        json!({"request_id": "", "units": 1}),
        json!({"request_id": "a b", "units": 1}),
        json!({"units": 1}),
        json!({"request_id": "x"}),
        json!({"request_id": "x", "units": 1.5}),
        json!({"request_id": "x", "units": 1, "y": 1}),
        json!({"request_id": "x", "units": i64::MAX}),
        json!({"request_id": "x", "units": i64::MIN}),
    ] {
        dev.operate("POST", path, Some(&bad)).problem(Reason::Malformed);
    }
    assert_eq!(dev.settled("shoe")["supply"], 8);
}

#[test]
fn wait_head_and_http2() {
    let dev = Setup::new().set("gate.threads=2").start();
    dev.offer("shoe", 10);
    let token = dev.token("ann");
    let id = "00000000-0000-8000-8000-000000000000";
    for bad in ["5", "5m", "s", "-1s", "1.5s", "", "%31s%20"] {
        dev.get(&format!("/v1/orders/{id}?wait={bad}"), &token).problem(Reason::Malformed);
    }
    for fine in ["0s", "1ms", "50ms"] {
        dev.get(&format!("/v1/orders/{id}?wait={fine}"), &token).problem(Reason::UnknownOrder);
    }
    dev.get(&format!("/v1/orders/{id}?wait=1s&wait=1s"), &token).problem(Reason::Malformed);
    dev.get(&format!("/v1/orders/{id}?what=1"), &token).problem(Reason::Malformed);
    dev.get("/v1/orders", &token).problem(Reason::Malformed);

    let head = http::call(dev.gate, ("HEAD", "/v1/offers/shoe"), None, &[], None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(http::call(dev.gate, ("HEAD", "/v1/offers/none"), None, &[], None).status, 404);

    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, order) = rt.block_on(http2_buy(&dev, &token));
    assert_eq!(status, 202, "{order}");
    assert_eq!(order["status"], "accepted");
    let again = dev.buy("shoe", &token, "h2");
    assert_eq!(again.json()["order_id"], order["order_id"], "the same over either protocol");
}

async fn http2_buy(dev: &Dev, token: &str) -> (u16, Value) {
    use http_body_util::{BodyExt, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = tokio::net::TcpStream::connect(dev.gate).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut send, conn) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let conn = tokio::spawn(conn);
    let request = hyper::Request::post("http://t/v1/offers/shoe/orders")
        .header("authorization", format!("Bearer {token}"))
        .header("idempotency-key", "h2")
        .body(Empty::<hyper::body::Bytes>::new());
    let answer = send.send_request(request.unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    conn.abort();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[test]
fn a_crowd_gets_exactly_what_there_is() {
    let dev = Dev::start();
    dev.offer("shoe", 100);
    let mut sold = std::thread::scope(|s| {
        let dev = &dev;
        let crowd: Vec<_> = (0..8).map(|n| s.spawn(move || buy_many(dev, n, 40))).collect();
        crowd.into_iter().flat_map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(sold.len(), 100);
    sold.sort();
    sold.dedup();
    assert_eq!(sold.len(), 100, "no order twice");
    let stock = dev.settled("shoe");
    assert_eq!((&stock["net"], &stock["available"]), (&json!(100), &json!(0)));
}

fn buy_many(dev: &Dev, thread: usize, n: usize) -> Vec<String> {
    let mut accepted = Vec::new();
    for i in 0..n {
        let token = dev.token(&format!("buyer-{thread}-{i}"));
        let reply = dev.buy("shoe", &token, "k");
        if reply.status == 202 {
            accepted.push(reply.order_id());
        } else {
            reply.problem(Reason::SoldOut);
        }
    }
    accepted
}
