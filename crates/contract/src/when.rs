//! Times in the API: RFC 3339 UTC with milliseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// UTC milliseconds as text; empty after the year 9999. Each answer has one: digit by digit, the
/// library's formatter costs ten times as much.
pub fn show(ms: u64) -> String {
    let at =
        i64::try_from(ms / 1000).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let Some((year, month, day)) = at.map(|t| t.to_calendar_date()) else { return String::new() };
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |end: usize, mut n: u64| {
        for digit in text[..end].iter_mut().rev() {
            if n == 0 {
                break;
            }
            *digit += (n % 10) as u8;
            n /= 10;
        }
    };
    put(4, year.unsigned_abs().into());
    put(7, u8::from(month).into());
    put(10, day.into());
    let second = ms / 1000 % 86_400;
    put(13, second / 3600);
    put(16, second / 60 % 60);
    put(19, second % 60);
    put(23, ms % 1000);
    String::from_utf8_lossy(&text).into_owned()
}

/// A bound of a campaign's window; `None` for none.
pub fn show_bound(at: Option<i64>) -> Option<String> {
    at.map(|ms| show(ms.max(0) as u64))
}

/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write in UTC.
const LAST: i64 = 253_402_300_799_999;

/// Text as UTC milliseconds; any offset is understood. `None` when it is no time after 1970, or one
/// that in UTC is after the year 9999.
pub fn parse(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().filter(|ms| (1..=LAST).contains(ms))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_travel_both_ways() {
        let text = "2026-02-28T23:59:59.123Z";
        let ms = super::parse(text).unwrap();
        assert_eq!(super::show(ms as u64), text);
        assert_eq!(super::parse("2026-03-01T00:59:59.123+01:00"), Some(ms));
        assert!(super::parse("yesterday").is_none());
        assert_eq!(super::show(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(super::show(253_402_300_799_999), "9999-12-31T23:59:59.999Z");
        assert_eq!(super::show(u64::MAX), "");
        let last = "9999-12-31T23:59:59.999Z";
        for same in [last, "9999-12-31T23:59:59.999999Z", "9999-12-31T22:59:59.999-01:00"] {
            assert_eq!(super::parse(same).map(|ms| super::show(ms as u64)).as_deref(), Some(last));
        }
        for none in [
            "9999-12-31T23:59:59.999-00:01",
            "9999-12-31T23:59:00-23:59",
            "10000-01-01T00:00:00Z",
            "1970-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(super::parse(none), None, "{none}");
        }
    }
}
