//! Every listener has the same bounds and speaks the same: buyers', operators', probes.
#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::h2::{self, frame};
use common::http::{Conn, head};
use common::{Dev, Setup, until};

/// The status of a GET over HTTP/2, whose bytes come in pieces of this size.
fn get_h2(to: SocketAddr, path: &str, token: &str, piece: usize) -> Vec<u8> {
    let mut conn = Conn::open(to).unwrap();
    let authorization = format!("Bearer {token}");
    let get = h2::request("GET", path, &[("authorization", &authorization)]);
    let get = frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &get);
    let all = [h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &[]), &get].concat();
    for part in all.chunks(piece) {
        conn.send(part).unwrap();
        if piece < 24 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    loop {
        let (kind, _, stream, payload) = h2::read(conn.stream()).unwrap();
        if (kind, stream) == (h2::HEADERS, 1) {
            return payload;
        }
        assert!(kind != h2::GOAWAY, "{payload:?}");
    }
}

/// `:status` 200 is one byte of the static table.
const OK: u8 = 0x88;

#[test]
fn http2_is_told_by_its_preface_however_it_comes() {
    let dev = Dev::start();
    let token = dev.secret("admin_token").to_owned();
    for piece in [1, 7, 23, 24, 25, 100_000] {
        assert_eq!(get_h2(dev.admin, "/admin/status", &token, piece)[0], OK, "{piece}");
        assert_eq!(get_h2(dev.gate, "/v1/offers/demo", "", piece)[0], OK, "{piece}");
    }
    // What only begins like one is HTTP/1.1: whole requests, in pieces too.
    for method in ["PRI", "PUT", "P"] {
        for piece in [1, 3, 1000] {
            let text = format!("{}content-length: 0\r\n\r\n", head(method, "/livez", None, &[]));
            for to in [dev.gate, dev.admin] {
                let mut conn = Conn::open(to).unwrap();
                for part in text.as_bytes().chunks(piece) {
                    conn.send(part).unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                }
                assert_eq!(conn.reply().unwrap().status, 405, "{method} {piece}");
            }
        }
    }
}

#[test]
fn operators_have_bounds_too() {
    let dev = Setup::new().set("admin.max_connections=4").start();
    let get = || Conn::get(dev.admin, "/livez").is_ok_and(|r| r.status == 200);
    assert!(get());
    // Whoever says nothing has a place until the head is due.
    let silent: Vec<Conn> = (0..4).map(|_| Conn::open(dev.admin).unwrap()).collect();
    until("the places to be taken", || (!get()).then_some(()));
    drop(silent);
    // A client that goes on sending and never reads loses its place as well.
    let token = dev.secret("admin_token").to_owned();
    let ask = format!("{}\r\n", head("GET", "/metrics", Some(&token), &[]));
    let mut deaf = Vec::new();
    until("the deaf to have all places", || {
        let mut conn = Conn::open(dev.admin).unwrap();
        conn.stream().set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while conn.send(&ask).is_ok() {}
        deaf.push(conn);
        (!get()).then_some(())
    });
    until("a place again", || get().then_some(()));
    // The audit needs places too.
    drop(deaf);
    until("all places", || (0..20).all(|_| get()).then_some(()));
}
