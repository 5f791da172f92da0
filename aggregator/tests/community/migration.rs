//! From continuous aggregates to roll-ups: what only they still have is taken over, everything else is added
//! up anew, whatever they say.

use std::{fs, path::Path};

use clap::Parser as _;
use clickwire_aggregator::config::Config;
use clickwire_ledger::Ledger;

use crate::{DAY_MS, Deployment, pglite};

/// The version that brings the roll-ups.
const ROLLUPS: &str = "0018";

async fn apply(database: &sqlx::PgPool, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files.iter().filter(|file| is_wanted(&file.file_name().to_string_lossy())) {
        let sql = format!("BEGIN; {}; COMMIT", fs::read_to_string(file.path())?);
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(database).await?;
    }
    Ok(())
}

#[tokio::test]
async fn continuous_aggregates_become_roll_ups_that_are_right() {
    let server = pglite::start().await.unwrap();
    let database = server.connect().await.unwrap();
    apply(&database, |name| name < ROLLUPS).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT date_trunc('hour', now()) - hours * INTERVAL '1 hour', 'adv_001', 'camp_001', 'ad_001', 'DE', 'mobile', 1 \
           FROM generate_series(0, 10 * 24) AS hours",
    )
    .execute(&database)
    .await
    .unwrap();
    for view in ["click_hours", "click_days"] {
        let refresh = format!("CALL refresh_continuous_aggregate('{view}', NULL, NULL)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(refresh)).execute(&database).await.unwrap();
    }
    // Retention has dropped minutes; and of those that are left an hour was counted twice.
    let totals = "SELECT sum(valid)::bigint FROM click_hours";
    let before: i64 = sqlx::query_scalar(totals).fetch_one(&database).await.unwrap();
    assert_eq!(before, 241);
    sqlx::raw_sql("SELECT drop_chunks('click_minutes', INTERVAL '5 days')").execute(&database).await.unwrap();
    let hours: String = sqlx::query_scalar(
        "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) \
           FROM timescaledb_information.continuous_aggregates WHERE view_name = 'click_hours'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    let twice = format!("UPDATE {hours} SET valid = 2 * valid WHERE bucket > now() - INTERVAL '2 days'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(twice)).execute(&database).await.unwrap();
    let doubled: i64 = sqlx::query_scalar(totals).fetch_one(&database).await.unwrap();
    assert!(doubled > before);

    apply(&database, |name| name >= ROLLUPS).await.unwrap();
    let jobs: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(jobs, 0);
    let config = Config::parse_from(["clickwire-aggregator"]);
    let installed = Deployment {
        ledger: Ledger::new(database.clone(), config.ledger()),
        config,
        database,
        last_id: 0,
        now_ms: time::OffsetDateTime::now_utc().unix_timestamp() * 1_000,
        _server: server,
    };
    let minutes: i64 = sqlx::query_scalar("SELECT sum(valid)::bigint FROM click_minutes")
        .fetch_one(&installed.database)
        .await
        .unwrap();
    assert!(minutes < before);
    // Before anything is stored, in the middle of it, and when all is.
    for until_ms in [0, installed.now_ms - 2 * DAY_MS, installed.now_ms] {
        assert_eq!(installed.totals().await.unwrap(), (minutes, before, before), "before {until_ms}");
        installed.roll_up(until_ms).await.unwrap();
        assert_eq!(installed.totals().await.unwrap(), (minutes, before, before), "after {until_ms}");
    }
}
