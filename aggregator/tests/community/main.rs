//! The contract with TimescaleDB under its community licence: compression, background jobs, and the
//! continuous aggregates that earlier versions had. The other tests run under the Apache licence, which
//! has none of these.
//!
//! Beside the roll-ups stand the plain views that the Apache licence had, made by the same migration:
//! always right, so what both say can be compared.

mod asked;
mod erasure;
mod migration;
mod pglite;
mod reports;
mod retention;
mod upgrade;

#[path = "../../../crates/ledger/src/fixture.rs"]
mod fixture;

use clap::Parser as _;
use clickwire_aggregator::config::Config;
use clickwire_ledger::{
    Batch, Committed, Ledger, Received, at,
    counts::SUMS,
    retention::Kept,
    rollups::{
        check::{self, Checked},
        closing::{self, Step},
        stale,
    },
    schema::{self, COMPRESSION_DAYS},
    timescaledb,
};
use clickwire_protocol::{MINUTE_MS, analytics::Aggregate, counts::Disposition, times::UnixMs};
use sqlx::PgPool;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    asked::Asked,
    fixture::click,
    pglite::{Database, run_policy},
};

const BUCKETS: &str = include_str!("../../../migrations/0003_buckets.sql");
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const COMPRESSION: &str = "policy_compression";

/// A migrated database, and how to count clicks in it.
struct Deployment {
    config: Config,
    database: PgPool,
    ledger: Ledger,
    last_id: u128,
    now_ms: i64,
    // Last, so that it ends after its connection.
    _server: Database,
}

impl Deployment {
    async fn start() -> anyhow::Result<Self> {
        let server = pglite::start().await?;
        schema::migrate(&server.url, true).await?;
        let database = server.connect().await?;
        add_plain_views(&database).await?;
        let config = Config::parse_from(["clickwire-aggregator"]);
        let ledger = Ledger::new(database.clone(), config.ledger());
        let now_ms = OffsetDateTime::now_utc().unix_timestamp() * 1_000;
        Ok(Self { config, database, ledger, last_id: 0, now_ms, _server: server })
    }

    /// An hour of the day that is so many days before today.
    fn days_ago(&self, days: i64, hour: i64) -> i64 {
        (self.now_ms.div_euclid(DAY_MS) - days) * DAY_MS + hour * HOUR_MS
    }

    async fn commit(&mut self, clicks: &[Received]) -> Result<Committed, sqlx::Error> {
        self.ledger.commit(&Batch { partition: 0, clicks: clicks.to_vec() }).await
    }

    /// Counts new clicks of these times, each received in time.
    async fn count(&mut self, times_ms: &[i64]) -> anyhow::Result<Vec<Received>> {
        let mut batch = Vec::new();
        for &at_ms in times_ms {
            self.last_id += 1;
            let click = click(self.last_id, at_ms, at_ms);
            batch.push(Received { click, stream_seq: self.last_id as u64 });
        }
        let committed = self.commit(&batch).await?;
        assert_eq!(committed.counted, batch.len());
        Ok(batch)
    }

    /// Valid clicks according to minutes, hours and days.
    async fn totals(&self) -> anyhow::Result<(i64, i64, i64)> {
        let totals = sqlx::query_as(
            "SELECT (SELECT sum(valid)::bigint FROM click_minutes), \
                    (SELECT sum(valid)::bigint FROM click_hours), \
                    (SELECT sum(valid)::bigint FROM click_days)",
        );
        Ok(totals.fetch_one(&self.database).await?)
    }

