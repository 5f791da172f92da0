//! Do the buckets say what the ledger says? Compared on schedule ([`run`]) and when somebody asks
//! ([`mod@command`]); mended from the ledger, which is the truth.
//!
//! Minutes are recounted hour by hour. Then hours and days are compared with the minutes. Nothing is
//! locked to compare; only mending minutes takes the lock under which batches change them, for as many
//! as one transaction may hold. What is mended is published like any other change.

mod command;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use clickwire_ledger::{
    at,
    reconcile::{self, Difference, Differences, Record},
    rollups::check,
};
use clickwire_protocol::{counts::MinuteCell, ids::AdvertiserId, stream::Names, times::Minute};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use crate::feed::Feed;

pub use command::command;
pub(crate) use schedule::run;

/// A comparison of the minutes of `[from, to)`.
struct Reconciliation<'a> {
    names: &'a Names,
    feed: &'a Feed,
    from: OffsetDateTime,
    to: OffsetDateTime,
    repair: bool,
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Buckets that were not what they should be; minutes, hours and days.
    differences: usize,
    /// The number of them that still are not.
    left: usize,
}

impl Outcome {
    fn repaired(self) -> usize {
        self.differences.saturating_sub(self.left)
    }
}

impl Reconciliation<'_> {
    /// Compares, mends if asked to, and records what came of it; `report` is told every difference
    /// between minutes and ledger. After an error the connection must be closed.
    async fn run(
        &self,
        connection: &mut PgConnection,
        started_by: &str,
        mut report: impl FnMut(&Difference) -> std::io::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut start = self.from;
        while start < self.to {
            let end = self.to.min(floor(start, Duration::HOUR).saturating_add(Duration::HOUR));
            let found = reconcile::compare(connection, start, end).await?;
            found.first.iter().try_for_each(&mut report)?;
            outcome.differences += found.total;
            outcome.left += match self.repair && found.total > 0 {
                true => self.mend(connection, start, end, found).await?,
                false => found.total,
            };
            if end == floor(end, Duration::DAY) {
                tracing::info!(until = %end, differences = outcome.differences, "reconciling");
            }
            start = end;
        }
        // What only follows from the minutes is mended without being told to, on schedule.
        let mends = self.repair || started_by == "schedule";
        let rolled_up = check::check(connection, (self.from, self.to), mends).await?;
        outcome.differences += rolled_up.differences;
        outcome.left += rolled_up.left;
        let Self { from, to, .. } = *self;
        let (differences, repaired) = (outcome.differences, outcome.repaired());
        Record { started_by, from, to, differences, repaired }.write(connection).await?;
        Ok(outcome)
    }

    /// Mends what was found in `[start, end)`, a minute at a time: batches wait for the counting of one
    /// minute's clicks, not of all that are compared. Returns how many buckets are left.
    async fn mend(
        &self,
        connection: &mut PgConnection,
        start: OffsetDateTime,
        end: OffsetDateTime,
        mut found: Differences,
    ) -> anyhow::Result<usize> {
        for _ in 0..found.total.div_ceil(reconcile::LIMIT) {
            let minutes: BTreeSet<Minute> = found.first.iter().map(|found| found.key.1).collect();
            for minute in minutes {
                let from = at(minute.start());
                let mended = reconcile::mend(connection, self.names, from, from + Duration::MINUTE).await?;
                let mut cells: BTreeMap<AdvertiserId, Vec<MinuteCell>> = BTreeMap::new();
                for (advertiser_id, cell) in mended {
                    cells.entry(advertiser_id).or_default().push(cell);
                }
                self.feed.publish(&cells).await;
            }
            found = reconcile::compare(connection, start, end).await?;
        }
        Ok(found.total)
    }
}

/// Whole minutes that hold `[from, to)` as far as clicks can have been counted, which is until tomorrow: a
/// range without an end has one.
fn minutes(
    from: OffsetDateTime,
    to: OffsetDateTime,
    now: OffsetDateTime,
) -> Option<(OffsetDateTime, OffsetDateTime)> {
    let to = to.min(now.saturating_add(Duration::DAY));
    let last = floor(to.saturating_sub(Duration::NANOSECOND), Duration::MINUTE);
    let (from, to) = (floor(from, Duration::MINUTE), last.saturating_add(Duration::MINUTE));
    (from < to).then_some((from, to))
}

/// The start of the minute, hour or day that a time lies in.
fn floor(at: OffsetDateTime, width: Duration) -> OffsetDateTime {
    let width = width.whole_seconds();
    OffsetDateTime::from_unix_timestamp(at.unix_timestamp().div_euclid(width) * width).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::instant::instant;

    use super::*;

    #[test]
    fn a_range_without_an_end_ends_tomorrow() {
        let range = |from: &str, to: &str| {
            let now = instant("2026-11-28T12:00:00Z").unwrap();
            let (from, to) = minutes(instant(from).unwrap(), instant(to).unwrap(), now)?;
            Some([from, to].map(|at| at.to_string()))
        };
        let whole = |from: &str, to: &str| Some([format!("{from}.0 +00:00:00"), format!("{to}.0 +00:00:00")]);
        for (from, to, expected) in [
            (
                "2026-11-28T00:00:30Z",
                "2026-11-28T00:01:00Z",
                whole("2026-11-28 0:00:00", "2026-11-28 0:01:00"),
            ),
            (
                "2026-11-28T00:00:30Z",
                "2026-11-28T00:01:00.1Z",
                whole("2026-11-28 0:00:00", "2026-11-28 0:02:00"),
            ),
            (
                "2026-11-01T00:00:00Z",
                "9999-12-31T23:59:59Z",
                whole("2026-11-01 0:00:00", "2026-11-29 12:00:00"),
            ),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z", None),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.9Z", None),
        ] {
            assert_eq!(range(from, to), expected, "{from} to {to}");
        }
    }
}
