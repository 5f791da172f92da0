//! Hours and days are what the minutes add up to, at every grain, in every snapshot: while clicks come on time and late, are
//! released, and are set right by hand; while several aggregators roll up and reconcile; and after one of them
//! died anywhere.

mod mended;

use std::{os::unix::process::ExitStatusExt as _, sync::LazyLock, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_ledger::counts::SUMS;
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    click::Click,
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use crate::fraud::PERSON;

const HOUR_MS: i64 = 60 * MINUTE_MS;

/// SIGABRT: what dies at a point dies by this, and nothing else does.
const ABORTED: i32 = 6;

/// The views of hours and days: the grain's end of their names, and its columns.
const GRAINS: [(&str, &str); 3] = [
    ("", "advertiser_id, campaign_id, ad_id, country, device_type"),
    ("_by_campaign", "advertiser_id, campaign_id"),
    ("_by_place", "advertiser_id, country, device_type"),
];

const WIDTHS: [(&str, &str); 2] = [("click_hours", "1 hour"), ("click_days", "1 day")];

/// Query for the number of rows, by view, in which hours and days of each grain differ from what minutes add up to,
/// in one snapshot; then for the number of minutes.
static DIFFERENCES: LazyLock<String> = LazyLock::new(|| {
    let of_view = |(view, width): (&str, &str), (grain, columns): (&str, &str)| {
        let sums = format!(
            "SELECT time_bucket(INTERVAL '{width}', bucket), {columns}, {SUMS} FROM click_minutes GROUP BY 1, {columns}"
        );
        let shown = format!("TABLE {view}{grain}");
        format!(
            "SELECT '{view}{grain}', count(*) FROM \
               ((({sums}) EXCEPT ALL {shown}) UNION ALL ({shown} EXCEPT ALL ({sums}))) AS d UNION ALL "
        )
    };
    let views = WIDTHS.into_iter().flat_map(|width| GRAINS.map(|grain| of_view(width, grain)));
    let differs = |name: &str, sums: String, shown: String| {
        format!(
            "SELECT '{name}', count(*) FROM \
               ((({sums}) EXCEPT ALL ({shown})) UNION ALL (({shown}) EXCEPT ALL ({sums}))) AS d UNION ALL "
        )
    };
    // What has no view, as far as questions read it.
    let by_ad = [("hour_counts", "bucket"), ("day_counts", "day")].into_iter().map(|(table, marked)| {
        let columns = "bucket, advertiser_id, campaign_id, ad_id";
        let fresh =
            format!("(advertiser_id, bucket) NOT IN (SELECT advertiser_id, {marked} FROM stale_hours)");
        let sums = format!("SELECT {columns}, {SUMS} FROM {table} WHERE {fresh} GROUP BY {columns}");
        differs(&format!("{table}_by_ad"), sums, format!("SELECT * FROM {table}_by_ad WHERE {fresh}"))
    });
    let minutes = [
        ("minute_counts_by_campaign", "bucket, advertiser_id, campaign_id"),
        ("minute_counts_by_advertiser", "bucket, advertiser_id"),
    ]
    .map(|(table, columns)| {
        let stored = "bucket < (SELECT hours_before FROM rollup_progress) AND NOT EXISTS (SELECT FROM stale_hours AS s \
             WHERE s.advertiser_id = m.advertiser_id AND s.bucket = date_trunc('hour', m.bucket, 'UTC'))";
        let sums =
            format!("SELECT {columns}, {SUMS} FROM click_minutes AS m WHERE {stored} GROUP BY {columns}");
        let shown = format!("SELECT * FROM {table} AS m WHERE {stored}");
        differs(table, sums, shown)
    });
    views.chain(by_ad).chain(minutes).collect::<String>() + "SELECT '', count(*) FROM click_minutes"
});

/// A click of an advertiser's ad, so long ago.
fn click(advertiser: u32, user: u32, age_ms: i64) -> Click {
    let now = now_ms();
    Click {
        advertiser_id: AdvertiserId::unchecked(format!("adv_{advertiser:03}")),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked(format!("camp_{advertiser:03}")),
            ad_id: AdId::unchecked(format!("ad_{advertiser:03}_{}", user % 7)),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        user_id: Some(format!("user_{user}")),
        clicked_at_ms: UnixMs(now - age_ms),
        received_at_ms: UnixMs(now),
        user_agent: PERSON.into(),
        ip_hash: Some(format!("{user:032x}")),
        ..Click::bare(Uuid::new_v4())
    }
}

async fn assert_equal(database: &PgPool) -> Result<i64> {
    let mut rows: Vec<(String, i64)> =
        sqlx::query_as(AssertSqlSafe(DIFFERENCES.as_str())).fetch_all(database).await?;
    let (_, minutes) = rows.pop().context("no row")?;
    ensure!(rows.iter().all(|(_, rows)| *rows == 0), "of {minutes} minutes differ: {rows:?}");
    Ok(minutes)
}

/// Waits until everything that is final is stored, and nothing stored is stale.
pub(crate) async fn rolled_up(stack: &Stack) -> Result<()> {
    eventually("hours and days are stored", Duration::from_secs(60), async || {
        let done = "SELECT hours_before >= date_trunc('hour', now() - INTERVAL '4 min', 'UTC') \
                       AND days_before = date_trunc('day', hours_before, 'UTC') AND hours_before = marks_before \
                       AND NOT EXISTS (SELECT FROM stale_hours) FROM rollup_progress";
        sqlx::query_scalar::<_, bool>(done).fetch_one(stack.database()).await.ok()?.then_some(())
    })
    .await
}

async fn counted(stack: &Stack, clicks: i64) -> Result<()> {
    eventually("all clicks are counted", Duration::from_secs(60), async || {
        (stack.ledger().await.ok()? >= clicks).then_some(())
    })
    .await
}

/// Sets the roll-up back by some hours, which are then stored again, under whatever goes on.
async fn rewind(connection: &mut PgConnection, hours: i32) -> Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("LOCK TABLE rollup_progress IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "UPDATE rollup_progress SET settled_after = NULL, hours_before = hours_before - make_interval(hours => $1), \
            marks_before = hours_before - make_interval(hours => $1), \
            days_before = least(days_before, date_trunc('day', hours_before - make_interval(hours => $1), 'UTC'))",
    )
    .bind(hours)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_and_days_equal_minutes_in_every_snapshot() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_RECONCILE_SECONDS", "1");
    stack.set("CLICKWIRE_RECONCILE_REPAIR", "true");
    stack.set("CLICKWIRE_BATCH_MAX", "50");
    // It would report what this test does to the minutes.
    stack.set("CLICKWIRE_LOG", "off");
    let _server = stack.start_server().await?;
    let _aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    stack.has_chunks().await?;
    assert_equal(stack.database()).await.context("of nothing")?;

    let write = async {
        let mut random = StdRng::seed_from_u64(1);
        let (mut sent, mut by_hand) = (0, PgConnection::connect(stack.database_url()).await?);
        for round in 0_u32..24 {
            let clicks: Vec<Click> = (0..40)
                .map(|_| {
                    let age_ms =
                        if random.random_bool(0.5) { 0 } else { random.random_range(0..23) * HOUR_MS };
                    click(random.random_range(0..5), random.random_range(0..20), age_ms)
                })
                .collect();
            stack.publish(&clicks).await?;
            sent += clicks.len() as i64;
            counted(&stack, sent).await?;
            release_one(&stack).await?;
            // Another session changes minutes at the same time: reconciliation sets them right again.
            let changed = sqlx::query(
                "UPDATE click_minutes SET valid = valid + 1 \
                  WHERE bucket = (SELECT bucket FROM click_minutes ORDER BY random() LIMIT 1)",
            );
            ensure!(changed.execute(&mut by_hand).await?.rows_affected() > 0);
            if round % 2 == 0 {
                rewind(&mut by_hand, random.random_range(1..30)).await?;
            }
        }
        anyhow::Ok(sent)
    };
    let watch = async {
        let mut snapshots = 0;
        loop {
            assert_equal(stack.database()).await.with_context(|| format!("snapshot {snapshots}"))?;
            snapshots += 1;
            if snapshots == i32::MAX {
                return anyhow::Ok(snapshots);
            }
        }
    };
    let sent = tokio::select! { sent = write => sent?, watched = watch => watched?.into() };
    rolled_up(&stack).await?;
    ensure!(assert_equal(stack.database()).await? > 0 && stack.ledger().await? == sent);
    let stored: i64 = sqlx::query_scalar("SELECT count(DISTINCT bucket) FROM hour_counts")
        .fetch_one(stack.database())
        .await?;
    ensure!(stored >= 20, "{stored} hours are stored");
    let released: i64 =
        sqlx::query_scalar("SELECT count(*) FROM clicks WHERE released").fetch_one(stack.database()).await?;
    ensure!(released > 0, "nothing was released");
    Ok(())
}

