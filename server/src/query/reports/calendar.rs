//! The calendar of a report: the starts of minutes, hours, days, weeks and months in an IANA time zone.
//!
//! Times are Unix seconds. The time zone database is compiled in, so all servers and both licences of the
//! database agree. Days have 23 to 25 hours where summer time begins or ends; an hour that the clock shows
//! twice is two buckets.

use clickwire_protocol::report::{Compare, Granularity};
use jiff::{SignedDuration, Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// Longest name of a time zone, in bytes; the longest of the database has 32.
const MAX_NAME_BYTES: usize = 64;

/// A range of time, `[start, end)`, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Range {
    pub(super) fn seconds(self) -> i64 {
        self.end - self.start
    }

    /// The range of whole units of this width around it.
    pub(super) fn widened(self, seconds: i64) -> Self {
        Self { start: floor(self.start, seconds), end: floor(self.end + seconds - 1, seconds) }
    }
}

/// The multiple of a width at or before a time.
pub(super) fn floor(at: i64, seconds: i64) -> i64 {
    at - at.rem_euclid(seconds)
}

/// Formats Unix milliseconds as RFC 3339 in UTC.
pub(super) fn rfc3339_ms(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// A time zone's calendar.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    pub(super) fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// The calendar of an IANA time zone, whatever the case of its name; or the error of the name.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let zone = (name.len() <= MAX_NAME_BYTES).then(|| jiff::tz::db().get(name).ok()).flatten();
        let zone = zone.filter(|zone| !zone.is_unknown());
        zone.map(|zone| Self { zone })
            .ok_or_else(|| "Expected an IANA time zone, such as Europe/Berlin or UTC.".to_owned())
    }

    /// The name of the time zone.
    pub(super) fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// Formats a time as RFC 3339 with the zone's offset at that time.
    pub(super) fn rfc3339(&self, at: i64) -> String {
        let at = instant(at);
        if self.zone == TimeZone::UTC {
            return at.to_string();
        }
        at.display_with_offset(self.zone.to_offset(at)).to_string()
    }

    /// The hour on the clock, 0 to 23.
    pub(super) fn hour_of_day(&self, at: i64) -> i32 {
        i32::from(self.zone.to_datetime(instant(at)).hour())
    }

    /// The day of the week, 1 (Monday) to 7.
    pub(super) fn weekday(&self, at: i64) -> i32 {
        i32::from(self.date(at).weekday().to_monday_one_offset())
    }

    /// The start of the bucket that a time is in.
    pub(super) fn floor(&self, at: i64, granularity: Granularity) -> i64 {
        match granularity {
            Granularity::Minute => floor(at, MINUTE),
            Granularity::Hour => {
                let clock = self.zone.to_datetime(instant(at));
                let start = at - i64::from(clock.minute()) * MINUTE - i64::from(clock.second());
                let changed = self.zone.preceding(instant(at.saturating_add(1))).next();
                changed.map_or(start, |change| start.max(change.timestamp().as_second()))
            }
            Granularity::Day => self.begin(self.date(at)),
            Granularity::Week => self.begin(monday(self.date(at))),
            Granularity::Month => self.begin(self.date(at).first_of_month()),
        }
    }

    /// The start of the bucket behind the one that starts at `start`; always later.
    pub(super) fn next(&self, start: i64, granularity: Granularity) -> i64 {
        let date = self.date(start);
        let next = match granularity {
            Granularity::Minute => return start.saturating_add(MINUTE),
            Granularity::Hour => {
                let clock = self.zone.to_datetime(instant(start));
                let next = start + HOUR - i64::from(clock.minute()) * MINUTE - i64::from(clock.second());
                let changes = self.zone.following(instant(start)).next();
                return changes.map_or(next, |change| next.min(change.timestamp().as_second()));
            }
            Granularity::Day => date.saturating_add(1.day()),
            Granularity::Week => monday(date).saturating_add(7.days()),
            Granularity::Month => date.first_of_month().saturating_add(1.month()),
        };
        // Days that a zone has left out begin when the next one does. At the end of all time there is no next.
        self.begin(next).max(start.saturating_add(MINUTE))
    }

    /// Starts of the buckets that cover a range, and the end of the last one; `None` if there are more than `max`.
    pub(super) fn bounds(&self, range: Range, granularity: Granularity, max: usize) -> Option<Vec<i64>> {
        let mut bounds = vec![self.floor(range.start, granularity)];
        while let Some(&last) = bounds.last()
            && last < range.end
        {
            if bounds.len() > max {
                return None;
            }
            bounds.push(self.next(last, granularity));
        }
        Some(bounds)
    }

    /// The range that another one is compared with.
    pub(super) fn compared(&self, range: Range, compare: Compare) -> Range {
        let (first, last) = (self.date(range.start), self.date(range.end));
        match compare {
            Compare::Year => Range { start: self.year_before(range.start), end: self.year_before(range.end) },
            Compare::Previous if self.begin(first) == range.start && self.begin(last) == range.end => {
                let months =
                    i32::from(last.year() - first.year()) * 12 + i32::from(last.month() - first.month());
                let start = if first.day() == 1 && last.day() == 1 {
                    first.saturating_sub(months.months())
                } else {
                    first.saturating_sub(SignedDuration::from_secs(DAY * days_between(first, last)))
                };
                Range { start: self.begin(start), end: range.start }
            }
            Compare::Previous => {
                Range { start: range.start.saturating_sub(range.seconds()), end: range.start }
            }
        }
    }

    fn year_before(&self, at: i64) -> i64 {
        let before = instant(at).to_zoned_datetime(self.zone.clone()).saturating_sub(1.year());
        floor(before.timestamp().as_second(), MINUTE)
    }

    fn date(&self, at: i64) -> Date {
        self.zone.to_datetime(instant(at)).date()
    }

    /// The start of a date: where midnight is left out, the first moment behind it.
    fn begin(&self, date: Date) -> i64 {
        let begin = date.to_zoned_datetime(self.zone.clone());
        let begin = begin.map_or_else(|_| edge(date), |begin| begin.timestamp().as_second());
        // Before there were time zones, offsets had seconds.
        floor(begin, MINUTE)
    }
}