    /// Rows in which a view and the plain view of its name differ.
    async fn differences(&self, view: &str) -> anyhow::Result<i64> {
        let (view, plain) = (format!("TABLE public.{view}"), format!("TABLE plain.{view}"));
        let sql = format!(
            "SELECT count(*) FROM (({view} EXCEPT ALL {plain}) UNION ALL ({plain} EXCEPT ALL {view})) AS d"
        );
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.database).await?)
    }

    /// Asserts that hours and days are, row for row, what minutes add up to.
    async fn assert_consistent(&self, clicks: i64) -> anyhow::Result<()> {
        assert_eq!(self.totals().await?, (clicks, clicks, clicks));
        self.assert_equal_to_plain().await
    }

    async fn assert_equal_to_plain(&self) -> anyhow::Result<()> {
        for view in ["click_hours", "click_days"] {
            for grain in ["", "_by_campaign", "_by_place"] {
                assert_eq!(self.differences(&format!("{view}{grain}")).await?, 0, "{view}{grain}");
            }
        }
        Ok(())
    }

    /// Stores all hours before `until_ms` and their days, and what is stale.
    async fn roll_up(&self, until_ms: i64) -> anyhow::Result<()> {
        roll_up(&self.database, UnixMs(until_ms.div_euclid(HOUR_MS) * HOUR_MS)).await
    }

    /// Rows of a table, such as `hour_counts`.
    async fn rows(&self, table: &str) -> anyhow::Result<i64> {
        let sql = format!("SELECT count(*) FROM {table}");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&self.database).await?)
    }

    /// Compares the hours and days of the last five days with their minutes.
    async fn check_rollups(&self, repair: bool) -> anyhow::Result<Checked> {
        let range = (at(UnixMs(self.days_ago(5, 0))), at(UnixMs(self.now_ms)));
        let mut connection = self.database.acquire().await?;
        Ok(check::check(&mut connection, range, repair).await?)
    }

    async fn compressed_chunks(&self, hypertable: &str) -> anyhow::Result<i64> {
        let count = sqlx::query_scalar(
            "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = $1 AND is_compressed",
        );
        Ok(count.bind(hypertable).fetch_one(&self.database).await?)
    }

    /// An interval in a policy's configuration, in days.
    async fn policy_days(&self, policy: &str, relation: &str, setting: &str) -> anyhow::Result<u32> {
        let seconds: i64 = sqlx::query_scalar(
            "SELECT extract(epoch FROM (config ->> $3)::interval)::bigint FROM timescaledb_information.jobs \
              WHERE proc_name = $1 AND hypertable_name = $2 AND scheduled",
        )
        .bind(policy)
        .bind(relation)
        .bind(setting)
        .fetch_one(&self.database)
        .await?;
        Ok(u32::try_from(seconds / 86_400)?)
    }
}

/// Stores all hours before `until` and their days, and what is stale, as the task does.
async fn roll_up(database: &PgPool, until: UnixMs) -> anyhow::Result<()> {
    let mut connection = database.acquire().await?;
    while stale::store(&mut connection).await? {}
    closing::close(&mut connection, at(until)).await?;
    while closing::store_hours(&mut connection, time::Duration::days(7)).await? != Step::Done {}
    while closing::store_day(&mut connection).await? != Step::Done {}
    while stale::store(&mut connection).await? {}
    Ok(())
}

