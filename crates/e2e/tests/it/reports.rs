//! Reports equal what PostgreSQL makes of the minutes with its own time zones, in every zone, granularity and
//! group; whether the hours are stored or not; and what only the ledger knows equals the ledger.

mod advertisers;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use clickwire_protocol::report::{Breakdown, Granularity, Group, Numbers, Source, Summary, Timeseries};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";

const MINUTES: &str = include_str!("../../../ledger/src/fixture/minutes.sql");

async fn get<T: DeserializeOwned>(server: &Server, path: &str) -> Result<T> {
    let (status, body) = server.connection().get(&format!("/api/v1/analytics/{path}")).await?;
    ensure!(status == 200, "{path}: {status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).with_context(|| format!("{path}: {}", String::from_utf8_lossy(&body)))
}

async fn refused(server: &Server, path: &str) -> Result<(u16, Value)> {
    let (status, body) = server.connection().get(&format!("/api/v1/analytics/{path}")).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
}

/// Clicks, billable, fraud, duplicates, received by bucket and group, without rows of zeros.
type Table = BTreeMap<(String, String), [i64; 5]>;

fn numbers(numbers: &Numbers) -> [i64; 5] {
    [numbers.clicks, numbers.billable, numbers.fraud_count, numbers.duplicates, numbers.received]
}

/// The values of a group, in the order of the columns of [`oracle`].
fn named(group: &Group, group_by: &[&str]) -> String {
    let value = serde_json::to_value(group).unwrap_or_default();
    let text = |name: &&str| value[*name].as_str().map_or_else(|| value[*name].to_string(), str::to_owned);
    group_by.iter().map(text).collect::<Vec<_>>().join("|")
}

/// The time of a bucket as [`oracle`] has it: in UTC, or the local date.
fn named_bucket(text: &str, granularity: Granularity) -> Result<String> {
    match granularity {
        Granularity::Minute | Granularity::Hour => utc(text),
        Granularity::Day | Granularity::Week | Granularity::Month => Ok(format!("{}T00:00:00Z", &text[..10])),
    }
}

fn utc(text: &str) -> Result<String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)?.to_offset(time::UtcOffset::UTC);
    Ok(at.format(&Rfc3339)?)
}

fn table(answer: &Timeseries, group_by: &[&str]) -> Result<Table> {
    let mut table = Table::new();
    for row in &answer.rows {
        if row.numbers.received > 0 {
            let key = (named_bucket(&row.time_bucket, answer.granularity)?, named(&row.group, group_by));
            ensure!(table.insert(key.clone(), numbers(&row.numbers)).is_none(), "{key:?} comes twice");
        }
    }
    Ok(table)
}

/// The same from PostgreSQL: its own calendar, and minutes alone.
async fn oracle(
    stack: &Stack,
    zone: &str,
    unit: Option<&str>,
    group_by: &[&str],
    filter: &str,
    [start, end]: [&str; 2],
) -> Result<Table> {
    let bucket = match unit {
        // The hour that comes twice is two.
        Some("minute") => "bucket AT TIME ZONE 'UTC'".to_owned(),
        Some("hour") => format!(
            "date_trunc('hour', bucket AT TIME ZONE '{zone}') - ((bucket AT TIME ZONE '{zone}') - (bucket AT TIME ZONE 'UTC'))"
        ),
        // By its date: where midnight comes twice, PostgreSQL names the second one.
        Some(unit) => format!("date_trunc('{unit}', bucket AT TIME ZONE '{zone}')"),
        None => "'2000-01-01'::timestamp".to_owned(),
    };
    let columns: Vec<_> = group_by
        .iter()
        .map(|name| match *name {
            "hour_of_day" => format!("extract(hour FROM bucket AT TIME ZONE '{zone}')::int::text"),
            "weekday" => format!("extract(isodow FROM bucket AT TIME ZONE '{zone}')::int::text"),
            name => name.to_owned(),
        })
        .collect();
    let group = if columns.is_empty() { "''".to_owned() } else { columns.join(" || '|' || ") };
    let sql = format!(
        "SELECT to_char({bucket}, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), {group}, \
                sum(valid + givt + sivt)::bigint, sum(valid)::bigint, sum(givt + sivt)::bigint, sum(duplicate)::bigint, \
                sum(valid + duplicate + givt + sivt + test + defective)::bigint \
           FROM click_minutes WHERE bucket >= '{start}' AND bucket < '{end}' AND {filter} GROUP BY 1, 2 \
         HAVING sum(valid + duplicate + givt + sivt + test + defective) > 0"
    );
    type Row = (String, String, i64, i64, i64, i64, i64);
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(stack.database()).await?;
    Ok(rows.into_iter().map(|(at, group, a, b, c, d, e)| ((at, group), [a, b, c, d, e])).collect())
}

