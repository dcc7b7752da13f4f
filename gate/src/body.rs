//! Reading a request: the body under its limits, strict JSON, the idempotency key, the query.
//!
//! Unknown and duplicate fields are refused, also inside `metadata`; nesting is bounded by the
//! parser (128). What two clients write differently but mean the same has one canonical form,
//! because the order id depends on it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::{IdempotencyKey, Reason};
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BuyWire {
    #[serde(default = "Quantity::one")]
    quantity: Quantity,
    #[serde(default)]
    metadata: Object,
}

/// Parses the body of a buy; empty means the defaults.
pub(crate) fn buy(body: &[u8], max_quantity: u32) -> Result<BuyBody, Refusal> {
    if body.is_empty() {
        return Ok(BuyBody { quantity: 1, metadata: String::new() });
    }
    let wire: BuyWire = json(body)?;
    let quantity = match wire.quantity {
        Quantity::Number(n) if (1..=u64::from(max_quantity)).contains(&n) => n as u32,
        Quantity::Number(_) | Quantity::Out => {
            return refuse(Reason::BadQuantity, format!("quantity is 1 to {max_quantity}"));
        }
    };
    let metadata = wire.metadata.canonical();
    if metadata.len() > MAX_METADATA {
        return refuse(Reason::Malformed, format!("metadata is at most {MAX_METADATA} bytes"));
    }
    Ok(BuyBody { quantity, metadata })
}

/// Parses a strict JSON object; the detail says where it went wrong.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    let mut d = serde_json::Deserializer::from_slice(body);
    let parsed = object(&mut d).and_then(|value| d.end().map(|()| value));
    parsed.or_else(|e| refuse(Reason::Malformed, e.to_string()))
}

/// A struct from a JSON object only: serde by itself takes a list of its fields as well.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    struct V<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, a: A) -> Result<T, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(a))
        }
    }
    d.deserialize_any(V(std::marker::PhantomData))
}

/// An integer of any size: what is no integer is a wrong type, what is too large is out of range.
#[derive(Debug)]
enum Quantity {
    Number(u64),
    Out,
}

impl Quantity {
    fn one() -> Self {
        Quantity::Number(1)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl Visitor<'_> for V {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }
            fn visit_u64<E>(self, n: u64) -> Result<Quantity, E> {
                Ok(Quantity::Number(n))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Quantity, E> {
                Ok(Quantity::Out)
            }
            fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Quantity, E> {
                // An integer beyond 64 bits arrives as a float of at least 2^63.
                if n.abs() >= 9.2e18 { Ok(Quantity::Out) } else { Err(E::custom("an integer")) }
            }
        }
        d.deserialize_any(V)
    }
}

/// A JSON object without duplicate fields at any depth, fields sorted.
#[derive(Debug, Default, Serialize)]
struct Object(BTreeMap<String, Strict>);

impl Object {
    fn canonical(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match Strict::deserialize(d)? {
            Strict::Object(o) => Ok(o),
            _ => Err(D::Error::custom("metadata is an object")),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Strict {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Strict>),
    Object(Object),
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Strict, E> {
        Ok(Strict::Bool(b))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Strict, E> {
        Ok(Strict::Number(n.into()))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Strict, E> {
        Ok(Strict::Number(n.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Strict, E> {
        let number = serde_json::Number::from_f64(n);
        number.map(Strict::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, s: &str) -> Result<Strict, E> {
        Ok(Strict::Text(s.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Strict, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = a.next_element()? {
            list.push(one);
        }
        Ok(Strict::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Strict, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = a.next_entry::<String, Strict>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            map.insert(name, value);
        }
        Ok(Strict::Object(Object(map)))
    }
}

/// The content of a one-line order, for the order id: canonical, unambiguous.
pub(crate) fn content(offer: &str, body: &BuyBody) -> Vec<u8> {
    format!("{offer}\n{}\n{}", body.quantity, body.metadata).into_bytes()
}

/// The values of a query string; an unknown or doubled name is refused.
pub(crate) fn query<'a>(
    query: Option<&'a str>,
    known: &[&'static str],
) -> Result<BTreeMap<&'static str, std::borrow::Cow<'a, str>>, Refusal> {
    let mut out = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or("").as_bytes()) {
        let Some(name) = known.iter().find(|k| **k == name) else {
            return refuse(Reason::Malformed, format!("unknown query field {name:?}"));
        };
        if out.insert(*name, value).is_some() {
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
    let plain = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u64>() {
        Ok(n) if plain => Ok(Duration::from_millis((n * unit).min(30_000))),
        _ => refuse(Reason::Malformed, "wait is a number of ms or s, such as 500ms or 5s"),
    }
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
        for out in ["0", "-1", "101", "99999999999999999999999", "1e30"] {
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
    fn metadata_has_one_form() {
        let a = buy(b"{\"metadata\":{\"b\":1,\"a\":[true,null]},\"quantity\":2}", 9).unwrap();
        let b =
            buy(b"{ \"quantity\": 2, \"metadata\": {\"a\":[ true,null ],\"b\":1} }", 9).unwrap();
        assert_eq!(content("o", &a), content("o", &b));
        let large = format!("{{\"metadata\":{{\"a\":\"{}\"}}}}", "x".repeat(1100));
        assert_eq!(reason(&large), Some(Reason::Malformed));
    }

    #[test]
    fn waits() {
        assert_eq!(wait("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(wait("5s").unwrap(), Duration::from_secs(5));
        assert_eq!(wait("900s").unwrap(), Duration::from_secs(30));
        for bad in ["", "5", "s", "-1s", "1.5s", "5m", "99999999999999s"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }
}