/// Releases a duplicate, if there is one.
async fn release_one(stack: &Stack) -> Result<()> {
    let duplicate: Option<Uuid> =
        sqlx::query_scalar("SELECT click_id FROM clicks WHERE disposition = 'duplicate' LIMIT 1")
            .fetch_optional(stack.database())
            .await?;
    let Some(click_id) = duplicate else { return Ok(()) };
    let path = format!("/api/v1/admin/clicks/{click_id}/release");
    let body = json!({"reason": "it was none"}).to_string().into_bytes();
    let (status, _) = stack.as_admin()?.connection().post(&path, body).await?;
    // A rule may have changed its mind meanwhile.
    ensure!(matches!(status.as_u16(), 200 | 409), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregator_that_dies_while_it_rolls_up_changes_nothing() -> Result<()> {
    let stack = Stack::new().await?;
    let survivor = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    let clicks: Vec<Click> =
        (0..200).map(|n| click(n % 3, n, i64::from(n % 23) * HOUR_MS + 5 * MINUTE_MS)).collect();
    stack.publish(&clicks).await?;
    counted(&stack, 200).await?;
    rolled_up(&stack).await?;
    survivor.kill().await?;
    let mut database = PgConnection::connect(stack.database_url()).await?;
    for point in ["hours_closed", "hours_stored", "day_stored", "stale_hours_stored", "stale_hours_unmarked"]
    {
        rewind(&mut database, 30).await?;
        // Late ones, too, of an hour that is stored or being stored.
        sqlx::query(
            "UPDATE click_minutes SET valid = valid + 1 WHERE bucket < date_trunc('hour', now()) - INTERVAL '35 hours' \
                OR bucket < (SELECT hours_before FROM rollup_progress)",
        )
        .execute(stack.database())
        .await?;
        sqlx::query(
            "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
             SELECT date_trunc('minute', hours_before - INTERVAL '90 minutes'), 'adv_001', 'camp_001', $1, 'DE', 'mobile', 1 \
               FROM rollup_progress",
        )
        .bind(point)
        .execute(stack.database())
        .await?;
        assert_equal(stack.database()).await.with_context(|| format!("before {point}"))?;
        let victim = stack.begin_aggregator_with_failpoint(&format!("{point}=return")).await?;
        let ended = victim.ended(Duration::from_secs(60)).await.with_context(|| point.to_owned())?;
        ensure!(ended.signal() == Some(ABORTED), "{point}: {ended}");
        assert_equal(stack.database()).await.with_context(|| format!("after {point}"))?;
        let successor = stack.start_aggregator().await?;
        rolled_up(&stack).await.with_context(|| point.to_owned())?;
        assert_equal(stack.database()).await.with_context(|| format!("after {point} and a successor"))?;
        successor.kill().await?;
    }
    Ok(())
}

/// Tables of stored roll-ups: hours, days, and minutes of coarser grains.
pub(crate) const STORED: [&str; 10] = [
    "hour_counts",
    "hour_counts_by_ad",
    "hour_counts_by_campaign",
    "hour_counts_by_place",
    "day_counts",
    "day_counts_by_ad",
    "day_counts_by_campaign",
    "day_counts_by_place",
    "minute_counts_by_advertiser",
    "minute_counts_by_campaign",
];

/// Rows of a table of roll-ups, each with the transaction that wrote it.
async fn rows(database: &PgPool, table: &'static str) -> Result<Vec<(String, String)>> {
    let sql = format!("SELECT tableoid::text || ctid::text, xmin::text FROM {table}");
    Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_all(database).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_click_rewrites_one_hour_of_one_ad() -> Result<()> {
    let stack = Stack::new().await?;
    // Three days of ten advertisers, a hundred ads each.
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT hour, format('adv_%s', lpad(a::text, 3, '0')), format('camp_%s', a), format('ad_%s', n), 'DE', 'mobile', 1 \
           FROM generate_series(date_trunc('hour', now()) - INTERVAL '3 days', now(), INTERVAL '1 hour') AS hour, \
                generate_series(1, 10) AS a, generate_series(1, 100) AS n",
    )
    .execute(stack.database())
    .await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.yesterday_is_stored().await?;
    rolled_up(&stack).await?;
    let mut before = Vec::new();
    for table in STORED {
        before.push((table, rows(stack.database(), table).await?));
    }
    ensure!(before[0].1.len() >= 70_000, "{} hours", before[0].1.len());
    // Together with one of now: a continuous aggregate took everything in between for changed.
    let late = click(1, 1, 22 * HOUR_MS);
    stack.publish(&[click(1, 2, 0), late]).await?;
    counted(&stack, 2).await?;
    rolled_up(&stack).await?;
    assert_equal(stack.database()).await?;
    let changed = |before: &[(String, String)], after: Vec<(String, String)>| {
        let before: std::collections::HashSet<_> = before.iter().collect();
        after.into_iter().filter(|row| !before.contains(row)).count()
    };
    for (table, before) in before {
        let written = changed(&before, rows(stack.database(), table).await?);
        // Unless an hour ended meanwhile: ten advertisers, with a campaign each.
        let is_one = if !table.starts_with("day") { written == 1 || written >= 10 } else { written <= 1 };
        ensure!(is_one, "{table}: {written} rows were written for one click");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_how_far_hours_and_days_are_stored_and_whether_changes_are_seen() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_LOG", "off");
    let aggregator = stack.start_aggregator().await?;
    rolled_up(&stack).await?;
    let rollups = async || -> Option<Value> { Some(aggregator.health().await.ok()?["rollups"].clone()) };
    eventually("all is well", Duration::from_secs(20), async || {
        let rollups = rollups().await?;
        (rollups["status"] == "ok" && rollups["stale_hours"] == 0 && rollups["changes_are_marked"] == true)
            .then_some(())
    })
    .await?;
    ensure!(aggregator.metric("clickwire_rollup_lag_seconds").await? < 2.0 * 3_600.0);
    sqlx::raw_sql("ALTER TABLE day_counts DISABLE TRIGGER grains_of_updated")
        .execute(stack.database())
        .await?;
    eventually("a trigger that is off is told", Duration::from_secs(20), async || {
        (rollups().await?["changes_are_marked"] == false).then_some(())
    })
    .await?;
    sqlx::raw_sql("ALTER TABLE day_counts ENABLE TRIGGER grains_of_updated")
        .execute(stack.database())
        .await?;
    eventually("all is well again", Duration::from_secs(20), async || {
        (rollups().await?["changes_are_marked"] == true).then_some(())
    })
    .await?;
    sqlx::raw_sql("DROP TRIGGER marks_updated ON click_minutes").execute(stack.database()).await?;
    eventually("a trigger that is missing is told", Duration::from_secs(20), async || {
        let health = aggregator.health().await.ok()?;
        (health["rollups"]["changes_are_marked"] == false && health["status"] == "degraded").then_some(())
    })
    .await?;
    eventually("it is an incident", Duration::from_secs(40), async || {
        let open = "SELECT severity::text FROM alerts WHERE kind = 'rollups' AND resolved_at IS NULL";
        let severity: String = sqlx::query_scalar(open).fetch_optional(stack.database()).await.ok()??;
        (severity == "critical").then_some(())
    })
    .await
}
