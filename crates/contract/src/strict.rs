//! What serde by itself reads too kindly.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// A field that may be left out, but not be `null`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// A struct from a JSON object only: serde by itself takes a list of its fields as well.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    struct V<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, a: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(a))
        }
    }
    d.deserialize_any(V(PhantomData))
}

/// The same of a field that may be left out, but not be `null`.
pub(crate) fn present_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    object(d).map(Some)
}

/// An integer, however it is written: to JSON `5`, `5.0` and `5e0` are one number, and some clients
/// know no other kind.
pub(crate) fn integer<'de, T: TryFrom<i64>, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    struct V;
    impl Visitor<'_> for V {
        type Value = i64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer")
        }
        fn visit_i64<E: Error>(self, n: i64) -> Result<i64, E> {
            Ok(n)
        }
        fn visit_u64<E: Error>(self, n: u64) -> Result<i64, E> {
            i64::try_from(n).map_err(|_| E::custom("an integer out of range"))
        }
        fn visit_f64<E: Error>(self, n: f64) -> Result<i64, E> {
            whole(n).ok_or_else(|| E::custom("an integer within 2^53"))
        }
    }
    let n = d.deserialize_any(V)?;
    T::try_from(n).map_err(|_| D::Error::custom(format!("{n} is out of range")))
}

/// The same of a field that may be left out, but not be `null`.
pub(crate) fn present_integer<'de, T: TryFrom<i64>, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    integer(d).map(Some)
}

/// The integer that a double is, where doubles still tell integers apart.
pub fn whole(n: f64) -> Option<i64> {
    let exact = n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0;
    exact.then_some(n as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<u16> {
        integer(&mut serde_json::Deserializer::from_str(text)).ok()
    }

    #[test]
    fn integers_however_they_are_written() {
        for five in ["5", "5.0", "5e0", "0.5e1", "500E-2", "5.000"] {
            assert_eq!(read(five), Some(5), "{five}");
        }
        assert_eq!((read("-0.0"), read("65535.0")), (Some(0), Some(65535)));
        let wrong = [
            "5.5",
            "1e400",
            "-1",
            "65536",
            "1e17",
            "18446744073709551615",
            "\"5\"",
            "true",
            "null",
            "[5]",
            "{}",
        ];
        for wrong in wrong {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
