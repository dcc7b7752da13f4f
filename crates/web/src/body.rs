//! Reading a request: the body under its limits, strict JSON, the query.
//!
//! Unknown and duplicate fields are refused; nesting is bounded by the parser (128).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use contract::Reason;
use contract::routes::Field;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use serde::Deserialize;

/// A refusal with its detail.
pub type BodyRefusal = (Reason, String);

/// Refuses with a detail.
pub fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, BodyRefusal> {
    Err((reason, detail.into()))
}

/// Reads a body of at most `most` bytes within `limit`.
pub async fn read<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    headers: &HeaderMap,
    most: usize,
    limit: Duration,
) -> Result<Bytes, BodyRefusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let too_large = || refuse(Reason::BodyTooLarge, format!("at most {most} bytes"));
    if announced.is_some_and(|n| n > most as u64) {
        return too_large();
    }
    let until = tokio::time::Instant::now() + limit;
    let mut all = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout_at(until, body.frame()).await {
            Err(_) => return refuse(Reason::RequestTimeout, "the body did not arrive in time"),
            Ok(None) => return Ok(all.freeze()),
            Ok(Some(Err(_))) => return refuse(Reason::Malformed, "the body broke off"),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if all.len() + data.len() > most {
            return too_large();
        }
        if all.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        all.extend_from_slice(&data);
    }
}

/// A non-empty body must say that it is JSON.
pub fn check_json(content_type: Option<&[u8]>, body: &[u8]) -> Result<(), BodyRefusal> {
    check_media(content_type, body, "application/json")
}

/// A non-empty body must say that it is of this media type.
pub fn check_media(
    content_type: Option<&[u8]>,
    body: &[u8],
    wanted: &str,
) -> Result<(), BodyRefusal> {
    if body.is_empty() {
        return Ok(());
    }
    let value = content_type.and_then(|v| std::str::from_utf8(v).ok()).unwrap_or("");
    let media = value.split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case(wanted) {
        Ok(())
    } else {
        refuse(Reason::UnsupportedMediaType, format!("a body needs Content-Type: {wanted}"))
    }
}

/// Parses a strict JSON object; the detail says where it went wrong.
pub fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BodyRefusal> {
    let mut d = serde_json::Deserializer::from_slice(body);
    let parsed = contract::object(&mut d).and_then(|value| d.end().map(|()| value));
    parsed.or_else(|e| refuse(Reason::Malformed, e.to_string()))
}

/// The values of a query string; an unknown or doubled name is refused.
pub fn query<'a>(
    query: Option<&'a str>,
    known: &'static [Field],
) -> Result<BTreeMap<&'static str, Cow<'a, str>>, BodyRefusal> {
    let mut out = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        let Some(name) = known.iter().map(|k| k.name).find(|k| *k == name) else {
            return refuse(Reason::Malformed, format!("unknown query field {name:?}"));
        };
        if out.insert(name, value).is_some() {
            return refuse(Reason::Malformed, format!("query field {name:?} was given twice"));
        }
    }
    Ok(out)
}
