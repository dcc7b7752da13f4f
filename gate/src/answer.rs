//! Answers: the one place where an outcome becomes HTTP.

use std::sync::OnceLock;

use bytes::Bytes;
use domain::{OrderId, Reason};
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

/// A response of this gate.
pub type Answer = Response<Full<Bytes>>;

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
    let headers = answer.headers_mut();
    if let Some(s) = p.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(s));
    }
    if r == Reason::Unauthenticated {
        headers.insert(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    for (name, value) in &p.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
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

/// JSON with a `Location`.
pub(crate) fn json_at(status: u16, body: &impl Serialize, location: &str) -> Answer {
    let mut answer = json(status, body);
    if let Ok(value) = HeaderValue::from_str(location) {
        answer.headers_mut().insert(LOCATION, value);
    }
    answer
}

/// Plain text.
pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Answer {
    raw(status, "text/plain; charset=utf-8", body.into())
}

pub(crate) fn raw(status: u16, media: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn to_bytes(body: &impl Serialize) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    match serde_json::to_writer(&mut bytes, body) {
        Ok(()) => bytes.into(),
        Err(_) => Bytes::new(),
    }
}
