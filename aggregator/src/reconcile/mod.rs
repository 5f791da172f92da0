//! Do the buckets say what the ledger says? Compared on schedule ([`run`]) and when somebody asks
//! ([`command`]); mended from the ledger, which is the truth.
//!
//! Minutes are recounted hour by hour. Then hours and days are compared with the minutes, where they
//! are stored. What is mended is published like any other change.

mod command;
mod schedule;

use std::collections::BTreeMap;

use clickwire_protocol::{counts::MinuteCell, stream::Names};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};

use crate::{
    feed::Feed,
    ledger::{
        recount::{self, Difference},
        rollups,
    },
};

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

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Buckets that were not what they should be; minutes, and stored hours and days.
    differences: usize,
    /// How many of them still are not.
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
            let end = self.to.min(floor(start, Duration::HOUR) + Duration::HOUR);
            let found = recount::compare(connection, start, end).await?;
            found.first.iter().try_for_each(&mut report)?;
            outcome.differences += found.total;
            outcome.left += match self.repair && found.total > 0 {
                true => self.mend(connection, start, end, found.total).await?,
                false => found.total,
            };
            if end == floor(end, Duration::DAY) {
                tracing::info!(until = %end, differences = outcome.differences, "reconciling");
            }
            start = end;
        }
        let rolled_up = rollups::check(connection, self.names, (self.from, self.to), self.repair).await?;
        outcome.differences += rolled_up.differences;
        outcome.left += rolled_up.left;
        self.record(connection, started_by, outcome).await?;
        Ok(outcome)
    }

    /// Mends `total` buckets, as many at a time as a transaction should hold; returns how many are left.
    async fn mend(
        &self,
        connection: &mut PgConnection,
        start: OffsetDateTime,
        end: OffsetDateTime,
        total: usize,
    ) -> anyhow::Result<usize> {
        for _ in 0..total.div_ceil(recount::LIMIT) {
            let mended = recount::mend(connection, self.names, start, end).await?;
            let mut cells: BTreeMap<String, Vec<MinuteCell>> = BTreeMap::new();
            for (advertiser_id, cell) in mended {
                cells.entry(advertiser_id).or_default().push(cell);
            }
            self.feed.publish(&cells).await;
        }
        Ok(recount::compare(connection, start, end).await?.total)
    }

    async fn record(
        &self,
        connection: &mut PgConnection,
        started_by: &str,
        outcome: Outcome,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO reconciliations (started_by, range_start, range_end, differences, repaired) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(started_by)
        .bind(self.from)
        .bind(self.to)
        .bind(outcome.differences as i64)
        .bind(outcome.repaired() as i64)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// The start of the minute, hour or day that a time lies in.
fn floor(at: OffsetDateTime, width: Duration) -> OffsetDateTime {
    let width = width.whole_seconds();
    OffsetDateTime::from_unix_timestamp(at.unix_timestamp().div_euclid(width) * width).unwrap_or(at)
}
