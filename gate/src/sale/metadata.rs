//! The canonical form of an order's `metadata`, on which its id depends.
//!
//! The order of fields, spaces and the way a character is escaped mean nothing. A number is its
//! text: as a double, two neighbouring large integers would be one, and a buyer would get another
//! number back than was sent. So `1` and `1.0` are different content.

use std::collections::BTreeMap;
use std::fmt;

use contract::Reason;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use web::body::{BodyRefusal, refuse};

/// Values inside of each other, the object itself included.
const MAX_DEPTH: usize = 126;

/// The one text of this object, or empty for one without fields.
pub(crate) fn canonical(raw: &RawValue) -> Result<String, BodyRefusal> {
    if !raw.get().starts_with('{') {
        return refuse(Reason::Malformed, "metadata is an object");
    }
    let mut text = String::with_capacity(raw.get().len());
    match write(raw.get(), MAX_DEPTH, &mut text) {
        Ok(()) if text == "{}" => Ok(String::new()),
        Ok(()) => Ok(text),
        Err(e) => refuse(Reason::Malformed, format!("metadata: {e}")),
    }
}

/// Writes one value, which the parser has found to be JSON; `depth` more may be inside of it.
fn write(value: &str, depth: usize, out: &mut String) -> serde_json::Result<()> {
    let deeper = || {
        let deeper = depth.checked_sub(1);
        deeper.ok_or_else(|| serde_json::Error::custom("too many values inside of each other"))
    };
    match value.as_bytes().first() {
        Some(b'{') => {
            let depth = deeper()?;
            out.push('{');
            for (n, (name, value)) in
                serde_json::from_str::<MetadataFields<'_>>(value)?.0.iter().enumerate()
            {
                out.push_str(if n == 0 { "" } else { "," });
                out.push_str(&serde_json::to_string(name)?);
                out.push(':');
                write(value.get(), depth, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let depth = deeper()?;
            out.push('[');
            for (n, item) in serde_json::from_str::<Vec<&RawValue>>(value)?.iter().enumerate() {
                out.push_str(if n == 0 { "" } else { "," });
                write(item.get(), depth, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(value)?;
            out.push_str(&serde_json::to_string(&text)?);
        }
        // A number, `true`, `false` or `null`.
        _ => out.push_str(value),
    }
    Ok(())
}

/// The fields of an object, sorted; none is there twice.
struct MetadataFields<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for MetadataFields<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = MetadataFields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut a: A,
            ) -> Result<MetadataFields<'de>, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, value)) = a.next_entry::<String, &'de RawValue>()? {
                    if map.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    map.insert(name, value);
                }
                Ok(MetadataFields(map))
            }
        }
        d.deserialize_map(V)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> String {
        canonical(serde_json::from_str(text).unwrap()).unwrap()
    }

    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// A number as somebody may write it.
    fn number(state: &mut u64) -> String {
        let bits = random(state);
        let sign = if random(state).is_multiple_of(2) { "-" } else { "" };
        match random(state) % 5 {
            0 => format!("{sign}{bits}{}", random(state)),
            1 => format!("{sign}{}.{:03}", bits % 1000, random(state) % 1000),
            2 => format!("{sign}{}.{}E+{}", bits % 10, random(state), random(state) % 999),
            3 => format!("{sign}0e-{}", bits % 99),
            _ => {
                let double = f64::from_bits(bits);
                if double.is_finite() { format!("{double:?}") } else { format!("{sign}0.0") }
            }
        }
    }

    /// The same value twice: as it is canonical, and with spaces and the fields turned round.
    fn value(state: &mut u64, depth: u32) -> (String, String) {
        let kind = if depth == 0 { 0 } else { random(state) % 3 };
        if kind == 0 {
            let n = number(state);
            return (n.clone(), format!(" {n}\n"));
        }
        let inside: Vec<_> = (0..random(state) % 4).map(|_| value(state, depth - 1)).collect();
        if kind == 1 {
            let (a, b): (Vec<_>, Vec<_>) = inside.into_iter().unzip();
            return (format!("[{}]", a.join(",")), format!("[\t{} ]", b.join(" ,")));
        }
        let named = inside.into_iter().enumerate();
        let named =
            named.map(|(n, (a, b))| (format!("\"f{n}\":{a}"), format!("\"\\u0066{n}\" :{b}")));
        let (a, mut b): (Vec<_>, Vec<_>) = named.unzip();
        b.reverse();
        (format!("{{{}}}", a.join(",")), format!("{{ {}}}", b.join(" , ")))
    }

    #[test]
    fn numbers_keep_their_text_and_nothing_else_counts() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..3000 {
            let (same, other) = value(&mut state, 4);
            let (same, other) = (format!("{{\"a\":{same}}}"), format!("{{\n\"a\" : {other} }}"));
            assert_eq!(form(&same), same);
            assert_eq!(form(&other), same, "{other}");
        }
    }

    #[test]
    fn numbers_written_differently_are_different() {
        let all = [
            "1",
            "1.0",
            "1.00",
            "1e0",
            "1E0",
            "10e-1",
            "0",
            "-0",
            "0.0",
            "18446744073709551616",
            "18446744073709551617",
            "472.74908866546684",
            "472.7490886654669",
            "1e400",
            "1e401",
        ];
        let forms: std::collections::BTreeSet<String> =
            all.iter().map(|n| form(&format!("{{\"a\":[{{\"b\":{n}}}]}}"))).collect();
        assert_eq!(forms.len(), all.len());
    }

    #[test]
    fn text_has_one_spelling() {
        assert_eq!(form("{}"), "");
        assert_eq!(form("{\"\\u0061\":\"\\/\\u00e9\"}"), "{\"a\":\"/\u{e9}\"}");
        assert_eq!(form("{\"b\":null,\"a\":true}"), "{\"a\":true,\"b\":null}");
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let deep = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert_eq!(form(&deep(MAX_DEPTH - 1)), deep(MAX_DEPTH - 1));
        for bad in [
            deep(MAX_DEPTH).as_str(),
            "[]",
            "null",
            "1",
            "\"{}\"",
            "{\"a\":1,\"\\u0061\":1}",
            "{\"a\":[{\"b\":1,\"b\":1}]}",
            "{\"a\":\"\\ud800\"}",
        ] {
            let refused = canonical(serde_json::from_str(bad).unwrap()).unwrap_err();
            assert_eq!(refused.0, Reason::Malformed, "{bad}");
        }
    }
}
