//! Limits over real sockets: who is charged, how often, and who is not in whose way.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::time::Instant;

use common::Setup;
use common::http::{Conn, Reply, head};
use contract::Reason;

/// A purchase; `te` is harmless and makes it hyper's.
fn buy(conn: &mut Conn, offer: &str, token: &str, hyper: bool) -> Reply {
    let path = format!("/v1/offers/{offer}/orders");
    let mut headers = vec![("idempotency-key", "k")];
    if hyper {
        headers.push(("te", "trailers"));
    }
    conn.send(head("POST", &path, Some(token), &headers) + "\r\n").unwrap();
    conn.reply().unwrap()
}

fn refused_by(reply: &Reply) -> Option<String> {
    let said = || reply.problem(Reason::RateLimited)["detail"].as_str().unwrap().to_owned();
    (reply.status == 429).then(said)
}

#[test]
fn who_has_no_valid_token_uses_up_no_offer_and_no_buyer() {
    for limit in ["offer", "buyer"] {
        let sets = ["per_second=1", "burst=3"].map(|s| format!("limits.{limit}.{s}"));
        let dev = sets.iter().fold(Setup::new(), |setup, set| setup.set(set)).start();
        let ann = dev.token("ann");
        let (signed, _) = ann.rsplit_once('.').unwrap();
        for hyper in [false, true] {
            let mut conn = Conn::open(dev.gate).unwrap();
            for forged in ["x", "a.b.c", &format!("{signed}.AAAA")] {
                for _ in 0..20 {
                    let reply = buy(&mut conn, "demo", forged, hyper);
                    reply.problem(Reason::Unauthenticated);
                }
            }
        }
        assert_eq!(dev.buy("demo", &ann, "k").status, 202, "{limit}");
    }
}

#[test]
fn a_buyer_over_the_own_limit_uses_up_no_offer() {
    let sets = ["offer.per_second=1", "offer.burst=9", "buyer.per_second=1", "buyer.burst=3"];
    let setup = sets.iter().fold(Setup::new(), |s, set| s.set(&format!("limits.{set}")));
    let dev = setup.start();
    let ann = dev.token("ann");
    let mut conn = Conn::open(dev.gate).unwrap();
    let refused: Vec<_> =
        (0..60).filter_map(|n| refused_by(&buy(&mut conn, "demo", &ann, n % 2 == 0))).collect();
    assert!(refused.len() > 40 && refused.iter().all(|by| by.contains("buyer")), "{refused:?}");
    for other in ["bob", "eve", "joe"] {
        assert_eq!(dev.buy("demo", &dev.token(other), "k").status, 202, "{other}");
    }
}

#[test]
fn a_request_is_charged_once_on_both_ways() {
    const BURST: usize = 300;
    for hyper in [false, true] {
        let sets = ["global.per_second=1", "global.burst=300"];
        let sets = sets.iter().chain(&["buyer.per_second=1", "buyer.burst=1"]);
        let dev = sets.fold(Setup::new(), |s, set| s.set(&format!("limits.{set}"))).start();
        dev.offer("shoe", 1);
        let eve = dev.token("eve");
        let began = Instant::now();
        let mut conn = Conn::open(dev.gate).unwrap();
        let (mut passed, mut sold_out, mut own) = (0, 0, 0);
        for n in 0..BURST * 2 {
            // Somebody new looks at the stock, so that the flag that it is sold out stays on.
            let new = (n % 5 == 0).then(|| dev.token(&format!("b{n}")));
            let reply = buy(&mut conn, "shoe", new.as_deref().unwrap_or(&eve), hyper);
            match refused_by(&reply) {
                Some(by) if by.contains("global") => continue,
                Some(_) => own += 1,
                None if reply.status == 409 => sold_out += 1,
                None => assert_eq!(reply.status, 202, "{}", reply.text()),
            }
            passed += 1;
        }
        assert!(own > 50 && sold_out > 20, "{own} {sold_out}");
        let most = BURST + 1 + began.elapsed().as_secs() as usize;
        assert!((BURST..=most).contains(&passed), "{passed} of {BURST}, hyper: {hyper}");
    }
}

#[test]
fn many_buyers_with_one_request_each_are_not_refused() {
    let dev = Setup::new().set("limits.buyer.per_second=1").set("limits.ip.per_second=0").start();
    dev.offer("shoe", 1);
    let mut conn = Conn::open(dev.gate).unwrap();
    for n in 0..3000 {
        let reply = buy(&mut conn, "shoe", &dev.token(&format!("buyer {n}")), n % 2 == 0);
        assert!(reply.status == 202 || reply.status == 409, "{n}: {}", reply.text());
    }
}

#[test]
fn an_address_is_limited_for_all_its_buyers() {
    let dev = Setup::new().set("limits.ip.per_second=1").set("limits.ip.burst=4").start();
    let mut conn = Conn::open(dev.gate).unwrap();
    let replies: Vec<Reply> =
        (0..20).map(|n| buy(&mut conn, "demo", &dev.token(&format!("b{n}")), n > 9)).collect();
    let refused = replies.iter().filter_map(refused_by).filter(|by| by.contains("ip"));
    assert!(refused.count() >= 10);
}
