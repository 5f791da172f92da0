//! A month of the calendar, as an address has it: `2026-11`.

use crate::{query::LocalTime, zone::Zone};

/// A month of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month {
    /// The year: 1970 to 9999.
    pub(super) year: u32,
    /// The month: 1 to 12.
    pub(super) month: u32,
}

impl Month {
    /// Reads the month of an address.
    pub(super) fn read(text: &str) -> Option<Self> {
        LocalTime::read(&format!("{text}-01"))?;
        let (year, month) = text.split_once('-')?;
        Some(Self { year: year.parse().ok()?, month: month.parse().ok()? })
    }

    /// Returns the month as an address has it.
    pub(super) fn write(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }

    /// The month of a moment.
    pub(super) fn at(at_ms: i64, zone: &Zone) -> Self {
        let local = LocalTime(at_ms.div_euclid(60_000) + zone.ahead_minutes(at_ms)).to_field();
        local.get(..7).and_then(Self::read).unwrap_or(Self { year: 1970, month: 1 })
    }

    /// Its first minute.
    pub(super) fn begin(self) -> LocalTime {
        LocalTime::read(&format!("{}-01", self.write())).unwrap_or(LocalTime(0))
    }

    /// The month after.
    pub(super) fn next(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1 },
            month => Self { month: month + 1, ..self },
        }
    }

    /// The month before.
    pub(super) fn previous(self) -> Self {
        match self.month {
            1 => Self { year: self.year - 1, month: 12 },
            month => Self { month: month - 1, ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other() {
        let december = Month::read("2026-12").unwrap();
        assert_eq!(december.next().write(), "2027-01");
        assert_eq!(december.next().previous(), december);
        assert_eq!(december.begin().write(), "2026-12-01");
        assert!(december < december.next());
        for text in ["2026-13", "2026", "26-1", "2026-11-01", "x", "+"] {
            assert_eq!(Month::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_moment_is_in_a_month() {
        let at_ms = LocalTime::read("2026-11-30T23:59").unwrap().0 * 60_000;
        assert_eq!(Month::at(at_ms, &Zone::utc()).write(), "2026-11");
        assert_eq!(Month::at(at_ms + 60_000, &Zone::utc()).write(), "2026-12");
    }
}