/// Runs the migration's other branch in a schema of its own, over the same minutes.
async fn add_plain_views(database: &PgPool) -> anyhow::Result<()> {
    let (_, branches) = BUCKETS.split_once("DO $$").expect("the migration chooses by licence");
    let apache = branches.replace("current_setting('timescaledb.license') = 'timescale'", "false");
    assert_ne!(apache, branches, "the migration asks for the licence");
    let sql =
        format!("BEGIN; CREATE SCHEMA plain; SET LOCAL search_path = plain, public; DO $${apache}; COMMIT");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(database).await?;
    for view in ["click_hours", "click_days"] {
        for (grain, columns) in [("campaign", "campaign_id"), ("place", "country, device_type")] {
            let sql = format!(
                "CREATE VIEW plain.{view}_by_{grain} AS SELECT bucket, advertiser_id, {columns}, {SUMS} FROM plain.{view} \
                  GROUP BY bucket, advertiser_id, {columns}"
            );
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(database).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn hours_and_days_are_like_the_plain_views_and_windows_fit() {
    let installed = Deployment::start().await.unwrap();
    let aggregates: i64 =
        sqlx::query_scalar("SELECT count(*) FROM timescaledb_information.continuous_aggregates")
            .fetch_one(&installed.database)
            .await
            .unwrap();
    assert_eq!(aggregates, 0);

    let mut columns = Vec::new();
    for view in ["plain.click_hours", "plain.click_days", "public.click_hours", "public.click_days"] {
        let of_view: Vec<(String, String)> = sqlx::query_as(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
              WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
        )
        .bind(view)
        .fetch_all(&installed.database)
        .await
        .unwrap();
        columns.push(of_view);
    }
    assert!(columns.iter().all(|of_view| *of_view == columns[0]), "{columns:?}");
    let bigints: Vec<&str> =
        columns[0].iter().filter(|(_, kind)| kind == "bigint").map(|(name, _)| name.as_str()).collect();
    assert_eq!(bigints, Disposition::ALL.map(Disposition::as_str));
    assert_windows_fit(&installed).await.unwrap();
}

/// Horizon and stream < compression < retention, each in days.
async fn assert_windows_fit(installed: &Deployment) -> anyhow::Result<()> {
    let config = &installed.config;
    let latest_days = config.horizon_hours.div_ceil(24) + config.stream_max_age_days;
    for (hypertable, retention_days) in
        [("clicks", config.ledger_retention_days), ("click_minutes", config.minutes_retention_days)]
    {
        let compressed_days = installed.policy_days(COMPRESSION, hypertable, "compress_after").await?;
        assert_eq!(compressed_days, COMPRESSION_DAYS);
        // Strictly, for a chunk is compressed as a whole.
        assert!(latest_days < compressed_days - 1, "{hypertable}: {latest_days} < {compressed_days}");
        assert!(compressed_days < retention_days, "{hypertable}: {compressed_days} < {retention_days}");
    }
    Ok(())
}

#[tokio::test]
async fn late_clicks_show_at_once_whatever_is_stored() {
    let mut installed = Deployment::start().await.unwrap();
    let now = installed.now_ms;
    let (nine, ten, eleven) =
        (installed.days_ago(3, 9), installed.days_ago(3, 10), installed.days_ago(3, 11));
    installed.count(&[nine, nine + MINUTE_MS, eleven, installed.days_ago(2, 1)]).await.unwrap();
    installed.count(&[now - 2 * HOUR_MS, now]).await.unwrap();
    installed.assert_consistent(6).await.unwrap();
    assert_eq!(installed.rows("hour_counts").await.unwrap(), 0);

    installed.roll_up(now).await.unwrap();
    installed.assert_consistent(6).await.unwrap();
    assert_eq!(installed.rows("stale_hours").await.unwrap(), 0);
    assert!(installed.rows("hour_counts").await.unwrap() >= 3);
    assert!(installed.rows("day_counts").await.unwrap() >= 2);

    // Into an hour that has rows, one into the hour after, which has none, the latest that is counted at all,
    // and one of now.
    let config = &installed.config;
    let latest_ms = i64::try_from((config.horizon() + config.stream_max_age()).as_millis()).unwrap();
    installed.count(&[nine, ten, now - latest_ms, now]).await.unwrap();
    installed.assert_consistent(10).await.unwrap();
    assert_eq!(installed.rows("stale_hours").await.unwrap(), 3);
    installed.roll_up(now).await.unwrap();
    assert_eq!(installed.rows("stale_hours").await.unwrap(), 0);
    installed.assert_consistent(10).await.unwrap();
}

/// The server's own query, over minutes, hours and days.
#[tokio::test]
async fn the_api_answers_the_same_by_every_granularity() {
    let mut installed = Deployment::start().await.unwrap();
    let (start, now) = (installed.days_ago(3, 0), installed.now_ms);
    installed.count(&[start, start + 9 * HOUR_MS, start + DAY_MS, now - HOUR_MS, now]).await.unwrap();
    installed.roll_up(now - DAY_MS).await.unwrap();
    installed.count(&[now]).await.unwrap();
    let asked = Asked::start(&installed._server.url, &installed.database).await.unwrap();
    let start = OffsetDateTime::from_unix_timestamp(start / 1_000).unwrap().format(&Rfc3339).unwrap();
    for (granularity, buckets) in [("minute", 5), ("hour", 5), ("day", 3)] {
        let path = format!(
            "/api/v1/analytics/aggregate?advertiser_id=adv_001&granularity={granularity}&start_time={start}\
             &group_by=campaign_id&country=ZZ"
        );
        let (status, body) = asked.server.connection().get(&path).await.unwrap();
        assert_eq!(status, 200, "{granularity}: {}", String::from_utf8_lossy(&body));
        let answer: Aggregate = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer.total_clicks, 6, "{granularity}");
        // An hour ago may have been yesterday.
        assert!((buckets..=buckets + 1).contains(&answer.data.len()), "{granularity}: {answer:?}");
        assert!(answer.data.iter().all(|row| row.campaign_id.as_deref() == Some("camp_001")));
    }
    asked.stop().await.unwrap();
}

#[tokio::test]
async fn a_compressed_chunk_still_knows_its_clicks_and_still_counts() {
    let mut installed = Deployment::start().await.unwrap();
    let long_ago = installed.days_ago(14, 12);
    let batch = installed.count(&[long_ago, long_ago, long_ago + MINUTE_MS]).await.unwrap();
    installed.count(&[installed.now_ms]).await.unwrap();
    for hypertable in ["clicks", "click_minutes"] {
        run_policy(&installed.database, COMPRESSION, hypertable).await.unwrap();
        assert_eq!(installed.compressed_chunks(hypertable).await.unwrap(), 1, "{hypertable}");
    }

    let again = installed.commit(&batch).await.unwrap();
    assert_eq!((again.counted, again.known), (0, 3));
    let error = sqlx::query("INSERT INTO clicks SELECT * FROM clicks WHERE click_id = $1")
        .bind(batch[0].click.click_id)
        .execute(&installed.database)
        .await
        .unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation(), "{error}");

    let Committed { counted, cells, .. } = {
        let click = click(100, long_ago, long_ago);
        installed.commit(&[Received { click, stream_seq: 100 }]).await.unwrap()
    };
    let cell = &cells["adv_001"][0];
    assert_eq!((counted, cell.counts.valid, cell.version), (1, 3, 2));
    installed.assert_consistent(5).await.unwrap();
    installed.roll_up(installed.now_ms).await.unwrap();
    installed.assert_consistent(5).await.unwrap();
    // Changes of a compressed chunk leave marks like any others.
    for change in ["UPDATE click_minutes SET valid = valid + 1", "DELETE FROM click_minutes"] {
        let sql = format!("{change} WHERE bucket < now() - INTERVAL '13 days'");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&installed.database).await.unwrap();
        assert!(installed.rows("stale_hours").await.unwrap() > 0, "{change}");
        installed.assert_equal_to_plain().await.unwrap();
        installed.roll_up(installed.now_ms).await.unwrap();
        installed.assert_equal_to_plain().await.unwrap();
    }
}

