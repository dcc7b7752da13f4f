//! The short way of a purchase over HTTP/1.1, before hyper.
//!
//! A flash sale is one request again and again, and when all is sold one answer. Where a whole
//! `POST /v1/offers/{offer}/orders` lies in the buffer, plain and small, it is answered from here:
//! a sold-out refusal at once, anything else through [`http::purchase`], as hyper's requests are.
//! What is not exactly that, down to one unusual header or one missing byte, goes to hyper with all
//! that was read, and the connection stays there. So this file never decides what is malformed.

use std::future::{Future, poll_fn, ready};
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use contract::{Buyers, Problem, Reason};
use domain::Tenant;
use domain::limit::Dimension;
use hyper::header::CONNECTION;
use runtime::Phase;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use web::alarm::Alarm;
use web::answer::{self, Answer};
use web::client::{ForwardedFor, client, is_trusted};
use web::{Conn, message};

use crate::edge::http;
use crate::entry::admission::Asked;
use crate::entry::admitted::Arrival;
use crate::metrics::{self, Outcome};
use crate::sale::buy;
use crate::state::Gate;

/// What answers usually have room in.
const ROOM: usize = 4096;
/// Headers of a plain request; more are hyper's.
const HEADERS: usize = 24;

/// A whole purchase in the buffer; ranges are of the buffer.
struct Plain {
    offer: Range<usize>,
    authorization: Option<Range<usize>>,
    key: Option<Range<usize>>,
    content_type: Option<Range<usize>>,
    x_forwarded_for: Option<Range<usize>>,
    forwarded: Option<Range<usize>>,
    /// Where the body begins.
    head: usize,
    /// Where it ends.
    total: usize,
}

/// Serves purchases until something else comes: true when the connection goes on with that, which
/// lies ahead in it; false when it has ended.
pub(crate) async fn serve(gate: &Gate, peer: IpAddr, conn: &mut Conn) -> bool {
    match purchases(gate, peer, conn).await {
        Some(rest) => {
            conn.ahead = rest;
            true
        }
        None => false,
    }
}

/// What was read of something else; `None` when the connection has ended.
async fn purchases(gate: &Gate, peer: IpAddr, conn: &mut Conn) -> Option<BytesMut> {
    let mut buffer = std::mem::take(&mut conn.ahead);
    let mut front = Front {
        gate,
        peer,
        is_trusted: is_trusted(&gate.cfg.trusted_proxies, peer),
        out: Vec::with_capacity(ROOM),
        date: Date::default(),
    };
    let limit = Duration::from_millis(gate.cfg.header_timeout_ms);
    let alarm = Alarm::new(limit);
    let mut stop = gate.tasks.watch(Phase::StopAccept);
    // What came with the connection is served first.
    let (mut asked, mut ahead) = (false, !buffer.is_empty());
    loop {
        if !std::mem::take(&mut ahead) {
            let mut late = alarm.until((Instant::now() + limit).into_std());
            let mut woken = false;
            let read = poll_fn(|cx| {
                if stop.is_reached(cx) {
                    return Poll::Ready(0);
                }
                let read = pin!(conn.read_on(&mut buffer)).poll(cx);
                if let Poll::Ready(read) = read {
                    return Poll::Ready(read.unwrap_or_default());
                }
                // The alarm, too, has the waker until it goes off.
                let ask = woken || !asked || alarm.has_gone_off();
                (asked, woken) = (true, true);
                if ask && Pin::new(&mut late).poll(cx).is_ready() {
                    return Poll::Ready(0);
                }
                Poll::Pending
            });
            if read.await == 0 {
                return None;
            }
        }
        let began = Instant::now();
        while !buffer.is_empty() {
            let plain = plain(&buffer);
            let closes = match &plain {
                Some(plain) => front.answer(plain, &buffer, began).await,
                None => false,
            };
            if closes || plain.is_none() {
                conn.write_all(&front.out).await.ok()?;
                conn.flush().await.ok()?;
                if closes {
                    conn.shutdown().await.ok()?;
                }
                return (!closes).then_some(buffer);
            }
            buffer.advance(plain.map_or(0, |p| p.total));
        }
        conn.write_all(&front.out).await.ok()?;
        conn.flush().await.ok()?;
        front.out.clear();
    }
}

