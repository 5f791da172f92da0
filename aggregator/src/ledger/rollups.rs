//! Hours and days against minutes, where they are stored: continuous aggregates, which the community
//! licence has. The Apache licence's views add minutes up when asked and can't differ.
//!
//! What changed late shows in a continuous aggregate after a refresh, so a difference that a refresh
//! takes away is none. Only what is stored is compared: what a policy has not reached yet is computed.

use clickwire_protocol::stream::Names;
use sqlx::{AssertSqlSafe, PgConnection};
use time::{Duration, OffsetDateTime};

/// A continuous aggregate. The last buckets are computed, not stored: `behind` is the policy's
/// `end_offset`, and a refresh nearer to now would store hours that still change.
struct Rollup {
    view: &'static str,
    width: Duration,
    behind: Duration,
}

/// Hours first: days are made from them.
const ROLLUPS: [Rollup; 2] = [
    Rollup { view: "click_hours", width: Duration::HOUR, behind: Duration::HOUR },
    Rollup { view: "click_days", width: Duration::DAY, behind: Duration::DAY },
];

/// How many stored rows in `[from, to)` differed from the minutes, and how many still do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) differences: usize,
    pub(crate) left: usize,
}

/// Compares whole stored hours and days in `[from, to)` with the minutes; mends them if asked to.
/// After an error the connection must be closed, for it may hold the lock of the installation.
pub(crate) async fn check(
    connection: &mut PgConnection,
    names: &Names,
    (from, to): (OffsetDateTime, OffsetDateTime),
    repair: bool,
) -> Result<Checked, sqlx::Error> {
    let mut checked = Checked::default();
    let license: String = sqlx::query_scalar("SELECT current_setting('timescaledb.license')")
        .fetch_one(&mut *connection)
        .await?;
    if license != "timescale" {
        return Ok(checked);
    }
    let now: OffsetDateTime = sqlx::query_scalar("SELECT now()").fetch_one(&mut *connection).await?;
    for rollup in &ROLLUPS {
        let width = rollup.width.whole_seconds();
        let whole = |at: OffsetDateTime, round: fn(i64, i64) -> i64| {
            OffsetDateTime::from_unix_timestamp(round(at.unix_timestamp(), width) * width).unwrap_or(at)
        };
        let start = whole(from - Duration::NANOSECOND, |at, width| at.div_euclid(width) + 1);
        let end = whole(to.min(now - rollup.behind), i64::div_euclid);
        if start >= end || compare(connection, rollup, start, end).await? == 0 {
            continue;
        }
        // Under the lock no late click comes between refresh and comparison. If our host vanishes without a
        // word, the database ends the session, and the lock with it.
        sqlx::query("SET idle_session_timeout = '30s'").execute(&mut *connection).await?;
        let (first, second) = names.installation_lock();
        let lock = |function: &str| AssertSqlSafe(format!("SELECT {function}({first}, {second})"));
        sqlx::query(lock("pg_advisory_lock")).execute(&mut *connection).await?;
        refresh(connection, rollup, start, end, false).await?;
        let found = compare(connection, rollup, start, end).await?;
        let mut left = found;
        if repair && found > 0 {
            refresh(connection, rollup, start, end, true).await?;
            left = compare(connection, rollup, start, end).await?;
        }
        sqlx::query(lock("pg_advisory_unlock")).execute(&mut *connection).await?;
        checked.differences += found;
        checked.left += left;
    }
    Ok(checked)
}

/// Rows that differ; in one statement, that is, in one state of the database.
async fn compare(
    connection: &mut PgConnection,
    rollup: &Rollup,
    start: OffsetDateTime,
    end: OffsetDateTime,
) -> Result<usize, sqlx::Error> {
    let Rollup { view, width, .. } = rollup;
    let sql = format!(
        "WITH minutes AS (SELECT time_bucket(INTERVAL '{seconds} s', bucket) AS bucket, \
             advertiser_id, campaign_id, ad_id, country, device_type, sum(valid)::bigint, sum(duplicate)::bigint, \
             sum(givt)::bigint, sum(sivt)::bigint, sum(test)::bigint, sum(defective)::bigint \
           FROM click_minutes WHERE bucket >= $1 AND bucket < $2 GROUP BY 1, 2, 3, 4, 5, 6), \
         stored AS (SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type, \
             valid, duplicate, givt, sivt, test, defective FROM {view} WHERE bucket >= $1 AND bucket < $2) \
         SELECT count(DISTINCT (bucket, advertiser_id, campaign_id, ad_id, country, device_type)) \
           FROM ((TABLE minutes EXCEPT ALL TABLE stored) UNION ALL (TABLE stored EXCEPT ALL TABLE minutes)) AS d",
        seconds = width.whole_seconds(),
    );
    let rows: i64 =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(start).bind(end).fetch_one(connection).await?;
    Ok(rows as usize)
}

/// Takes up what changed; with `force` everything, changed or not.
async fn refresh(
    connection: &mut PgConnection,
    rollup: &Rollup,
    start: OffsetDateTime,
    end: OffsetDateTime,
    force: bool,
) -> Result<(), sqlx::Error> {
    // A procedure that ends its transactions itself: it takes no bound values from a prepared
    // statement's transaction.
    let sql = format!(
        "CALL refresh_continuous_aggregate('{}', to_timestamp({}), to_timestamp({}), force => {force})",
        rollup.view,
        start.unix_timestamp(),
        end.unix_timestamp(),
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}
