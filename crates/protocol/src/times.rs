//! Times as programs tell them to each other: milliseconds since the Unix epoch, and whole minutes of it. Both are
//! whole numbers on every wire and in every column; here one is not taken for the other:
//!
//! ```compile_fail,E0308
//! use clickwire_protocol::{finality::is_final, times::UnixMs};
//!
//! let final_before = UnixMs(1_800_000_000_000);
//! is_final(final_before, final_before);
//! ```
//!
//! Differences and durations are plain numbers with their unit in the name.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::MINUTE_MS;

macro_rules! times {
    ($($(#[$doc:meta])* $Time:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "sqlx", derive(sqlx::Type), sqlx(transparent))]
        pub struct $Time(pub i64);

        /// A time later by a number of its unit.
        impl Add<i64> for $Time {
            type Output = Self;

            fn add(self, later: i64) -> Self {
                Self(self.0 + later)
            }
        }

        /// A time earlier by a number of its unit.
        impl Sub<i64> for $Time {
            type Output = Self;

            fn sub(self, earlier: i64) -> Self {
                Self(self.0 - earlier)
            }
        }

        /// The difference, in its unit.
        impl Sub for $Time {
            type Output = i64;

            fn sub(self, other: Self) -> i64 {
                self.0 - other.0
            }
        }
    )*};
}

times! {
    /// A time, in milliseconds since the Unix epoch.
    UnixMs;
    /// A minute, counted from the Unix epoch: the smallest bucket.
    Minute;
}

impl UnixMs {
    /// The minute that the time lies in.
    pub fn minute(self) -> Minute {
        Minute(self.0.div_euclid(MINUTE_MS))
    }
}

impl Minute {
    /// The first moment of the minute.
    pub fn start(self) -> UnixMs {
        UnixMs(self.0 * MINUTE_MS)
    }

    /// The first moment behind the minute.
    pub fn end(self) -> UnixMs {
        (self + 1).start()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_its_start_and_not_its_end() {
        for at in [UnixMs(-1), UnixMs(0), UnixMs(59_999), UnixMs(60_000), UnixMs(1_800_000_000_123)] {
            let minute = at.minute();
            assert!(minute.start() <= at && at < minute.end(), "{at:?} in {minute:?}");
            assert_eq!(minute.end() - minute.start(), MINUTE_MS);
        }
    }

    #[test]
    fn times_are_plain_numbers_on_every_wire() {
        assert_eq!(serde_json::to_string(&(UnixMs(7), Minute(-1))).unwrap(), "[7,-1]");
        assert_eq!(serde_json::from_str::<(UnixMs, Minute)>("[7,-1]").unwrap(), (UnixMs(7), Minute(-1)));
    }
}
