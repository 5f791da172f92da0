//! A range of time as an address has it: the last hours, or from a local time to another.

/// Longest range, in minutes: three years.
const MAX_MINUTES: u32 = 3 * 366 * 1_440;

const UNITS: [(char, u32); 3] = [('d', 1_440), ('h', 60), ('m', 1)];

/// The range of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// The minutes up to now.
    Last(u32),
    /// The time from a start to an end, in the zone of the page; the end is exclusive.
    Between(LocalTime, LocalTime),
}

/// A date and a time of day without a zone: minutes since 1970-01-01T00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime(pub i64);

impl Range {
    /// Reads `15m`, `4h`, `30d`, or `2026-11-01..2026-11-08T12:00`.
    pub fn read(text: &str) -> Option<Self> {
        if let Some((start, end)) = text.split_once("..") {
            let (start, end) = (LocalTime::read(start)?, LocalTime::read(end)?);
            let is_short = end.0 - start.0 <= i64::from(MAX_MINUTES);
            return (start < end && is_short).then_some(Self::Between(start, end));
        }
        let (at, unit) = text.char_indices().next_back()?;
        let (_, minutes) = UNITS.into_iter().find(|(known, _)| *known == unit)?;
        let minutes = text[..at].parse::<u32>().ok()?.checked_mul(minutes)?;
        (1..=MAX_MINUTES).contains(&minutes).then_some(Self::Last(minutes))
    }

    /// Returns the range as an address has it.
    pub fn write(&self) -> String {
        match self {
            Self::Last(minutes) => {
                // Hours up to two days: 24h is what people say.
                let fits = |unit: u32| minutes.is_multiple_of(unit) && (unit < 1_440 || *minutes >= 2 * unit);
                let unit = UNITS.into_iter().find(|(_, unit)| fits(*unit));
                let (name, unit) = unit.unwrap_or(('m', 1));
                format!("{}{name}", minutes / unit)
            }
            Self::Between(start, end) => format!("{}..{}", start.write(), end.write()),
        }
    }
}

impl LocalTime {
    /// Reads `2026-11-01` or `2026-11-01T12:00`.
    pub fn read(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
        let mut date = date.splitn(3, '-').map(|part| part.parse::<u32>().ok());
        let (year, month, day) = (date.next()??, date.next()??, date.next()??);
        let (hour, minute) = time.split_once(':')?;
        let (hour, minute) = (hour.parse::<u32>().ok()?, minute.get(..2)?.parse::<u32>().ok()?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 {
            return None;
        }
        if day == 0 || day > days_in(year, month) {
            return None;
        }
        let days = days_before(year, month) + i64::from(day) - 1;
        Some(Self(days * 1_440 + i64::from(hour * 60 + minute)))
    }

    /// Returns the time as an address has it: the date alone at midnight.
    pub fn write(self) -> String {
        let full = self.to_field();
        full.strip_suffix("T00:00").map_or_else(|| full.clone(), str::to_owned)
    }

    /// Returns the time as a field of date and time has it.
    pub fn to_field(self) -> String {
        let (mut days, minute) = (self.0.div_euclid(1_440), self.0.rem_euclid(1_440));
        let mut year = 1970;
        while days >= i64::from(days_of(year)) {
            days -= i64::from(days_of(year));
            year += 1;
        }
        let mut month = 1;
        while days >= i64::from(days_in(year, month)) {
            days -= i64::from(days_in(year, month));
            month += 1;
        }
        format!("{year:04}-{month:02}-{:02}T{:02}:{:02}", days + 1, minute / 60, minute % 60)
    }

    /// Returns the time in UTC, in milliseconds since the Unix epoch; `ahead_minutes` says how far the zone is ahead
    /// of UTC at a given time. A time in the hour that summer time skips is taken as one in the hour after.
    pub fn to_utc_ms(self, ahead_minutes: impl Fn(i64) -> i64) -> i64 {
        let local_ms = self.0 * 60_000;
        let near = local_ms - ahead_minutes(local_ms) * 60_000;
        local_ms - ahead_minutes(near) * 60_000
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u32) -> u32 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before(year: u32, month: u32) -> i64 {
    let years: u32 = (1970..year).map(days_of).sum();
    let months: u32 = (1..month).map(|month| days_in(year, month)).sum();
    i64::from(years + months)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_largest_unit() {
        for (text, minutes) in
            [("5m", 5), ("90m", 90), ("1h", 60), ("24h", 1_440), ("2d", 2_880), ("90d", 129_600)]
        {
            assert_eq!(Range::read(text), Some(Range::Last(minutes)));
            assert_eq!(Range::Last(minutes).write(), text);
        }
        assert_eq!(Range::read("60m"), Range::read("1h"));
        for text in ["", "h", "0h", "-1h", "1y", "5000d", "1.5h", "ü"] {
            assert_eq!(Range::read(text), None, "{text}");
        }
    }

    #[test]
    fn local_times_are_the_same_again() {
        for text in ["1970-01-01", "2024-02-29", "2026-11-28T19:30", "2100-03-01T00:01"] {
            assert_eq!(LocalTime::read(text).map(LocalTime::write).as_deref(), Some(text));
        }
        assert_eq!(LocalTime::read("2026-11-28T19:30").map(|time| time.0 * 60), Some(1_795_894_200));
        for text in ["2026-02-29", "2026-13-01", "2026-11-28T24:00", "2026-11", "1969-12-31", "x-y-z"] {
            assert_eq!(LocalTime::read(text), None, "{text}");
        }
        for text in
            ["2026-11-08..2026-11-01", "2026-11-01..2026-11-01", "2000-01-01..2026-01-01", "..", "a..b"]
        {
            assert_eq!(Range::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_local_time_knows_the_hour_of_its_zone() {
        // Berlin, 2026: summer time ends on 25 October at 01:00 UTC.
        let change_ms = LocalTime::read("2026-10-25T01:00").unwrap().0 * 60_000;
        let berlin = |at_ms: i64| if at_ms < change_ms { 120 } else { 60 };
        let utc = |text: &str| LocalTime::read(text).unwrap().0 * 60_000;
        for (local, expected) in [
            ("2026-10-24T12:00", "2026-10-24T10:00"),
            ("2026-10-25T00:00", "2026-10-24T22:00"),
            ("2026-10-25T03:00", "2026-10-25T02:00"),
            ("2026-11-01T00:00", "2026-10-31T23:00"),
        ] {
            let at_ms = LocalTime::read(local).unwrap().to_utc_ms(berlin);
            assert_eq!(at_ms, utc(expected), "{local}");
        }
    }
}
