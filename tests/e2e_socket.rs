//! What clients do to a socket: not reading, half-closing, sending on, opening many streams.
#![allow(
    clippy::disallowed_methods,
    clippy::excessive_nesting,
    clippy::panic,
    clippy::too_many_lines,
    clippy::unwrap_used,
    reason = "a test looks at the clock, and a step that fails fails the test"
)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use common::h2::{self, frame};
use common::http::{self, Conn, head};
use common::{Dev, Setup, until};
use contract::Reason;

const BUY: &str = "/v1/offers/demo/orders";
const OFFER: &str = "GET /v1/offers/demo HTTP/1.1\r\nhost: t\r\n\r\n";

/// A connection whose receive buffer is as small as the system allows.
fn small(to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Sends a request again and again without reading until nothing more is taken for a while.
fn stuff(mut stream: &TcpStream, request: &str) {
    stream.set_write_timeout(Some(Duration::from_millis(400))).unwrap();
    let many = request.repeat(100);
    while stream.write_all(many.as_bytes()).is_ok() {}
}

fn connections(dev: &Dev) -> f64 {
    dev.metric("sluicegate_connections")
}

/// A purchase; `te` is harmless and makes it hyper's.
fn purchase(token: &str, hyper: bool) -> String {
    let mut headers = vec![("idempotency-key", "k"), ("content-length", "0")];
    if hyper {
        headers.push(("te", "trailers"));
    }
    head("POST", BUY, Some(token), &headers) + "\r\n"
}

#[test]
fn who_does_not_read_is_disconnected() {
    let dev = Setup::new().set("gate.write_timeout_ms=1000").start();
    let token = dev.token("ann");
    let kinds = [OFFER.to_owned(), purchase(&token, false), purchase(&token, true)];
    let clients: Vec<_> = (0..60)
        .map(|n| {
            let (to, request) = (dev.gate, kinds[n % 3].clone());
            std::thread::spawn(move || {
                let stream = small(to);
                stuff(&stream, &request);
                stream
            })
        })
        .collect();
    let clients: Vec<TcpStream> = clients.into_iter().map(|c| c.join().unwrap()).collect();
    until("60 of 60 to be closed", || (connections(&dev) == 0.0).then_some(()));
    drop(clients);
}

#[test]
fn answers_that_lie_in_a_closed_window_end_the_connection() {
    let dev = Setup::new().set("gate.write_timeout_ms=1000").start();
    // No window for any stream, or one of a few bytes that then stays shut.
    for window in [0u32, 7] {
        let mut conn = Conn::open(dev.gate).unwrap();
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        let mut bytes = [h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &settings)].concat();
        let get = h2::request("GET", "/v1/offers/demo", &[]);
        bytes.extend(frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &get));
        conn.send(&bytes).unwrap();
        // It looks alive: it reads, and sends pings.
        let mut reader = conn.stream().try_clone().unwrap();
        reader.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut sink = [0; 4096];
        until("the connection to end", || {
            let sent = conn.send(frame(h2::PING, 0, 0, &[7; 8]));
            let read = reader.read(&mut sink);
            let waits = |e: &std::io::Error| e.kind() == std::io::ErrorKind::WouldBlock;
            let ended = sent.is_err() || read.is_ok_and(|n| n == 0);
            (ended || reader.read(&mut sink).is_err_and(|e| !waits(&e))).then_some(())
        });
    }
    until("no connection", || (connections(&dev) == 0.0).then_some(()));
    // One that takes its answers lives longer than that.
    let mut conn = Conn::open(dev.gate).unwrap();
    conn.send([h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &[])].concat()).unwrap();
    for n in 0..8 {
        let get = h2::request("GET", "/v1/offers/demo", &[]);
        conn.send(frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 2 * n + 1, &get)).unwrap();
        loop {
            let (kind, flags, stream, _) = h2::read(conn.stream()).unwrap();
            if kind == h2::DATA && flags & h2::END_STREAM != 0 && stream == 2 * n + 1 {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn who_does_not_read_does_not_hold_up_a_drain() {
    let sets = ["gate.write_timeout_ms=600000", "gate.drain_ms=8000", "gate.not_ready_ms=0"];
    let mut dev = sets.iter().fold(Setup::new(), |s, set| s.set(set)).start();
    let streams: Vec<TcpStream> = (0..4).map(|_| small(dev.gate)).collect();
    streams.iter().for_each(|s| stuff(s, OFFER));
    let mut conn = Conn::open(dev.gate).unwrap();
    let settings = frame(h2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let get = h2::request("GET", "/v1/offers/demo", &[]);
    let get = frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &get);
    conn.send([h2::PREFACE, &settings, &get].concat()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    dev.signal("TERM");
    assert!(dev.ended().success());
    let log = dev.log();
    assert!(!log.contains("still"), "{log}");
}

#[test]
fn half_closed_clients_get_their_answers() {
    let dev = Dev::start();
    let token = dev.token("ann");
    for hyper in [false, true] {
        for _ in 0..30 {
            let mut conn = Conn::open(dev.gate).unwrap();
            conn.send(purchase(&token, hyper).repeat(3)).unwrap();
            conn.stream().shutdown(Shutdown::Write).unwrap();
            for _ in 0..3 {
                assert_eq!(conn.reply().unwrap().status / 100, 2, "hyper: {hyper}");
            }
            assert!(conn.is_closed());
        }
    }
    // Also one that waits, and on the operators' listener.
    let taken = dev.buy("demo", &token, "k");
    let link = taken.json()["links"]["self"].as_str().unwrap().to_owned();
    let glue = if link.contains('?') { '&' } else { '?' };
    for (to, request) in [
        (dev.gate, head("GET", &format!("{link}{glue}wait=5s"), Some(&token), &[])),
        (dev.admin, head("GET", "/admin/status", Some(dev.secret("admin_token")), &[])),
    ] {
        let mut conn = Conn::open(to).unwrap();
        conn.send(request + "\r\n").unwrap();
        conn.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(conn.reply().unwrap().status, 200);
    }
}

#[test]
fn who_still_sends_reads_the_refusal() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let cases = [
        (BUY, &*token, Reason::BodyTooLarge),
        (BUY, "nobody", Reason::Unauthenticated),
        ("/v1/offers/none/orders", &token, Reason::UnknownOffer),
        ("/v1/nothing", &token, Reason::UnknownRoute),
    ];
    for size in [5_000usize, 65_000, 500_000, 4_000_000] {
        let body = vec![b' '; size];
        let chunk = [format!("{size:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        let length = size.to_string();
        for (path, token, reason) in cases {
            for (framing, body) in
                [(("content-length", &*length), &body), (("transfer-encoding", "chunked"), &chunk)]
            {
                let headers =
                    [("idempotency-key", "k"), ("content-type", "application/json"), framing];
                let mut conn = Conn::open(dev.gate).unwrap();
                conn.send(head("POST", path, Some(token), &headers) + "\r\n").unwrap();
                // All of it is sent before anything is read.
                let sent = body.chunks(16_384).try_for_each(|part| conn.send(part));
                let what = format!("{path} {size} {framing:?}");
                sent.unwrap_or_else(|e| panic!("{what}: {e}"));
                let reply = conn.reply().unwrap_or_else(|e| panic!("{what}: {e}"));
                reply.problem(reason);
            }
        }
    }
}

#[test]
fn a_first_flight_of_streams_is_not_refused() {
    let dev = Dev::start();
    let mut conn = Conn::open(dev.gate).unwrap();
    let mut bytes = [h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &[])].concat();
    for n in 0..200 {
        let get = h2::request("GET", "/v1/offers/demo", &[]);
        bytes.extend(frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 2 * n + 1, &get));
    }
    conn.send(&bytes).unwrap();
    let mut answered = 0;
    while answered < 200 {
        let (kind, flags, stream, payload) = h2::read(conn.stream()).unwrap();
        assert!(kind != h2::RESET && kind != h2::GOAWAY, "{kind} {stream} {payload:?}");
        answered += usize::from(kind == h2::DATA && flags & h2::END_STREAM != 0);
    }
}

#[test]
fn trailers_over_http2_are_refused() {
    let dev = Dev::start();
    let bearer = format!("Bearer {}", dev.token("ann"));
    let more = [
        ("authorization", &*bearer),
        ("idempotency-key", "k"),
        ("content-type", "application/json"),
    ];
    let begin = [h2::PREFACE, &frame(h2::SETTINGS, 0, 0, &[])].concat();
    let trailers: [&[(&str, &str)]; 3] =
        [&[(":path", "/")], &[(":method", "GET"), ("a", "b")], &[]];
    for trailers in trailers {
        let mut conn = Conn::open(dev.gate).unwrap();
        let mut bytes = begin.clone();
        let post = h2::request("POST", BUY, &more);
        bytes.extend(frame(h2::HEADERS, h2::END_HEADERS, 1, &post));
        let ends = if trailers.is_empty() { h2::END_STREAM } else { 0 };
        bytes.extend(frame(h2::DATA, ends, 1, b"{}"));
        if !trailers.is_empty() {
            let last = h2::block(trailers);
            bytes.extend(frame(h2::HEADERS, h2::END_STREAM | h2::END_HEADERS, 1, &last));
        }
        conn.send(&bytes).unwrap();
        let mut body = Vec::new();
        let was_reset = loop {
            let (kind, flags, _, payload) = h2::read(conn.stream()).unwrap();
            match kind {
                h2::DATA => body.extend(payload),
                h2::RESET | h2::GOAWAY => break true,
                _ => {}
            }
            if kind <= h2::HEADERS && flags & h2::END_STREAM != 0 {
                break false;
            }
        };
        let text = String::from_utf8_lossy(&body);
        if trailers.is_empty() {
            assert!(text.contains("\"accepted\""), "{text}");
        } else {
            assert!(was_reset || text.contains("\"malformed\""), "{trailers:?}: {text}");
        }
    }
}

#[test]
fn messages_that_are_none() {
    let dev = Dev::start();
    let token = dev.token("ann");
    let operator = dev.secret("admin_token").to_owned();
    let ways: [(SocketAddr, &str, &str, &str); 4] = [
        (dev.gate, "GET", "/v1/offers/demo", &token),
        (dev.gate, "POST", BUY, &token),
        (dev.admin, "GET", "/admin/status", &operator),
        (dev.gate, "GET", "/livez", &token),
    ];
    let wrong = [
        "",
        "host: t\r\nhost: t\r\n",
        "host: t\r\nHost: u\r\n",
        "host: a b\r\n",
        "host: t/x\r\n",
        "host: u@t\r\n",
        "host: t:port\r\n",
        "host: [::1\r\n",
        "host: t\r\ntransfer-encoding: gzip, chunked\r\n",
        "host: t\r\ntransfer-encoding: chunked, chunked\r\n",
        "host: t\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "host: t\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "host: t\r\ntransfer-encoding: identity\r\n",
        "host: t\r\ntransfer-encoding: xchunked\r\n",
    ];
    for (to, method, path, token) in ways {
        let send = |version: &str, lines: &str| {
            let auth = format!("authorization: Bearer {token}\r\nidempotency-key: k\r\n");
            let mut conn = Conn::open(to).unwrap();
            let text = format!("{method} {path} HTTP/{version}\r\n{lines}{auth}\r\n");
            conn.send(text).unwrap();
            let reply = conn.reply().unwrap();
            (reply.status, conn)
        };
        for lines in wrong {
            let (status, mut conn) = send("1.1", lines);
            assert!(status == 400 || status == 501, "{path} {lines:?}: {status}");
            assert!(conn.is_closed(), "{path} {lines:?}");
        }
        for (version, lines) in [
            ("1.1", "host: t\r\n"),
            ("1.1", "host: t:80\r\n"),
            ("1.1", "host: [::1]:80\r\n"),
            ("1.1", "host:\r\n"),
            ("1.0", ""),
        ] {
            let (status, _) = send(version, lines);
            assert_eq!(status / 100, 2, "{path} {version} {lines:?}");
        }
        if path == "/livez" {
            continue;
        }
        if path != "/v1/offers/demo" {
            let twice = format!("host: t\r\nauthorization: Bearer {token}\r\n");
            assert_eq!(send("1.1", &twice).0, 401, "{path}");
        }
        // A head is as long as it is, in one packet or in many.
        for (size, pieces) in [
            (15_000, 1),
            (15_000, 9),
            (17_000, 1),
            (17_000, 9),
            (23_000, 2),
            (60_000, 1),
            (60_000, 30),
        ] {
            let mut conn = Conn::open(to).unwrap();
            let pad = "x".repeat(size);
            let text = format!(
                "{method} {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {token}\r\n\
                 idempotency-key: k\r\nx-pad: {pad}\r\n\r\n"
            );
            for part in text.as_bytes().chunks(text.len().div_ceil(pieces)) {
                let _ = conn.send(part);
                std::thread::sleep(Duration::from_millis(5));
            }
            let status = conn.reply().unwrap().status;
            let fine = if size < 16_000 { status / 100 == 2 } else { status == 431 };
            assert!(fine, "{path} {size} in {pieces}: {status}");
        }
    }
}

#[test]
fn operators_routes_are_exact() {
    let dev = Dev::start();
    let token = dev.secret("admin_token").to_owned();
    let call =
        |method: &str, path: &str| http::call(dev.admin, (method, path), Some(&token), &[], None);
    for path in ["//admin/status", "///admin/status", "/admin//status", "/admin/status/", "/admin"]
    {
        call("GET", path).problem(Reason::UnknownRoute);
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        for method in ["POST", "PUT", "DELETE", "PATCH"] {
            let reply = call(method, path);
            reply.problem(Reason::MethodNotAllowed);
            assert_eq!(reply.header("allow"), Some("GET, HEAD"));
        }
        assert_eq!(call("GET", path).status, 200);
        assert_eq!(call("HEAD", path).status, 200);
        call("GET", &format!("/{path}")).problem(Reason::UnknownRoute);
    }
}