#[tokio::test]
async fn hours_and_days_are_compared_with_minutes_and_mended() {
    let mut installed = Deployment::start().await.unwrap();
    let (nine, ten) = (installed.days_ago(3, 9), installed.days_ago(3, 10));
    installed
        .count(&[nine, nine + MINUTE_MS, ten, installed.days_ago(2, 1), installed.now_ms])
        .await
        .unwrap();
    installed.roll_up(installed.now_ms).await.unwrap();
    installed.count(&[nine]).await.unwrap();
    assert_eq!(installed.check_rollups(false).await.unwrap(), Checked::default());
    installed.roll_up(installed.now_ms).await.unwrap();

    // As overlapping refreshes of continuous aggregates did: counted twice, and it stays so.
    for table in ["hour_counts", "day_counts", "hour_counts_by_campaign", "day_counts_by_place"] {
        let sql = format!("UPDATE {table} SET valid = 2 * valid");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&installed.database).await.unwrap();
        let found = installed.check_rollups(false).await.unwrap();
        assert!(found.differences >= 2 && found.left == found.differences, "{table}: {found:?}");
        let mended = installed.check_rollups(true).await.unwrap();
        // Days that only differ from wrong hours are right when these are.
        assert!(
            mended.left == 0 && (1..=found.differences).contains(&mended.differences),
            "{table}: {mended:?}"
        );
        installed.assert_consistent(6).await.unwrap();
        installed.roll_up(installed.now_ms).await.unwrap();
        installed.assert_consistent(6).await.unwrap();
        assert_eq!(installed.check_rollups(false).await.unwrap(), Checked::default());
    }
}

/// Reason for counts behind views with a barrier and not behind row-level security: TimescaleDB refuses it where
/// it compresses, PostgreSQL for views. When this fails, migration 14 can be simpler.
#[tokio::test]
async fn row_level_security_can_not_be_had_on_counts() {
    let installed = Deployment::start().await.unwrap();
    let (compressed, aggregated) = (
        "not supported on hypertables that have columnstore",
        "ENABLE ROW SECURITY cannot be performed on relation",
    );
    for (table, why) in [
        ("click_minutes", compressed),
        ("clicks", compressed),
        ("click_hours", aggregated),
        ("click_days", aggregated),
    ] {
        let enable = format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY");
        let refused = sqlx::query(sqlx::AssertSqlSafe(enable)).execute(&installed.database).await;
        let refused = refused.expect_err(table).to_string();
        assert!(refused.contains(why), "{table}: {refused}");
    }
}

