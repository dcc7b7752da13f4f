//! Answers: the one place where an outcome becomes HTTP.

use std::sync::OnceLock;

use bytes::Bytes;
use domain::{OrderId, Reason};
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A response as HTTP has it.
pub type Reply = Response<Full<Bytes>>;

/// A response of this gate, before it is HTTP of some version.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// In the order in which they are sent.
    pub headers: Vec<(HeaderName, HeaderValue)>,
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

/// A problem before it is an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// Decides status, type, title and retry.
    pub reason: Reason,
    /// For the reader; empty repeats the title.
    pub detail: String,
    /// Known once the body was read.
    pub order: Option<OrderId>,
    /// Where the order can be asked for.
    pub self_link: Option<String>,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// More headers.
    pub headers: Vec<(HeaderName, String)>,
}

impl Problem {
    /// With the title as detail.
    pub fn new(reason: Reason) -> Self {
        let wait = match reason.status() {
            503 => Some(1),
            _ => None,
        };
        Self {
            reason,
            detail: String::new(),
            order: None,
            self_link: None,
            retry_after: wait,
            headers: Vec::new(),
        }
    }
    /// With a detail.
    pub fn with(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..Self::new(reason) }
    }
    /// About this order.
    pub fn about(mut self, order: OrderId) -> Self {
        self.order = Some(order);
        self
    }
    /// The allowed methods of a 405; none for a route that does not exist.
    pub fn allow(mut self, methods: &'static str) -> Self {
        if !methods.is_empty() {
            self.headers.push((ALLOW, methods.to_owned()));
        }
        self
    }
}

impl From<(Reason, String)> for Problem {
    fn from((reason, detail): (Reason, String)) -> Self {
        Problem::with(reason, detail)
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'static str,
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<Links<'a>>,
}

/// `links` of orders and problems.
#[derive(Serialize)]
pub(crate) struct Links<'a> {
    /// Where to ask again.
    #[serde(rename = "self")]
    pub this: &'a str,
}

/// A problem as `application/problem+json`.
pub(crate) fn problem(p: &Problem) -> Answer {
    let r = p.reason;
    let bare = p.detail.is_empty() && p.order.is_none() && p.self_link.is_none();
    let body = if bare { bare_body(r) } else { problem_body(p) };
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
        .get_or_init(|| Reason::ALL.iter().map(|r| problem_body(&Problem::new(*r))).collect());
    let at = Reason::ALL.iter().position(|r| *r == reason).unwrap_or_default();
    all.get(at).cloned().unwrap_or_default()
}

fn problem_body(p: &Problem) -> Bytes {
    let r = p.reason;
    let body = ProblemBody {
        r#type: format!("/problems/{}", r.as_str()),
        title: r.title(),
        status: r.status(),
        detail: if p.detail.is_empty() { r.title() } else { &p.detail },
        reason: r.as_str(),
        retry: r.retry().as_str(),
        order_id: p.order.map(|o| o.to_string()),
        links: p.self_link.as_deref().map(|this| Links { this }),
    };
    to_bytes(&body)
}

/// JSON with a status.
pub(crate) fn json(status: u16, body: &impl Serialize) -> Answer {
    raw(status, "application/json", to_bytes(body))
}

/// Plain text.
pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Answer {
    raw(status, "text/plain; charset=utf-8", body.into())
}

pub(crate) fn raw(status: u16, media: &'static str, body: Bytes) -> Answer {
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
