//! The short way of a purchase over HTTP/1.1, before hyper.
//!
//! A flash sale is one request again and again, and when all is sold one answer. Where a whole
//! `POST /v1/offers/{offer}/orders` lies in the buffer, plain and small, it is answered from here:
//! a sold-out refusal without building a request at all, anything else through [`http::respond`],
//! as hyper's requests are. What is not exactly that, down to one unusual header or one missing
//! byte, goes to hyper with all that was read, and the connection stays there. So this file never
//! decides what is malformed.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use domain::Reason;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use runtime::Phase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::answer::{self, Answer, Problem};
use crate::buy;
use crate::http;
use crate::metrics::Outcome;
use crate::route;
use crate::state::Gate;

/// The most that is read at once; a longer request is hyper's.
const READ: usize = 4096;
/// Headers of a plain request; more are hyper's.
const HEADERS: usize = 24;

/// A whole purchase in the buffer; ranges are of the buffer.
struct Plain {
    path: Range<usize>,
    offer: Range<usize>,
    authorization: Range<usize>,
    headers: [(Range<usize>, Range<usize>); HEADERS],
    count: usize,
    /// Where the body begins.
    head: usize,
    /// Where it ends.
    total: usize,
}

/// Serves purchases until something else comes: `Some` is what was read of it. `None` when the
/// connection has ended.
pub(crate) async fn serve(
    gate: &Arc<Gate>,
    peer: IpAddr,
    stream: &mut TcpStream,
) -> Option<BytesMut> {
    let mut front = Front {
        gate,
        peer,
        out: BytesMut::with_capacity(READ),
        buffer: BytesMut::with_capacity(READ),
        date: Date::default(),
    };
    let limit = Duration::from_millis(gate.cfg.header_timeout_ms);
    let alarm = Alarm::new(limit);
    let mut stop = pin!(tokio::task::unconstrained(gate.tasks.reached(Phase::StopAccept)));
    let mut asked = false;
    loop {
        let mut late = alarm.until((Instant::now() + limit).into_std());
        let mut woken = false;
        let read = poll_fn(|cx| {
            // The first poll leaves this task's waker with the phase; then a load tells enough.
            let stops = gate.tasks.is_at(Phase::StopAccept);
            if stops || (!asked && stop.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(0);
            }
            front.buffer.reserve(READ);
            let read = pin!(stream.read_buf(&mut front.buffer)).poll(cx);
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
        let began = Instant::now();
        while !front.buffer.is_empty() {
            let next = match plain(&front.buffer) {
                Some(plain) => front.answer(&plain, began).await,
                None => Next::Hyper,
            };
            if next != Next::Go {
                stream.write_all_buf(&mut front.out).await.ok()?;
                return (next == Next::Hyper).then_some(front.buffer);
            }
        }
        stream.write_all_buf(&mut front.out).await.ok()?;
    }
}

/// After one request.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Close,
    Hyper,
}

struct Front<'a> {
    gate: &'a Arc<Gate>,
    peer: IpAddr,
    buffer: BytesMut,
    out: BytesMut,
    date: Date,
}

impl Front<'_> {
    /// Answers the request at the buffer's front.
    async fn answer(&mut self, plain: &Plain, began: Instant) -> Next {
        if self.is_sold_out(plain) {
            self.buffer.advance(plain.total);
            let (head, body) = sold_out();
            self.write(head, body);
            let outcome = Outcome::Problem(Reason::SoldOut);
            self.gate.requests.ended(route::BUY, outcome, began.elapsed().as_secs_f64());
            return Next::Go;
        }
        let raw = self.buffer.split_to(plain.total).freeze();
        let Some(request) = request(plain, &raw) else {
            let mut all = BytesMut::from(&raw[..]);
            all.unsplit(std::mem::take(&mut self.buffer));
            self.buffer = all;
            return Next::Hyper;
        };
        let answer = http::respond(self.gate.clone(), self.peer, request).await;
        let closes = answer.headers().contains_key(CONNECTION);
        let (head, body) = head_and_body(answer);
        self.write(&head, &body);
        if closes { Next::Close } else { Next::Go }
    }

    /// True when this buyer may be refused at once: everything is known without waiting, and the
    /// request is within its limits. What is in doubt goes the long way, which looks again.
    fn is_sold_out(&self, plain: &Plain) -> bool {
        let gate = self.gate;
        if !gate.is_open() || gate.tasks.is_at(Phase::NotReady) {
            return false;
        }
        let offer = std::str::from_utf8(&self.buffer[plain.offer.clone()]).unwrap_or_default();
        let Some(known) = gate.catalog.peek_name(offer) else { return false };
        let token = &self.buffer[plain.authorization.clone()];
        let Some(buyer) = gate.tokens.remembered(token) else { return false };
        let lane = gate.reserve.lane(&gate.cell_of(&known.offer, &buyer));
        let hash = gate.ports.identity.buyer_hash(&buyer);
        buy::early(&known, &lane, hash).is_some_and(|p| p.reason == Reason::SoldOut)
            && gate.admission.arrive(self.peer).is_ok()
            && gate.admission.offer(offer).is_ok()
            && gate.admission.buyer(buyer.as_str()).is_ok()
    }

    fn write(&mut self, head: &[u8], body: &[u8]) {
        self.out.reserve(head.len() + body.len() + 64);
        self.out.extend_from_slice(head);
        self.out.extend_from_slice(self.date.line(self.gate.ports.clock.now_ms() / 1000));
        self.out.extend_from_slice(body);
    }
}