#[tokio::test]
async fn unique_users_are_folded_into_hours_before_their_minutes_go() {
    let mut installed = Deployment::start().await.unwrap();
    // A minute of today, and one so long ago that only its hour is kept.
    installed.count(&[installed.now_ms, installed.days_ago(10, 9)]).await.unwrap();
    let copied = sqlx::query(
        "INSERT INTO unique_minutes (bucket, advertiser_id, campaign_id, sketch) \
         SELECT bucket - INTERVAL '5 days', advertiser_id, campaign_id, sketch FROM unique_minutes",
    );
    assert_eq!(copied.execute(&installed.database).await.unwrap().rows_affected(), 1);

    clickwire_ledger::retention::create_chunks(&installed.database).await.unwrap();
    // The second time nothing is left to do.
    for _ in 0..2 {
        let (names, kept) = (installed.config.names(), installed.config.kept());
        clickwire_ledger::retention::fold_uniques(&installed.database, &names, kept).await.unwrap();
        let (minutes, unfolded, hours, days): (i64, i64, i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM unique_minutes), (SELECT count(*) FROM unique_minutes WHERE NOT folded), \
                    (SELECT count(*) FROM unique_hours), (SELECT count(*) FROM unique_days)",
        )
        .fetch_one(&installed.database)
        .await
        .unwrap();
        // Of the two days that are over, for the campaign and for all campaigns.
        assert_eq!((minutes, unfolded, hours, days), (1, 0, 3, 4));
    }
    let kept = Kept { minutes_days: 7, ..installed.config.kept() };
    clickwire_ledger::retention::drop_chunks(&installed.database, kept).await.unwrap();
    assert_eq!(installed.rows("unique_days").await.unwrap(), 2);
}

/// There is no scheduler, so jobs are in whatever state this says.
#[tokio::test]
async fn background_jobs_that_do_not_work_are_seen() {
    let mut installed = Deployment::start().await.unwrap();
    let idle = async |installed: &Deployment| {
        let mut connection = installed.database.acquire().await.unwrap();
        timescaledb::idle_jobs(&mut connection).await.unwrap()
    };
    let job = |relation: &str, state: &str| timescaledb::Idle {
        job: format!("{COMPRESSION} of {relation}"),
        state: state.to_owned(),
    };
    assert_eq!(idle(&installed).await, []);
    installed.count(&[installed.days_ago(16, 12)]).await.unwrap();
    let without_effect = [job("click_minutes", "without effect"), job("clicks", "without effect")];
    assert_eq!(idle(&installed).await, without_effect);
    for hypertable in ["clicks", "click_minutes"] {
        run_policy(&installed.database, COMPRESSION, hypertable).await.unwrap();
    }
    assert_eq!(idle(&installed).await, []);

    let alter = format!(
        "SELECT alter_job(job_id, next_start => now() - INTERVAL '2 hours') FROM timescaledb_information.jobs \
          WHERE proc_name = '{COMPRESSION}' AND hypertable_name = 'clicks'"
    );
    sqlx::query(sqlx::AssertSqlSafe(alter)).execute(&installed.database).await.unwrap();
    assert_eq!(idle(&installed).await, [job("clicks", "overdue")]);
    for (change, state) in [
        // As after a failover (https://github.com/timescale/timescaledb/issues/9360).
        ("next_start = '-infinity'", "stuck"),
        ("next_start = now(), last_start = now(), last_finish = now(), last_run_success = false", "failing"),
    ] {
        let sql = format!(
            "UPDATE _timescaledb_internal.bgw_job_stat SET {change} WHERE job_id IN (SELECT job_id \
               FROM timescaledb_information.jobs WHERE proc_name = '{COMPRESSION}' AND hypertable_name = 'clicks')"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&installed.database).await.unwrap();
        assert_eq!(idle(&installed).await, [job("clicks", state)]);
        if state == "stuck" {
            timescaledb::restart_stuck_jobs(&mut installed.database.acquire().await.unwrap()).await.unwrap();
            assert_eq!(idle(&installed).await, []);
        }
    }
    // The known end of every run on PostgreSQL 17.12, when the work is done.
    sqlx::query(
        r#"INSERT INTO _timescaledb_internal.bgw_job_stat_history (job_id, execution_start, execution_finish, succeeded, data)
           SELECT job_id, now(), now(), false,
                  '{"error_data": {"message": "cannot drop portal while it is being set up", "sqlerrcode": "24000"}}'
             FROM timescaledb_information.jobs WHERE hypertable_name = 'clicks'"#,
    )
    .execute(&installed.database)
    .await
    .unwrap();
    assert_eq!(idle(&installed).await, []);
}
