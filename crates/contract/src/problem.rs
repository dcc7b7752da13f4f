//! A refusal: RFC 9457 with a stable reason.

use std::borrow::Cow;

use domain::OrderId;
use http::header::{ALLOW, HeaderName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::buyers::Links;
use crate::reason::{Reason, Retry};
use crate::words::{described, text_or_none, word};

/// A problem before it is an answer.
#[derive(Debug, Clone)]
pub struct Problem {
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
    /// With the methods that a path has.
    pub fn allow(mut self, methods: String) -> Self {
        self.headers.push((ALLOW, methods));
        self
    }
    /// True when nothing but the reason is said.
    pub fn is_bare(&self) -> bool {
        self.detail.is_empty() && self.order.is_none() && self.self_link.is_none()
    }
    /// As it is sent.
    pub fn body(&self) -> ProblemBody<'_> {
        let reason = self.reason;
        ProblemBody {
            r#type: format!("/problems/{}", reason.as_str()),
            title: reason.title().into(),
            status: reason.status(),
            detail: if self.detail.is_empty() { reason.title() } else { &self.detail }.into(),
            reason,
            retry: reason.retry(),
            order_id: self.order,
            links: self.self_link.as_deref().map(|this| Links { this: this.into() }),
        }
    }
}

impl From<(Reason, String)> for Problem {
    fn from(refused: (Reason, String)) -> Self {
        let (reason, detail) = refused;
        Problem::with(reason, detail)
    }
}

/// Why something was refused, `application/problem+json`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// `/problems/` and the reason.
    pub r#type: String,
    /// One short sentence, the same for each reason.
    pub title: Cow<'a, str>,
    /// The HTTP status.
    pub status: u16,
    /// For the reader.
    pub detail: Cow<'a, str>,
    /// The stable code.
    #[serde(with = "word")]
    #[schema(schema_with = described::<Reason>)]
    pub reason: Reason,
    /// Whether sending exactly this again is safe and may help (`same_key`), it must be changed and
    /// get a new key (`new_request`), or neither helps (`no`).
    #[serde(with = "word")]
    #[schema(schema_with = described::<Retry>)]
    pub retry: Retry,
    /// The order that it is about.
    #[serde(default, with = "text_or_none", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false, format = "uuid")]
    pub order_id: Option<OrderId>,
    /// Where the order can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Links<'static>, required = false, nullable = false)]
    pub links: Option<Links<'a>>,
}
