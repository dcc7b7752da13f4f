//! Times in the API: RFC 3339 UTC with milliseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// UTC milliseconds as text.
pub(crate) fn show(ms: u64) -> String {
    let form =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    at.ok().and_then(|t| t.format(form).ok()).unwrap_or_default()
}

/// Text as UTC milliseconds; any offset is understood. `None` when it is no time after 1970.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().filter(|ms| *ms > 0)
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
    }
}
