//! Stored hours and days that are wrong or too old, whatever made them so: found, mended, deleted; and every grain is
//! the sum of the finest.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{DAY, Stack, eventually, room_in};
use clickwire_ledger::counts::SUMS;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{GRAINS, HOUR_MS, STORED, WIDTHS, assert_equal, click, counted, rolled_up};

/// Differences in stored hours or days, such as overlapping refreshes of continuous aggregates made, are seen
/// by whoever looks, and mended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_hours_and_days_that_are_wrong_are_found_and_mended() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_RECONCILE_SECONDS", "0");
    // It would report what this test has corrupted.
    stack.set("CLICKWIRE_LOG", "off");
    room_in(DAY, Duration::from_secs(180)).await;
    let aggregator = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    stack.yesterday_is_stored().await?;
    let ages = [0, 2, 3, 20, 22];
    stack.publish(&ages.map(|age| click(1, age as u32, age * HOUR_MS))).await?;
    counted(&stack, 5).await?;
    rolled_up(&stack).await?;
    aggregator.kill().await?;
    let database = stack.database().clone();
    let corrupt = async |sql: &'static str| {
        let rows = sqlx::query(sql).execute(&database).await?.rows_affected();
        ensure!(rows > 0, "{sql}: no rows");
        Ok(())
    };
    let now = OffsetDateTime::now_utc();
    // As far back as there are chunks.
    let from = (now.replace_time(time::Time::MIDNIGHT) - time::Duration::DAY).format(&Rfc3339)?;
    let to = now.format(&Rfc3339)?;
    for sql in [
        // Yesterday may have had no click, so days are only added to.
        "UPDATE hour_counts SET valid = 2 * valid",
        "DELETE FROM hour_counts",
        "INSERT INTO hour_counts SELECT bucket, advertiser_id, 'invented', ad_id, country, device_type, 7, 0, 0, 0, 0, 0 \
           FROM hour_counts",
        "INSERT INTO day_counts SELECT date_trunc('day', now(), 'UTC') - INTERVAL '1 day', advertiser_id, 'invented', \
                ad_id, country, device_type, 7, 0, 0, 0, 0, 0 FROM hour_counts LIMIT 1",
        // Of one grain alone.
        "UPDATE hour_counts_by_campaign SET valid = 2 * valid",
        "DELETE FROM hour_counts_by_place",
        "INSERT INTO day_counts_by_campaign SELECT date_trunc('day', now(), 'UTC') - INTERVAL '1 day', advertiser_id, \
                'invented', 7, 0, 0, 0, 0, 0 FROM hour_counts LIMIT 1",
        "UPDATE hour_counts_by_ad SET valid = 2 * valid",
        "INSERT INTO day_counts_by_ad SELECT date_trunc('day', now(), 'UTC') - INTERVAL '1 day', advertiser_id, \
                'invented', 'invented', 7, 0, 0, 0, 0, 0 FROM hour_counts LIMIT 1",
        "UPDATE minute_counts_by_campaign SET valid = 2 * valid",
        "DELETE FROM minute_counts_by_campaign",
        "INSERT INTO minute_counts_by_campaign SELECT bucket, advertiser_id, 'invented', 7, 0, 0, 0, 0, 0 \
           FROM hour_counts_by_campaign",
        "UPDATE minute_counts_by_advertiser SET valid = 2 * valid",
        "DELETE FROM minute_counts_by_advertiser",
    ] {
        // By whoever compares without mending, who says so; by whoever mends.
        corrupt(sql).await?;
        ensure!(assert_equal(stack.database()).await.is_err(), "{sql}: nothing differs");
        let reconcile = async |repair: bool| {
            let mut arguments = vec!["reconcile", "--from", &from, "--to", &to];
            arguments.extend(repair.then_some("--repair"));
            let output = stack.command(&arguments).await?;
            anyhow::Ok(output.status.code())
        };
        ensure!(reconcile(false).await? == Some(1), "{sql}: not found");
        ensure!(reconcile(true).await? == Some(0), "{sql}: not mended");
        assert_equal(stack.database()).await.with_context(|| format!("{sql}: mended"))?;

        // Whoever starts looks at the last day.
        let aggregator = stack.start_aggregator().await?;
        rolled_up(&stack).await?;
        aggregator.kill().await?;
        corrupt(sql).await?;
        let aggregator = stack.start_aggregator().await?;
        eventually("the start finds and mends it", Duration::from_secs(30), async || {
            assert_equal(stack.database()).await.ok()
        })
        .await
        .with_context(|| sql.to_owned())?;
        rolled_up(&stack).await?;
        aggregator.kill().await?;
    }
    // The schedule mends what follows from the minutes, told to or not.
    stack.set("CLICKWIRE_RECONCILE_SECONDS", "1");
    let _aggregator = stack.start_aggregator().await?;
    rolled_up(&stack).await?;
    eventually("a wide comparison is done", Duration::from_secs(30), async || {
        let runs = "SELECT count(*) FROM reconciliations WHERE started_by = 'schedule'";
        (sqlx::query_scalar::<_, i64>(runs).fetch_one(stack.database()).await.ok()? > 0).then_some(())
    })
    .await?;
    let corrupted =
        "UPDATE hour_counts SET valid = 2 * valid WHERE bucket = (SELECT max(bucket) FROM hour_counts)";
    corrupt(corrupted).await?;
    eventually("the schedule mends it", Duration::from_secs(30), async || {
        assert_equal(stack.database()).await.ok()
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_and_days_outlive_their_minutes_and_are_not_made_of_what_is_left() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_MINUTES_RETENTION_DAYS", "13");
    stack.set("CLICKWIRE_LEDGER_RETENTION_DAYS", "13");
    let long_ago = "date_trunc('day', now(), 'UTC') - INTERVAL '20 days' + INTERVAL '9 hours'";
    let insert = format!(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT {long_ago} + n * INTERVAL '1 minute', 'adv_001', 'camp_001', $1, 'DE', 'mobile', 1 \
           FROM generate_series(1, 5) AS n"
    );
    sqlx::query(AssertSqlSafe(insert.clone())).bind("ad_001").execute(stack.database()).await?;
    let aggregator = stack.start_aggregator().await?;
    let shown = async || {
        let of_view = |view: &str| {
            format!(
                "(SELECT coalesce(sum(valid), 0)::bigint FROM {view} WHERE bucket < {long_ago} + INTERVAL '1 day')"
            )
        };
        let views =
            WIDTHS.into_iter().flat_map(|(view, _)| GRAINS.map(|(grain, _)| format!("{view}{grain}")));
        let sums = views.map(|view| of_view(&view)).collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT {}, ARRAY[{sums}]", of_view("click_minutes"));
        let shown: (i64, Vec<i64>) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(stack.database()).await?;
        anyhow::Ok(shown)
    };
    let all_five = vec![5; WIDTHS.len() * GRAINS.len()];
    eventually("the minutes are dropped", Duration::from_secs(30), async || {
        let (minutes, rolled_up) = shown().await.ok()?;
        assert_eq!(rolled_up, all_five, "while {minutes} minutes are there");
        (minutes == 0).then_some(())
    })
    .await?;
    // By hand, for no click gets there.
    sqlx::query(AssertSqlSafe(insert)).bind("ad_002").execute(stack.database()).await?;
    ensure!(shown().await? == (5, all_five.clone()));
    let round = async || -> Option<f64> { aggregator.metric("clickwire_rollup_rounds_total").await.ok() };
    let before = round().await.context("no rounds")?;
    eventually("it is rolled up again", Duration::from_secs(30), async || {
        (round().await? > before + 1.0).then_some(())
    })
    .await?;
    let (_, rolled_up) = shown().await?;
    ensure!(rolled_up == all_five, "{rolled_up:?}");
    aggregator.kill().await?;

    // Until hours and days are too old themselves.
    stack.set("CLICKWIRE_ROLLUPS_RETENTION_DAYS", "13");
    let _aggregator = stack.start_aggregator().await?;
    eventually("every grain is deleted", Duration::from_secs(30), async || {
        let tables =
            STORED.map(|table| format!("SELECT FROM {table} WHERE bucket < {long_ago} + INTERVAL '1 day'"));
        let sql = format!("SELECT NOT EXISTS ({})", tables.join(" UNION ALL "));
        sqlx::query_scalar::<_, bool>(AssertSqlSafe(sql))
            .fetch_one(stack.database())
            .await
            .ok()?
            .then_some(())
    })
    .await
}

/// A version that knows of no grains, retention and a person: they change what is stored as they like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_stored_hours_at_once_the_coarser_grains_are_their_sums() -> Result<()> {
    let stack = Stack::new().await?;
    let insert = |table: &str| {
        format!(
            "INSERT INTO {table} (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, duplicate, givt, \
                 sivt, test, defective) \
             SELECT '2026-01-01Z'::timestamptz + h * INTERVAL '1 day', 'adv_' || a, 'camp_' || n % 2, 'ad_' || n, c, 'mobile', \
                    n, 1, 2, 3, 4, 5 \
               FROM generate_series(1, 3) AS h, generate_series(1, 2) AS a, generate_series(1, 5) AS n, \
                    unnest(ARRAY['DE', 'FR']) AS c"
        )
    };
    for table in ["hour_counts", "day_counts"] {
        let differing = GRAINS[1..].iter().map(|(grain, columns)| {
            let sums = format!("SELECT bucket, {columns}, {SUMS} FROM {table} GROUP BY bucket, {columns}");
            let stored = format!("TABLE {table}{grain}");
            format!("((({sums}) EXCEPT ALL {stored}) UNION ALL ({stored} EXCEPT ALL ({sums})))")
        });
        let differing: Vec<String> =
            differing.map(|sql| format!("(SELECT count(*) FROM {sql} AS d)")).collect();
        let differing = format!("SELECT {}", differing.join(" + "));
        let assert_sums = async |after: &str| {
            let rows: i64 =
                sqlx::query_scalar(AssertSqlSafe(differing.as_str())).fetch_one(stack.database()).await?;
            ensure!(rows == 0, "{table}: {rows} rows differ after {after}");
            anyhow::Ok(())
        };
        let change = |sql: &str| sql.replace("stored_hours", table);
        // Rows of one advertiser's hour, in two sessions at once: the second waits and adds the first one's.
        for pair in [
            [insert(table), "UPDATE stored_hours SET valid = 100 WHERE ad_id = 'ad_2'".to_owned()],
            [
                "UPDATE stored_hours SET valid = valid + 1 WHERE ad_id = 'ad_1' AND country = 'DE'".to_owned(),
                "UPDATE stored_hours SET valid = valid + 1 WHERE ad_id = 'ad_3' AND country = 'DE'".to_owned(),
            ],
            [
                "DELETE FROM stored_hours WHERE ad_id IN ('ad_1', 'ad_3')".to_owned(),
                "DELETE FROM stored_hours WHERE ad_id = 'ad_5'".to_owned(),
            ],
            [
                "UPDATE stored_hours SET campaign_id = 'moved' WHERE ad_id = 'ad_2'".to_owned(),
                "UPDATE stored_hours SET bucket = bucket + INTERVAL '1 day', country = 'US' WHERE ad_id = 'ad_4' AND country = 'DE'".to_owned(),
            ],
        ] {
            let [first, second] = pair.map(|sql| change(&sql));
            let mut by_hand = PgConnection::connect(stack.database_url()).await?;
            let mut transaction = by_hand.begin().await?;
            sqlx::query(AssertSqlSafe(first.as_str())).execute(&mut *transaction).await?;
            let waits = sqlx::query(AssertSqlSafe(second.as_str())).execute(stack.database());
            let ends = async {
                eventually("the second session waits", Duration::from_secs(20), async || {
                    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                                     (SELECT oid FROM pg_database WHERE datname = current_database())";
                    (sqlx::query_scalar::<_, i64>(waiting).fetch_one(stack.database()).await.ok()? > 0)
                        .then_some(())
                })
                .await?;
                anyhow::Ok(transaction.commit().await?)
            };
            let (waited, ended) = tokio::join!(waits, ends);
            waited?;
            ended?;
            assert_sums(&format!("{first}, {second}")).await?;
        }
        let rows: i64 =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {table}_by_campaign")))
                .fetch_one(stack.database())
                .await?;
        ensure!(rows > 0, "{table}: nothing is left");
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(stack.database()).await?;
        assert_sums("everything is deleted").await?;
    }
    Ok(())
}