/// The edge of what a timestamp can hold that a date is near to.
fn edge(date: Date) -> i64 {
    if date.year() < 0 { Timestamp::MIN.as_second() } else { Timestamp::MAX.as_second() }
}

fn monday(date: Date) -> Date {
    date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
}

fn days_between(first: Date, last: Date) -> i64 {
    last.duration_since(first).as_secs() / DAY
}

/// A time, as far as a timestamp can hold it.
fn instant(at: i64) -> Timestamp {
    let at = at.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn shown(zone: &str, start: &str, end: &str, granularity: Granularity) -> Vec<String> {
        let calendar = Calendar::named(zone).unwrap();
        let range = Range { start: at(start), end: at(end) };
        let bounds = calendar.bounds(range, granularity, 100).unwrap();
        bounds.iter().map(|&bound| calendar.rfc3339(bound)).collect()
    }

    #[test]
    fn days_follow_the_time_zone() {
        for (zone, start, end, expected) in [
            // 23 hours.
            (
                "Europe/Berlin",
                "2026-03-28T23:00:00Z",
                "2026-03-29T22:00:00Z",
                vec!["2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"],
            ),
            // 25 hours.
            (
                "europe/berlin",
                "2026-10-25T12:00:00Z",
                "2026-10-25T12:01:00Z",
                vec!["2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"],
            ),
            // Half an hour.
            (
                "Asia/Kolkata",
                "2026-11-28T00:00:00Z",
                "2026-11-28T00:01:00Z",
                vec!["2026-11-28T00:00:00+05:30", "2026-11-29T00:00:00+05:30"],
            ),
            // Midnight is left out.
            (
                "America/Santiago",
                "2026-09-06T12:00:00Z",
                "2026-09-06T12:01:00Z",
                vec!["2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"],
            ),
            // Midnight comes twice.
            (
                "America/Havana",
                "2025-11-02T12:00:00Z",
                "2025-11-02T12:01:00Z",
                vec!["2025-11-02T00:00:00-04:00", "2025-11-03T00:00:00-05:00"],
            ),
            // 30 December is left out.
            (
                "Pacific/Apia",
                "2011-12-29T12:00:00Z",
                "2011-12-31T00:00:00Z",
                vec!["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"],
            ),
        ] {
            assert_eq!(shown(zone, start, end, Granularity::Day), expected, "{zone}");
        }
    }

    #[test]
    fn hours_that_the_clock_shows_twice_are_two() {
        let berlin =
            shown("Europe/Berlin", "2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z", Granularity::Hour);
        assert_eq!(
            berlin,
            [
                "2026-10-25T01:00:00+02:00",
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ]
        );
        // By half an hour: 02:00 is 01:30 again.
        let lord_howe =
            shown("Australia/Lord_Howe", "2026-04-04T14:00:00Z", "2026-04-04T16:00:00Z", Granularity::Hour);
        assert_eq!(
            lord_howe,
            [
                "2026-04-05T01:00:00+11:00",
                "2026-04-05T01:30:00+10:30",
                "2026-04-05T02:00:00+10:30",
                "2026-04-05T03:00:00+10:30",
            ]
        );
    }

    #[test]
    fn midnight_that_comes_twice_is_two_hours_of_one_day() {
        let havana =
            shown("America/Havana", "2025-11-02T03:00:00Z", "2025-11-02T06:00:00Z", Granularity::Hour);
        assert_eq!(
            havana,
            [
                "2025-11-01T23:00:00-04:00",
                "2025-11-02T00:00:00-04:00",
                "2025-11-02T00:00:00-05:00",
                "2025-11-02T01:00:00-05:00",
            ]
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        assert_eq!(
            shown("UTC", "2026-11-28T12:00:00Z", "2026-11-30T00:01:00Z", Granularity::Week),
            ["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"]
        );
        assert_eq!(
            shown("Asia/Kathmandu", "2026-01-31T18:15:00Z", "2026-02-28T18:15:00Z", Granularity::Month),
            ["2026-02-01T00:00:00+05:45", "2026-03-01T00:00:00+05:45"]
        );
    }

    #[test]
    fn periods_are_compared_with_as_many_days_or_months() {
        let berlin = Calendar::named("Europe/Berlin").unwrap();
        for (start, end, compare, expected) in [
            // April with March, which has 31 days, one of them of 23 hours.
            (
                "2026-03-31T22:00:00Z",
                "2026-04-30T22:00:00Z",
                Compare::Previous,
                ["2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"],
            ),
            (
                "2026-03-28T23:00:00Z",
                "2026-03-30T22:00:00Z",
                Compare::Previous,
                ["2026-03-27T00:00:00+01:00", "2026-03-29T00:00:00+01:00"],
            ),
            (
                "2026-03-29T10:00:00Z",
                "2026-03-29T11:30:00Z",
                Compare::Previous,
                ["2026-03-29T10:30:00+02:00", "2026-03-29T12:00:00+02:00"],
            ),
            (
                "2024-02-28T23:00:00Z",
                "2024-02-29T23:00:00Z",
                Compare::Year,
                ["2023-02-28T00:00:00+01:00", "2023-03-01T00:00:00+01:00"],
            ),
        ] {
            let range = berlin.compared(Range { start: at(start), end: at(end) }, compare);
            assert_eq!([range.start, range.end].map(|at| berlin.rfc3339(at)), expected, "{start}");
        }
    }

    #[test]
    fn names_that_are_no_time_zones_are_refused() {
        for name in ["", "Nowhere", "+02:00", "Etc/Unknown", "../etc/passwd", &"x".repeat(1_000)] {
            assert!(Calendar::named(name).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn buckets_follow_each_other_without_a_gap(
            zone in prop_oneof![
                Just("UTC"), Just("Europe/Berlin"), Just("Asia/Kolkata"), Just("Australia/Lord_Howe"),
                Just("America/Santiago"), Just("America/Havana"), Just("Pacific/Apia"), Just("Africa/Monrovia"),
            ],
            granularity in prop::sample::select(Granularity::ALL.to_vec()),
            at in prop_oneof![
                -2_000_000_000_i64..4_000_000_000, -377_705_116_800_i64..-377_700_000_000, 253_402_000_000_i64..253_402_300_800,
            ],
        ) {
            let calendar = Calendar::named(zone).unwrap();
            // Since January 1972 no zone has an offset with seconds; no bucket from before reaches beyond 1973.
            let known = at.clamp(94_694_400, 253_000_000_000);
            let start = calendar.floor(known, granularity);
            let next = calendar.next(start, granularity);
            prop_assert!(start <= known && known < next, "{start} {known} {next}");
            prop_assert_eq!(calendar.floor(next, granularity), next);
            prop_assert_eq!(calendar.floor(next - 1, granularity), start);
            // At the edges of what a time can be there is an answer, too.
            calendar.next(calendar.floor(at, granularity), granularity);
            calendar.compared(Range { start: at, end: at + DAY }, Compare::Year);
            calendar.rfc3339(at);
        }
    }
}
