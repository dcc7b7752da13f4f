//! Behind proxies: whose request it is, by header and by the PROXY protocol, on every way.
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

use common::h2::{self, frame};
use common::http::{Conn, head};
use common::{Dev, Setup, until};

const BUY: &str = "/v1/offers/demo/orders";
const LOCAL: &str = "gate.trusted_proxies=[\"127.0.0.0/8\", \"10.0.0.0/8\"]";

/// A way on which a request goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Front,
    Hyper,
    Http2,
}

/// Status of a purchase on a connection of its own.
fn buy(dev: &Dev, way: Way, first: &[u8], headers: &[(&str, &str)]) -> Option<u16> {
    let token = dev.token("ann");
    let mut all = vec![("idempotency-key", "k")];
    all.extend(headers);
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send(first).unwrap();
    if way == Way::Http2 {
        let bearer = format!("Bearer {token}");
        all.push(("authorization", &bearer));
        let post = h2::request("POST", BUY, &all);
        let post = frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &post);
        conn.send([h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &[]), &post].concat()).ok()?;
        let mut body = Vec::new();
        loop {
            let (kind, flags, _, payload) = h2::read(conn.stream()).ok()?;
            if kind == h2::DATA {
                body.extend(payload);
                if flags & h2::END_STREAM != 0 {
                    break;
                }
            }
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        return Some(if text.contains("rate_limited") { 429 } else { 200 });
    }
    if way == Way::Hyper {
        all.push(("te", "trailers"));
    }
    conn.send(head("POST", BUY, Some(&token), &all) + "\r\n").ok()?;
    let status = conn.reply().ok()?.status;
    Some(if status == 429 { 429 } else { status / 100 * 100 })
}

#[test]
fn the_client_behind_trusted_proxies_is_limited_on_its_own() {
    for way in [Way::Front, Way::Hyper, Way::Http2] {
        let sets = [LOCAL, "limits.ip.per_second=1", "limits.ip.burst=2"];
        let dev = sets.iter().fold(Setup::new(), |s, set| s.set(set)).start();
        // Every line is a client of its own, whatever it claims on the left.
        let clients: [&[(&str, &str)]; 7] = [
            &[("x-forwarded-for", "192.0.2.1, 203.0.113.1, 10.0.0.7")],
            &[("forwarded", "for=192.0.2.1, for=203.0.113.2;proto=https, for=10.0.0.7")],
            &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "203.0.113.3")],
            &[("forwarded", "for=\"[2001:db8:0:1::7]:4711\"")],
            &[("x-forwarded-for", "[2001:db8:0:2::7]:4711")],
            &[("x-forwarded-for", "203.0.113.4"), ("forwarded", "for=203.0.113.4")],
            // The proxy itself: what it passed on is nonsense.
            &[("x-forwarded-for", "203.0.113.1, nonsense")],
        ];
        for headers in clients {
            let all: Vec<u16> = (0..8).filter_map(|_| buy(&dev, way, b"", headers)).collect();
            assert_eq!(all[..2], [200, 200], "{way:?} {headers:?}");
            assert!(all[2..].contains(&429), "{way:?} {headers:?} {all:?}");
        }
        // The same /64 is the same client.
        let same = [("x-forwarded-for", "2001:db8:0:2:ffff::1")];
        let all: Vec<u16> = (0..3).filter_map(|_| buy(&dev, way, b"", &same)).collect();
        assert!(all.contains(&429), "{way:?} {all:?}");
    }
}

#[test]
fn nobody_is_believed_who_is_not_trusted() {
    for way in [Way::Front, Way::Hyper, Way::Http2] {
        let sets = ["gate.trusted_proxies=[\"10.0.0.0/8\"]", "limits.ip.per_second=1"];
        let dev = sets.iter().fold(Setup::new(), |s, set| s.set(set)).start();
        let limited = (0..20).filter(|n| {
            let ip = format!("203.0.113.{n}");
            let forwarded = format!("for={ip}");
            let headers = [("x-forwarded-for", &*ip), ("forwarded", &*forwarded)];
            buy(&dev, way, b"", &headers[n % 2..n % 2 + 1]) == Some(429)
        });
        assert!(limited.count() >= 10, "{way:?}");
    }
}

