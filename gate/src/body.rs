//! Reading a request: the body under its limits, strict JSON, the idempotency key, the query.
//!
//! Unknown and duplicate fields are refused, also inside `metadata`; nesting is bounded by the
//! parser (128). What two clients write differently but mean the same has one canonical form,
//! because the order id depends on it (`metadata.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use contract::Reason;
use contract::buyers::Purchase;
use contract::routes::Field;
use domain::IdempotencyKey;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use serde::Deserialize;

use crate::metadata;

/// A refusal with its detail.
pub(crate) type Refusal = (Reason, String);

/// Largest canonical metadata, bytes.
const MAX_METADATA: usize = 1024;

pub(crate) fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Refusal> {
    Err((reason, detail.into()))
}

/// Reads a body of at most `most` bytes within `limit`.
pub(crate) async fn read<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    headers: &HeaderMap,
    most: usize,
    limit: Duration,
) -> Result<Bytes, Refusal> {
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
pub(crate) fn check_json(content_type: Option<&[u8]>, body: &[u8]) -> Result<(), Refusal> {
    if body.is_empty() {
        return Ok(());
    }
    let value = content_type.and_then(|v| std::str::from_utf8(v).ok()).unwrap_or("");
    let media = value.split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        refuse(Reason::UnsupportedMediaType, "a body needs Content-Type: application/json")
    }
}

/// The key of a request that has these `Idempotency-Key` headers.
pub(crate) fn idempotency_key(headers: &[&[u8]]) -> Result<IdempotencyKey, Refusal> {
    let text = match headers {
        [] => return refuse(Reason::MissingIdempotencyKey, "send an Idempotency-Key header"),
        [one] => std::str::from_utf8(one).unwrap_or(""),
        _ => return refuse(Reason::Malformed, "Idempotency-Key was given twice"),
    };
    text.parse().or_else(|e: domain::IdError| refuse(Reason::Malformed, e.to_string()))
}

/// What a one-line order asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BuyBody {
    /// Units.
    pub quantity: u32,
    /// Canonical JSON object, or empty for none.
    pub metadata: String,
}

/// Parses the body of a buy; empty means the defaults.
pub(crate) fn buy(body: &[u8], max_quantity: u32) -> Result<BuyBody, Refusal> {
    if body.is_empty() {
        return Ok(BuyBody { quantity: 1, metadata: String::new() });
    }
    let wire: Purchase<'_> = json(body)?;
    let quantity = wire.quantity.map_or(Ok(1), |q| quantity(q.get(), max_quantity))?;
    let metadata = wire.metadata.map_or(Ok(String::new()), metadata::canonical)?;
    if metadata.len() > MAX_METADATA {
        return refuse(Reason::Malformed, format!("metadata is at most {MAX_METADATA} bytes"));
    }
    Ok(BuyBody { quantity, metadata })
}

/// An integer of any size: what is no integer is a wrong type, what is too large is out of range.
fn quantity(text: &str, most: u32) -> Result<u32, Refusal> {
    if let Some(n) = text.parse::<u32>().ok().filter(|n| (1..=most).contains(n)) {
        return Ok(n);
    }
    // To JSON `2` and `2.0` are one number.
    if let Some(n) = text.parse().ok().and_then(contract::whole)
        && (1..=i64::from(most)).contains(&n)
    {
        return Ok(n as u32);
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let integer = digits.bytes().all(|b| b.is_ascii_digit());
    if integer || text.parse::<f64>().is_ok_and(|n| n.fract() == 0.0 || n.is_infinite()) {
        refuse(Reason::BadQuantity, format!("quantity is 1 to {most}"))
    } else {
        refuse(Reason::Malformed, "quantity is an integer")
    }
}

/// Parses a strict JSON object; the detail says where it went wrong.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let mut d = serde_json::Deserializer::from_slice(body);
    let parsed = contract::object(&mut d).and_then(|value| d.end().map(|()| value));
    parsed.or_else(|e| refuse(Reason::Malformed, e.to_string()))
}