/// The purchase at the buffer's front, if it is whole and there is nothing unusual about it.
fn plain(buffer: &[u8]) -> Option<Plain> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(buffer) else { return None };
    let path = parsed.path?;
    let (offer, rest) = path.strip_prefix("/v1/offers/")?.split_once('/')?;
    let fits = parsed.method == Some("POST") && parsed.version == Some(1) && rest == "orders";
    if !fits || offer.is_empty() {
        return None;
    }
    let at = |part: &[u8]| {
        let from = part.as_ptr() as usize - buffer.as_ptr() as usize;
        from..from + part.len()
    };
    let mut out = Plain {
        path: at(path.as_bytes()),
        offer: at(offer.as_bytes()),
        authorization: 0..0,
        headers: [const { (0..0, 0..0) }; HEADERS],
        count: parsed.headers.len(),
        head,
        total: head,
    };
    let mut length = None;
    for (place, h) in out.headers.iter_mut().zip(parsed.headers.iter()) {
        *place = (at(h.name.as_bytes()), at(h.value));
        if h.name.eq_ignore_ascii_case("content-length") {
            let digits = std::str::from_utf8(h.value).ok()?;
            let number = digits.bytes().all(|b| b.is_ascii_digit());
            let fresh = number && length.replace(digits.parse::<usize>().ok()?).is_none();
            if !fresh {
                return None;
            }
        } else if h.name.eq_ignore_ascii_case("authorization") {
            if !out.authorization.is_empty() {
                return None;
            }
            out.authorization = at(h.value);
        } else if h.name.eq_ignore_ascii_case("connection") {
            if !h.value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if UNUSUAL.iter().any(|name| h.name.eq_ignore_ascii_case(name)) {
            return None;
        }
    }
    out.total = head.checked_add(length.unwrap_or(0))?;
    (out.total <= buffer.len()).then_some(out)
}

/// Headers that change how a message is read.
const UNUSUAL: [&str; 4] = ["transfer-encoding", "expect", "upgrade", "te"];

/// The request as hyper would have made it.
fn request(plain: &Plain, raw: &Bytes) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(raw.slice(plain.head..)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_maybe_shared(raw.slice(plain.path.clone())).ok()?;
    let headers = request.headers_mut();
    headers.reserve(plain.count);
    for (name, value) in &plain.headers[..plain.count] {
        let name = HeaderName::from_bytes(&raw[name.clone()]).ok()?;
        headers.append(name, HeaderValue::from_maybe_shared(raw.slice(value.clone())).ok()?);
    }
    Some(request)
}

/// Status line and headers but the date, in the order in which hyper writes them; and the body.
fn head_and_body(answer: Answer) -> (Vec<u8>, Bytes) {
    let (parts, mut body) = answer.into_parts();
    let mut cx = Context::from_waker(Waker::noop());
    let body = match Pin::new(&mut body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    };
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(parts.status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in &parts.headers {
        for part in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            head.extend_from_slice(part);
        }
    }
    // A buffer that grows takes everything.
    let _ = write!(head, "\r\ncontent-length: {}\r\n", body.len());
    (head, body)
}

/// The sold-out refusal: the same bytes every time.
fn sold_out() -> &'static (Vec<u8>, Bytes) {
    static SOLD_OUT: OnceLock<(Vec<u8>, Bytes)> = OnceLock::new();
    SOLD_OUT.get_or_init(|| head_and_body(answer::problem(&Problem::new(Reason::SoldOut))))
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