struct Front<'a> {
    gate: &'a Gate,
    peer: IpAddr,
    /// The peer speaks for others.
    is_trusted: bool,
    out: Vec<u8>,
    date: Date,
}

impl Front<'_> {
    /// Answers the request at the buffer's front; true when the connection ends with that.
    async fn answer(&mut self, plain: &Plain, buffer: &[u8], began: Instant) -> bool {
        let arrival = Arrival { ip: self.client(plain, buffer), at: began };
        match self.at_once(plain, buffer, arrival) {
            Some(Ok(())) => {
                let (head, body) = sold_out();
                self.out.extend_from_slice(head);
                self.end(body);
                let outcome = Outcome::Problem(Reason::SoldOut);
                metrics::ended(Some(Buyers::Buy), outcome, began);
                return false;
            }
            Some(Err(limited)) => {
                return self.write(http::end(self.gate, Some(Buyers::Buy), began, Err(limited)));
            }
            None => {}
        }
        let part = |range: &Option<Range<usize>>| range.clone().map(|r| &buffer[r]);
        let key = part(&plain.key);
        let head = http::Head {
            offer: offer(plain, buffer),
            authorization: part(&plain.authorization),
            content_type: part(&plain.content_type),
            keys: key.as_slice(),
            has_query: false,
        };
        let body = ready(Ok(&buffer[plain.head..plain.total]));
        let handled = http::purchase(self.gate, arrival, &head, body).await;
        self.write(http::end(self.gate, Some(Buyers::Buy), began, handled))
    }

    fn client(&self, plain: &Plain, buffer: &[u8]) -> IpAddr {
        if !self.is_trusted {
            return self.peer;
        }
        let lines = |range: &Option<Range<usize>>| {
            range.iter().map(|r| &buffer[r.clone()]).collect::<Vec<&[u8]>>()
        };
        let (x_forwarded_for, forwarded) = (lines(&plain.x_forwarded_for), lines(&plain.forwarded));
        client(
            &self.gate.cfg.trusted_proxies,
            self.peer,
            &ForwardedFor { x_forwarded_for, forwarded },
        )
    }

    /// Writes an answer; true when the connection ends with it.
    fn write(&mut self, answer: Answer) -> bool {
        write_head(&answer, &mut self.out);
        self.end(&answer.body);
        answer.headers.iter().any(|(name, _)| name == CONNECTION)
    }

    /// `Some` when this buyer may be refused at once, because everything is known without waiting:
    /// sold out, or over a limit. What is in doubt goes the long way, which looks again; only what
    /// is answered here is charged here.
    fn at_once(
        &self,
        plain: &Plain,
        buffer: &[u8],
        arrival: Arrival,
    ) -> Option<Result<(), Problem>> {
        let gate = self.gate;
        if !gate.is_open() || gate.tasks.is_at(Phase::NotReady) {
            return None;
        }
        let offer = offer(plain, buffer);
        let known = gate.catalog.peek_name(&Tenant::default(), offer)?;
        // While an offer sells, nothing more is asked here.
        let only = (known.offer.buckets <= 1).then(|| gate.reserve.lane(&known.offer.id.cell(0)));
        if only.as_ref().is_some_and(|lane| !lane.sold_out.is_on()) {
            return None;
        }
        let verified = gate.tokens.remembered(&buffer[plain.authorization.clone()?])?;
        let buyer = &verified.buyer;
        if !buyer.tenant().is_default() {
            return None;
        }
        let lane = only.unwrap_or_else(|| gate.reserve.lane(&gate.cell_of(&known.offer, buyer)));
        let hash = || verified.hash(&gate.ports.identity);
        if buy::early(&known, &lane, hash)?.reason != Reason::SoldOut {
            return None;
        }
        let asked = Asked::by(buyer, arrival.ip, offer);
        Some(gate.admission.admit(&Dimension::ALL, &asked, arrival.at))
    }

    /// The date, the end of the head, and the body.
    fn end(&mut self, body: &[u8]) {
        self.out.extend_from_slice(self.date.line(self.gate.ports.clock.now_ms() / 1000));
        self.out.extend_from_slice(body);
    }
}