/// The values of a query string; an unknown or doubled name is refused.
pub(crate) fn query<'a>(
    query: Option<&'a str>,
    known: &'static [Field],
) -> Result<BTreeMap<&'static str, std::borrow::Cow<'a, str>>, Refusal> {
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

/// `500ms` or `5s`; more than 30 s counts as 30 s.
pub(crate) fn wait(text: &str) -> Result<Duration, Refusal> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s').unwrap_or("x"), 1000),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return refuse(Reason::Malformed, "wait is a number of ms or s, such as 500ms or 5s");
    }
    // What no 64 bits hold is more than 30 s as well.
    let ms = digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    Ok(Duration::from_millis(ms.min(30_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(body: &str) -> Option<Reason> {
        buy(body.as_bytes(), 100).err().map(|e| e.0)
    }

    #[test]
    fn quantities() {
        assert_eq!(buy(b"", 100).unwrap().quantity, 1);
        assert_eq!(buy(b"{\"quantity\":100}", 100).unwrap().quantity, 100);
        for two in ["2", "2.0", "2e0", "0.2E1"] {
            let body = format!("{{\"quantity\":{two}}}");
            assert_eq!(buy(body.as_bytes(), 100).unwrap().quantity, 2, "{two}");
        }
        for out in [
            "0",
            "-1",
            "101",
            "99999999999999999999999",
            "1e30",
            "-0",
            "1e400",
            "101.0",
            "0.0",
            "-2.0",
        ] {
            let body = format!("{{\"quantity\":{out}}}");
            assert_eq!(reason(&body), Some(Reason::BadQuantity), "{out}");
        }
        for wrong in ["1.5", "\"1\"", "null", "true", "[]", "{}"] {
            let body = format!("{{\"quantity\":{wrong}}}");
            assert_eq!(reason(&body), Some(Reason::Malformed), "{wrong}");
        }
    }

    #[test]
    fn unknown_and_duplicate_fields_are_refused_at_any_depth() {
        for body in [
            "{\"quantiti\":1}",
            "{\"quantity\":1,\"quantity\":1}",
            "{\"metadata\":{\"a\":{\"b\":1,\"b\":2}}}",
            "{\"metadata\":[1]}",
            "[]",
            "{",
            "nonsense",
        ] {
            assert_eq!(reason(body), Some(Reason::Malformed), "{body}");
        }
        let bomb = format!("{{\"metadata\":{{\"a\":{}", "[".repeat(3000));
        assert_eq!(reason(&bomb), Some(Reason::Malformed));
        assert_eq!(buy(b"{\"metadata\":{\"a\":\"\xff\"}}", 9).unwrap_err().0, Reason::Malformed);
    }

    #[test]
    fn content_is_the_same_for_what_means_the_same() {
        let a = buy(b"{\"metadata\":{\"b\":1,\"a\":[true,null]},\"quantity\":2}", 9).unwrap();
        let b =
            buy(b"{ \"quantity\": 2, \"metadata\": {\"a\":[ true,null ],\"b\":1} }", 9).unwrap();
        assert_eq!(a, b);
        let large = format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(1100));
        assert_eq!(reason(&large), Some(Reason::Malformed));
    }

    #[test]
    fn waits() {
        assert_eq!(wait("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(wait("5s").unwrap(), Duration::from_secs(5));
        let long = "9".repeat(400);
        for most in
            ["900s", "9999999999s", "30001ms", "18446744073709551616ms", &format!("{long}s")]
        {
            assert_eq!(wait(most).unwrap(), Duration::from_secs(30), "{most}");
        }
        assert_eq!(wait("00000000000000000000000001ms").unwrap(), Duration::from_millis(1));
        for bad in
            ["", "5", "s", "ms", "-1s", "+1s", "1.5s", "5m", "1e3s", "5S", "5 s", " 5s", &long]
        {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }
}
