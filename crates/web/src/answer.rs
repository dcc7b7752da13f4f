//! Answers: the one place where what a handler says becomes HTTP.

use std::sync::OnceLock;

use bytes::Bytes;
use contract::{Problem, Reason};
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A response as HTTP has it.
pub type Reply = Response<Full<Bytes>>;

/// A response of this gate, before it is HTTP of some version.
#[derive(Debug)]
pub struct Answer {
    /// Of a problem, that of its reason.
    pub status: StatusCode,
    /// In the order in which they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// All of it.
    pub body: Bytes,
}

impl Answer {
    /// With a `Location`.
    pub fn at(mut self, location: String) -> Self {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(location)) {
            self.headers.push((LOCATION, value));
        }
        self
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        let mut reply = Response::new(Full::new(answer.body));
        *reply.status_mut() = answer.status;
        reply.headers_mut().extend(answer.headers);
        reply
    }
}

/// A problem as `application/problem+json`.
pub fn problem(p: &Problem) -> Answer {
    let r = p.reason;
    let body = if p.is_bare() { bare_body(r) } else { to_bytes(&p.body()) };
    let mut answer = raw(r.status(), "application/problem+json", body);
    let headers = &mut answer.headers;
    if let Some(s) = p.retry_after {
        headers.push((RETRY_AFTER, HeaderValue::from(s)));
    }
    if r == Reason::Unauthenticated {
        headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    for (name, value) in &p.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.push((name.clone(), value));
        }
    }
    answer
}

/// The body of a problem without a detail of its own: the same bytes every time.
fn bare_body(reason: Reason) -> Bytes {
    static BODIES: OnceLock<Vec<Bytes>> = OnceLock::new();
    let all = BODIES
        .get_or_init(|| Reason::ALL.iter().map(|r| to_bytes(&Problem::new(*r).body())).collect());
    let at = Reason::ALL.iter().position(|r| *r == reason).unwrap_or_default();
    all.get(at).cloned().unwrap_or_default()
}

/// JSON with a status.
pub fn json(status: u16, body: &impl Serialize) -> Answer {
    raw(status, "application/json", to_bytes(body))
}

/// Plain text.
pub fn text(status: u16, body: impl Into<Bytes>) -> Answer {
    raw(status, "text/plain; charset=utf-8", body.into())
}

/// Bytes of any media type.
pub fn raw(status: u16, media: &'static str, body: Bytes) -> Answer {
    let mut headers = Vec::with_capacity(4);
    headers.push((CONTENT_TYPE, HeaderValue::from_static(media)));
    headers.push((CACHE_CONTROL, HeaderValue::from_static("no-store")));
    Answer { status: StatusCode::from_u16(status).unwrap_or_default(), headers, body }
}

fn to_bytes(body: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => bytes.into(),
        Err(_) => Bytes::new(),
    }
}