fn offer<'a>(plain: &Plain, buffer: &'a [u8]) -> &'a str {
    std::str::from_utf8(&buffer[plain.offer.clone()]).unwrap_or_default()
}

/// The purchase at the buffer's front, if it is whole and there is nothing unusual about it.
fn plain(buffer: &[u8]) -> Option<Plain> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(buffer) else { return None };
    let (offer, rest) = parsed.path?.strip_prefix("/v1/offers/")?.split_once('/')?;
    let fits = parsed.method == Some("POST") && parsed.version == Some(1) && rest == "orders";
    let usual = offer.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    if !fits || !usual || offer.is_empty() {
        return None;
    }
    let at = |part: &[u8]| {
        let from = part.as_ptr() as usize - buffer.as_ptr() as usize;
        from..from + part.len()
    };
    let (mut authorization, mut key, mut content_type, mut length) = (None, None, None, None);
    let (mut host, mut x_forwarded_for, mut forwarded) = (None, None, None);
    for h in parsed.headers.iter() {
        let is = |name: &str| h.name.eq_ignore_ascii_case(name);
        let once = |place: &mut Option<Range<usize>>| place.replace(at(h.value)).is_none();
        let usual = if is("content-length") {
            once(&mut length) && h.value.iter().all(u8::is_ascii_digit)
        } else if is("authorization") {
            once(&mut authorization)
        } else if is("idempotency-key") {
            once(&mut key)
        } else if is("content-type") {
            once(&mut content_type)
        } else if is("host") {
            once(&mut host) && message::is_host(h.value)
        } else if is("x-forwarded-for") {
            once(&mut x_forwarded_for)
        } else if is("forwarded") {
            once(&mut forwarded)
        } else if is("connection") {
            h.value.eq_ignore_ascii_case(b"keep-alive")
        } else {
            !UNUSUAL.iter().any(|name| is(name))
        };
        if !usual {
            return None;
        }
    }
    host?;
    let length = match length {
        Some(digits) => std::str::from_utf8(&buffer[digits]).ok()?.parse().ok()?,
        None => 0usize,
    };
    let total = head.checked_add(length)?;
    (total <= buffer.len()).then(|| Plain {
        offer: at(offer.as_bytes()),
        authorization,
        key,
        content_type,
        x_forwarded_for,
        forwarded,
        head,
        total,
    })
}

/// Headers that change how a message is read.
const UNUSUAL: [&str; 4] = ["transfer-encoding", "expect", "upgrade", "te"];

/// Status line and headers but the date, in the order in which hyper writes them.
fn write_head(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(answer.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(answer.status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in &answer.headers {
        for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            out.extend_from_slice(part);
        }
    }
    // A buffer that grows takes everything.
    let _ = write!(out, "\r\ncontent-length: {}\r\n", answer.body.len());
}

/// The sold-out refusal: the same bytes every time.
fn sold_out() -> &'static (Vec<u8>, Bytes) {
    static SOLD_OUT: OnceLock<(Vec<u8>, Bytes)> = OnceLock::new();
    SOLD_OUT.get_or_init(|| {
        let answer = answer::problem(&Problem::new(Reason::SoldOut));
        let mut head = Vec::new();
        write_head(&answer, &mut head);
        (head, answer.body)
    })
}

/// The last line of a head, made once per second and connection.
#[derive(Default)]
struct Date {
    second: u64,
    line: String,
}

impl Date {
    fn line(&mut self, second: u64) -> &[u8] {
        if self.line.is_empty() || self.second != second {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.line = format!("date: {}\r\n\r\n", httpdate::fmt_http_date(at));
            self.second = second;
        }
        self.line.as_bytes()
    }
}
