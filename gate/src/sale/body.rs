//! Reading a purchase: its idempotency key, its body, and how long somebody waits for an order.
//!
//! What two clients write differently but mean the same has one canonical form, because the order
//! id depends on it (`metadata.rs`). Unknown and duplicate fields are refused inside `metadata`
//! too.

use std::time::Duration;

use contract::Reason;
use contract::buyers::Purchase;
use domain::{IdempotencyKey, Price};
use web::body::{BodyRefusal, json, refuse};

use crate::sale::metadata;

/// Largest canonical metadata, bytes.
const MAX_METADATA: usize = 1024;

/// The key of a request that has these `Idempotency-Key` headers.
pub(crate) fn idempotency_key(headers: &[&[u8]]) -> Result<IdempotencyKey, BodyRefusal> {
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
    /// What the buyer was shown that it costs.
    pub expected: Option<Price>,
}

/// Parses the body of a buy; empty means the defaults.
pub(crate) fn buy(body: &[u8], max_quantity: u32) -> Result<BuyBody, BodyRefusal> {
    if body.is_empty() {
        return Ok(BuyBody { quantity: 1, metadata: String::new(), expected: None });
    }
    let wire: Purchase<'_> = json(body)?;
    let quantity = wire.quantity.map_or(Ok(1), |q| quantity(q.get(), max_quantity))?;
    let metadata = wire.metadata.map_or(Ok(String::new()), metadata::canonical)?;
    if metadata.len() > MAX_METADATA {
        return refuse(Reason::Malformed, format!("metadata is at most {MAX_METADATA} bytes"));
    }
    let expected = wire
        .expected_amount
        .map(|amount| Price { currency: amount.currency.into_owned(), minor: amount.minor });
    Ok(BuyBody { quantity, metadata, expected })
}

/// An integer of any size: what is no integer is a wrong type, what is too large is out of range.
fn quantity(text: &str, most: u32) -> Result<u32, BodyRefusal> {
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

/// `500ms` or `5s`; more than 30 s counts as 30 s.
pub(crate) fn wait(text: &str) -> Result<Duration, BodyRefusal> {
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