fn sum(table: &Table) -> [i64; 5] {
    table.values().fold([0; 5], |sum, row| std::array::from_fn(|n| sum[n] + row[n]))
}

/// Compares everything that [`oracle`] can answer, and checks that totals are the same for every granularity.
async fn compare(stack: &Stack, server: &Server) -> Result<()> {
    let filters = [
        ("", "advertiser_id = 'adv_001'"),
        ("&country=DE,FR", "advertiser_id = 'adv_001' AND country IN ('DE', 'FR')"),
        (
            "&exclude_country=DE&device_type=mobile",
            "advertiser_id = 'adv_001' AND country <> 'DE' AND device_type = 'mobile'",
        ),
        ("&campaign_id=camp_002", "advertiser_id = 'adv_001' AND campaign_id = 'camp_002'"),
    ];
    let groups: [&[&str]; 7] = [
        &[],
        &["campaign_id"],
        &["country", "device_type"],
        &["ad_id", "weekday"],
        &["hour_of_day"],
        &["weekday", "hour_of_day"],
        &["campaign_id", "ad_id", "country"],
    ];
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Atlantic/Azores",
    ];
    let ranges = [
        ["2026-10-24T10:17:00Z", "2026-10-26T23:43:00Z"],
        ["2026-10-31T04:00:00Z", "2026-11-02T05:00:00Z"],
        ["2026-10-19T00:00:00Z", "2026-11-08T00:00:00Z"],
    ];
    let (mut n, mut compared) = (0_usize, 0);
    for zone in zones {
        for range in ranges {
            let is_long = range[0].starts_with("2026-10-19");
            for (granularity, unit) in
                [("hour", "hour"), ("day", "day"), ("week", "week"), ("month", "month"), ("minute", "minute")]
            {
                // Each with another group and filter, so that in the end all meet.
                n += 1;
                let (group_by, (query, filter)) = (groups[n % groups.len()], filters[n % filters.len()]);
                let is_by_hour = granularity == "hour" || group_by.contains(&"hour_of_day");
                if granularity == "minute" && group_by.len() > 1 {
                    continue;
                }
                if is_long
                    && (granularity == "minute"
                        || (is_by_hour && (zone.starts_with("Asia") || zone.contains("Lord"))))
                {
                    continue;
                }
                let [start, end] = range;
                let path = format!(
                    "timeseries?granularity={granularity}&time_zone={zone}&start_time={start}&end_time={end}&group_by={}{query}",
                    group_by.join(",")
                );
                let answer: Timeseries = get(server, &path).await?;
                let expected = oracle(stack, zone, Some(unit), group_by, filter, range).await?;
                let table = table(&answer, group_by)?;
                for (key, row) in &expected {
                    ensure!(table.get(key) == Some(row), "{path}: {key:?} {:?}, not {row:?}", table.get(key));
                }
                ensure!(table.len() == expected.len(), "{path}: {} rows", table.len());
                ensure!(numbers(&answer.totals) == sum(&expected), "{path}: {:?}", answer.totals);
                ensure!([utc(&answer.basis.start_time)?, utc(&answer.basis.end_time)?] == range, "{path}");

                let path = path
                    .replace("timeseries", "breakdown")
                    .replace(&format!("granularity={granularity}&"), "");
                if !group_by.is_empty() {
                    let answer: Breakdown = get(server, &path).await?;
                    let expected = oracle(stack, zone, None, group_by, filter, range).await?;
                    for row in answer.rows.iter().filter(|row| row.numbers.received > 0) {
                        let key = ("2000-01-01T00:00:00Z".to_owned(), named(&row.group, group_by));
                        ensure!(
                            expected.get(&key) == Some(&numbers(&row.numbers)),
                            "{path}: {key:?} {row:?}"
                        );
                    }
                    ensure!(numbers(&answer.totals) == sum(&expected), "{path}");
                    let clicks: Vec<_> = answer.rows.iter().map(|row| row.numbers.clicks).collect();
                    ensure!(clicks.is_sorted_by(|a, b| a >= b), "{path}: {clicks:?}");
                }
                compared += 1;
            }
        }
    }
    ensure!(compared > 60, "only {compared}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_to_postgresql_in_every_zone_granularity_and_group() -> Result<()> {
    let mut stack = Stack::new().await?;
    // The minutes are of fixed days.
    stack.set("CLICKWIRE_MINUTES_RETENTION_DAYS", "30000");
    let _server = stack.start_server().await?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    let viewer = stack.as_viewer("adv_001")?;
    compare(&stack, &viewer).await.context("nothing is stored")?;
    let aggregator = stack.start_aggregator().await?;
    crate::rollups::rolled_up(&stack).await?;
    compare(&stack, &viewer).await.context("hours and days are stored")?;

    let range = "start_time=2026-10-19T00:00:00Z&end_time=2026-11-08T00:00:00Z";
    let stored: Summary = get(&viewer, &format!("summary?{range}")).await?;
    assert_eq!(stored.basis.sources, [Source::Days]);
    let local: Timeseries =
        get(&viewer, &format!("timeseries?{range}&granularity=day&time_zone=Asia/Kolkata")).await?;
    assert_eq!(local.basis.sources, [Source::Hours, Source::Minutes]);
    assert_eq!(local.totals, stored.totals);
    assert!(local.rows[0].partial && local.rows[20].partial && !local.rows[1].partial);

    // The three best, and the others together.
    let best: Breakdown =
        get(&viewer, &format!("breakdown?{range}&group_by=ad_id,country&limit=3&order_by=-billable")).await?;
    let all: Breakdown =
        get(&viewer, &format!("breakdown?{range}&group_by=ad_id,country&order_by=-billable")).await?;
    assert_eq!((best.rows.len(), best.groups, all.rows.len()), (4, all.groups, all.groups));
    assert_eq!(best.rows[..3], all.rows[..3]);
    assert!(best.rows[3].group.other);
    let rest: i64 = all.rows[3..].iter().map(|row| row.numbers.clicks).sum();
    assert_eq!(best.rows[3].numbers.clicks, rest);
    let series: Timeseries = get(
        &viewer,
        &format!("timeseries?{range}&granularity=day&group_by=ad_id,country&limit=3&order_by=-billable"),
    )
    .await?;
    assert_eq!(series.rows.len(), 20 * 4);
    for (n, row) in best.rows.iter().enumerate() {
        let clicks: i64 = series.rows.iter().skip(n).step_by(4).map(|row| row.numbers.clicks).sum();
        assert_eq!(clicks, row.numbers.clicks, "{row:?}");
        assert_eq!(series.rows[n].group, row.group);
    }
    let ascending: Breakdown =
        get(&viewer, &format!("breakdown?{range}&group_by=weekday&order_by=weekday")).await?;
    assert_eq!(
        ascending.rows.iter().filter_map(|row| row.group.weekday).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6, 7]
    );

    // A week with the one before.
    let week = "start_time=2026-11-01T23:00:00Z&end_time=2026-11-07T23:00:00Z&time_zone=Europe/Berlin";
    let before: Summary = get(
        &viewer,
        "summary?start_time=2026-10-26T23:00:00Z&end_time=2026-11-01T23:00:00Z&time_zone=Europe/Berlin",
    )
    .await?;
    let series: Timeseries =
        get(&viewer, &format!("timeseries?{week}&granularity=day&compare=previous")).await?;
    let comparison = series.comparison.context("no comparison")?;
    assert_eq!((comparison.totals, comparison.rows.len()), (before.totals, 6));
    assert_eq!(comparison.start_time, before.basis.start_time);
    let groups: Breakdown =
        get(&viewer, &format!("breakdown?{week}&group_by=country&compare=previous&limit=1")).await?;
    let previous: i64 = groups.rows.iter().filter_map(|row| Some(row.previous?.clicks)).sum();
    assert_eq!(previous, before.totals.clicks);
    let year: Summary = get(&viewer, &format!("summary?{week}&compare=year")).await?;
    assert_eq!(year.comparison.context("no comparison")?.totals, Numbers::default());

    // Of an hour that has changed since it was stored the minutes are read: what is stored says too much.
    aggregator.kill().await?;
    for sql in [
        "UPDATE hour_counts SET valid = valid + 1",
        "UPDATE day_counts SET valid = valid + 1",
        "UPDATE minute_counts_by_campaign SET valid = valid + 1",
        "UPDATE minute_counts_by_advertiser SET valid = valid + 1",
        "INSERT INTO stale_hours SELECT DISTINCT advertiser_id, bucket, date_trunc('day', bucket, 'UTC') FROM hour_counts",
    ] {
        sqlx::query(sql).execute(stack.database()).await?;
    }
    compare(&stack, &viewer).await.context("every hour is stale")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_knows_systems_browsers_users_and_the_past() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    for (advertiser, campaign, agent, user, times) in [
        ("adv_001", "camp_001", FIREFOX, "anna", 3),
        ("adv_001", "camp_001", SAFARI, "bert", 1),
        ("adv_001", "camp_002", SAFARI, "carl", 2),
        (
            "adv_001",
            "camp_002",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "dora",
            1,
        ),
        ("adv_002", "camp_005", FIREFOX, "anna", 4),
    ] {
        for n in 0..times {
            let body = json!({"advertiser_id": advertiser, "campaign_id": campaign, "ad_id": format!("ad_{n}"),
                "user_agent": agent, "user_id": user, "country": "DE"});
            poster.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        }
    }
    eventually("all clicks are counted", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == 11).then_some(())
    })
    .await?;
    let viewer = stack.as_viewer("adv_001")?;
    let browsers: Breakdown = get(
        &viewer,
        "breakdown?group_by=browser,os&unique_users=true&order_by=-unique_users&exclude_browser=unknown",
    )
    .await?;
    let rows: Vec<_> = browsers
        .rows
        .iter()
        .map(|row| (row.group.browser.as_deref(), row.numbers.clicks, row.numbers.unique_users))
        .collect();
    assert_eq!(rows[..2], [(Some("Safari"), 3, Some(2)), (Some("Firefox"), 3, Some(1))]);
    assert_eq!(browsers.basis.sources, [Source::Ledger]);
    let phones: Timeseries =
        get(&viewer, "timeseries?os=iPhone&granularity=hour&group_by=campaign_id&limit=1").await?;
    assert_eq!((phones.totals.clicks, phones.rows.len()), (3, 24 * 2));

    // By country sketches can't tell users apart; so few clicks are looked at one by one.
    let countries: Breakdown = get(&viewer, "breakdown?group_by=country&unique_users=true").await?;
    assert_eq!(countries.rows[0].numbers.unique_users, Some(4));
    let campaigns: Breakdown =
        get(&viewer, "breakdown?group_by=campaign_id&unique_users=true&limit=1").await?;
    assert_eq!(campaigns.totals.unique_users, Some(4));
    let users: Vec<_> = campaigns.rows.iter().map(|row| row.numbers.unique_users).collect();
    assert_eq!(users, [Some(2), Some(2)]);

    // A click that is released is fraud in what was known before.
    let before: Summary = get(&viewer, "summary").await?;
    assert_eq!((before.totals.fraud_count, before.totals.billable), (1, 6));
    let as_of = OffsetDateTime::now_utc().format(&Rfc3339)?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let click_id: String = sqlx::query_scalar("SELECT click_id::text FROM clicks WHERE disposition = 'givt'")
        .fetch_one(stack.database())
        .await?;
    let admin = stack.as_admin()?;
    let body = json!({"reason": "a person after all"}).to_string().into_bytes();
    let (status, answer) =
        admin.connection().post(&format!("/api/v1/admin/clicks/{click_id}/release"), body).await?;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let now: Summary = get(&viewer, "summary").await?;
    assert_eq!((now.totals.fraud_count, now.totals.billable), (0, 7));
    let then: Summary = get(&viewer, &format!("summary?as_of={as_of}")).await?;
    assert_eq!(then.totals, before.totals);
    let nothing: Summary = get(&viewer, "summary?as_of=2020-01-01T00:00:00Z").await?;
    assert_eq!(nothing.totals, Numbers::default());
    let all: Summary = get(&admin, "summary?unique_users=true").await?;
    assert_eq!((all.totals.received, all.totals.unique_users), (11, Some(4)));
    // Sketches and the ledger tell users of advertisers apart.
    for by in ["advertiser_id", "advertiser_id,campaign_id", "advertiser_id,country"] {
        let path = format!("breakdown?group_by={by}&unique_users=true&order_by=advertiser_id");
        let answer: Breakdown = get(&admin, &path).await?;
        let last = answer.rows.last().context("no rows")?;
        assert_eq!(last.group.advertiser_id.as_deref(), Some("adv_002"), "{path}");
        assert_eq!((last.numbers.unique_users, answer.totals.unique_users), (Some(1), Some(4)), "{path}");
        if by == "advertiser_id" {
            assert_eq!(answer.rows[0].numbers.unique_users, Some(4), "{path}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_gone_says_what_to_ask() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let viewer = stack.as_viewer("adv_001")?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         VALUES (date_trunc('minute', now()), 'adv_001', 'c', 'a', 'DE', 'tv', 3000000)",
    )
    .execute(stack.database())
    .await?;
    let day = "start_time=2026-10-24T00:00:00Z&end_time=2026-10-26T00:00:00Z";
    for (path, field) in [
        // Never in the ledger.
        (format!("breakdown?group_by=os&{day}"), "start_time"),
        (format!("summary?as_of=2026-10-25T00:00:00Z&{day}"), "start_time"),
        // Too many clicks to look at.
        ("breakdown?group_by=browser".to_owned(), "start_time"),
        ("timeseries?granularity=minute&start_time=2020-01-01T00:00:00Z".to_owned(), "start_time"),
        (
            "timeseries?granularity=hour&time_zone=Asia/Kolkata&start_time=2026-10-19T00:00:00Z&end_time=2026-11-08T00:00:00Z"
                .to_owned(),
            "start_time",
        ),
        ("summary?time_zone=Mars/Olympus".to_owned(), "time_zone"),
    ] {
        let (status, body) = refused(&viewer, &path).await?;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body["error"]["fieldErrors"][field].is_array(), "{path}: {body}");
    }
    let (status, _) = refused(&viewer, "summary?advertiser_id=adv_002").await?;
    assert_eq!(status, 403);
    for path in [
        "summary?start_time=0000-01-01T00:00:00Z&end_time=9999-12-31T23:59:59Z",
        "summary?start_time=2040-01-01T00:00:00Z&end_time=2041-01-01T00:00:00Z",
    ] {
        let _: Summary = get(&viewer, path).await?;
    }
    Ok(())
}
