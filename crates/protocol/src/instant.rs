//! Times as people and programs write them: RFC 3339, in any zone. What is read here is in UTC and within
//! the years that RFC 3339 has, so it can be shown, stored and compared; sums that leave those years are
//! the caller's to bound (`saturating_add`, `checked_sub`).

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A time in UTC, of the years 0 to 9999.
pub fn instant(text: &str) -> Result<OffsetDateTime, String> {
    let local = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "Expected an RFC 3339 time, such as 2026-01-31T12:00:00Z.".to_owned())?;
    // `9999-12-31T23:59:59-01:00` is no time of those years, and to convert it unchecked would panic.
    local
        .checked_to_offset(UtcOffset::UTC)
        .filter(|utc| (0..=9_999).contains(&utc.year()))
        .ok_or_else(|| "Expected a time of the years 0 to 9999 in UTC.".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_edges_of_the_years_are_read_and_what_lies_beyond_is_refused() {
        for (text, expected) in [
            ("0000-01-01T00:00:00Z", true),
            ("0000-01-01T00:00:00-23:59", true),
            ("0000-01-01T00:00:00+00:01", false),
            ("9999-12-31T23:59:59.999999999Z", true),
            ("9999-12-31T23:59:59+23:59", true),
            ("9999-12-31T23:59:59-00:01", false),
            ("10000-01-01T00:00:00Z", false),
            ("yesterday", false),
        ] {
            assert_eq!(instant(text).is_ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_in_utc_and_can_be_shown(
            (year, month, day) in (0..=9_999_u32, 1..=12_u32, 1..=31_u32),
            (hour, minute, second) in (0..=23_u32, 0..=59_u32, 0..=60_u32),
            (sign, hours, minutes) in (prop_oneof![Just('+'), Just('-')], 0..=25_u32, 0..=59_u32),
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}");
            if let Ok(at) = instant(&text) {
                prop_assert_eq!(at.offset(), UtcOffset::UTC);
                prop_assert!(at.format(&Rfc3339).is_ok());
            }
        }
    }
}