/// A header of version 2 for an address.
fn proxied(ip: &str) -> Vec<u8> {
    let (family, ip): (u8, Vec<u8>) = match ip.parse().unwrap() {
        std::net::IpAddr::V4(v4) => (0x11, v4.octets().to_vec()),
        std::net::IpAddr::V6(v6) => (0x21, v6.octets().to_vec()),
    };
    let rest = [&ip[..], &ip[..], &[0x12, 0x67, 0, 80], &[4, 0, 1, 42]].concat();
    let length = (rest.len() as u16).to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x21, family][..], &length, &rest].concat()
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let sets = [LOCAL, "gate.proxy_protocol=true", "limits.ip.per_second=1", "limits.ip.burst=2"];
    let setup = sets.iter().fold(Setup::new(), |s, set| s.set(set));
    let dev = setup.set("gate.header_timeout_ms=1000").start();
    let one = |n: usize| b"PROXY TCP4 203.0.113.99 127.0.0.1 4711 80\r\n"[..n].to_vec();
    for (n, way) in [Way::Front, Way::Hyper, Way::Http2].into_iter().enumerate() {
        for ip in [format!("203.0.113.{n}"), format!("2001:db8:0:{n}::7")] {
            let all: Vec<_> = (0..8).map(|_| buy(&dev, way, &proxied(&ip), &[])).collect();
            assert_eq!(all[..2], [Some(200), Some(200)], "{way:?} {ip}");
            assert!(all[2..].contains(&Some(429)), "{way:?} {ip} {all:?}");
        }
        // A proxy in front of the proxy is asked on.
        let behind = format!("203.0.113.{}", n + 20);
        let x = [("x-forwarded-for", &*behind)];
        let all: Vec<_> = (0..8).map(|_| buy(&dev, way, &proxied("10.0.0.9"), &x)).collect();
        assert_eq!(all[..2], [Some(200), Some(200)], "{way:?} {all:?}");
        assert!(all[2..].contains(&Some(429)), "{way:?} {all:?}");
        // None, half of one, a malformed one: closed, and nothing was bought.
        let malformed = [&proxied("203.0.113.9")[..12], &[0x31, 0x11, 0, 0][..]].concat();
        for wrong in [Vec::new(), one(20), malformed] {
            assert_eq!(buy(&dev, way, &wrong, &[]), None, "{way:?} {wrong:?}");
        }
    }
    assert_eq!(buy(&dev, Way::Front, &one(43), &[]), Some(200));
    // In pieces, with the request right behind it.
    let mut conn = Conn::open(dev.gate).unwrap();
    let request = head("GET", "/v1/offers/demo", None, &[]) + "\r\n";
    for byte in proxied("203.0.113.200").iter().chain(request.as_bytes()) {
        conn.send([*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(conn.reply().unwrap().status, 200);
}

#[test]
fn a_share_of_the_connections_is_an_addresss_and_not_a_proxys() {
    let get = head("GET", "/v1/offers/demo", None, &[]) + "\r\n";
    // Behind a proxy that says so, everybody has the own share; one by /64.
    let sets = [LOCAL, "gate.proxy_protocol=true", "gate.max_connections_per_ip=3"];
    let dev = sets.iter().fold(Setup::new(), |s, set| s.set(set)).start();
    let open = |from: &str| {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send([&proxied(from)[..], get.as_bytes()].concat()).ok()?;
        (conn.reply().ok()?.status == 200).then_some(conn)
    };
    for from in ["203.0.113.1", "203.0.113.2", "2001:db8:0:1::1", "2001:db8:0:2::1"] {
        let kept: Vec<Conn> = (0..3).map(|_| open(from).expect(from)).collect();
        let near = from.replace("::1", "::ffff:1");
        assert!(open(&near).is_none(), "{near}");
        drop(kept);
        until("a place to be free again", || open(from).map(drop));
    }
    let proxys: Vec<Conn> = (0..10).map(|_| open("127.0.0.9").unwrap()).collect();
    drop(proxys);
    // Without that protocol the proxy's connections are everybody's: no share.
    let sets = [LOCAL, "gate.max_connections_per_ip=3"];
    let dev = sets.iter().fold(Setup::new(), |s, set| s.set(set)).start();
    let mut kept = Vec::new();
    for _ in 0..10 {
        let mut conn = Conn::open(dev.gate).unwrap();
        conn.send(&get).unwrap();
        assert_eq!(conn.reply().unwrap().status, 200);
        kept.push(conn);
    }
}
