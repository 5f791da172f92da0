//! Reports by advertiser: rows add up to the total, from whichever tables they are read; only callers that see all
//! advertisers get more than one.

use super::*;

/// Three weeks, of which hours and days are stored.
const RANGE: &str = "start_time=2026-10-19T00:00:00Z&end_time=2026-11-08T00:00:00Z";

/// Questions of [`RANGE`] with what each is grouped by.
const GROUPS: [&[&str]; 6] = [
    &["advertiser_id"],
    &["advertiser_id", "campaign_id"],
    &["campaign_id", "advertiser_id"],
    &["country", "advertiser_id"],
    &["advertiser_id", "ad_id", "weekday"],
    &["hour_of_day", "advertiser_id"],
];

/// Breakdowns and time series of all advertisers equal PostgreSQL's.
async fn compare_all(stack: &Stack, operator: &Server) -> Result<()> {
    let range = ["2026-10-19T00:00:00Z", "2026-11-08T00:00:00Z"];
    for group_by in GROUPS {
        let names = group_by.join(",");
        let answer: Breakdown = get(operator, &format!("breakdown?{RANGE}&group_by={names}")).await?;
        let expected = oracle(stack, "UTC", None, group_by, "true", range).await?;
        let rows: Vec<_> = answer.rows.iter().filter(|row| row.numbers.received > 0).collect();
        ensure!(rows.len() == expected.len(), "{names}: {} rows", rows.len());
        for row in rows {
            let key = ("2000-01-01T00:00:00Z".to_owned(), named(&row.group, group_by));
            ensure!(expected.get(&key) == Some(&numbers(&row.numbers)), "{names}: {key:?} {row:?}");
        }
        ensure!(numbers(&answer.totals) == sum(&expected), "{names}: {:?}", answer.totals);
    }
    // Days, hours, and minutes of two days, in zones of whole and of broken hours.
    let short = ["2026-10-24T05:30:00Z", "2026-10-26T18:00:00Z"];
    for (width, zone, [start, end]) in [
        ("day", "UTC", range),
        ("hour", "Europe/Berlin", range),
        ("minute", "UTC", short),
        ("hour", "Asia/Kolkata", short),
    ] {
        let path = format!(
            "timeseries?start_time={start}&end_time={end}&granularity={width}&time_zone={zone}&group_by=advertiser_id"
        );
        let answer: Timeseries = get(operator, &path).await?;
        let expected = oracle(stack, zone, Some(width), &["advertiser_id"], "true", [start, end]).await?;
        ensure!(table(&answer, &["advertiser_id"])? == expected, "{path}");
        ensure!(numbers(&answer.totals) == sum(&expected), "{path}: {:?}", answer.totals);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn advertisers_add_up_to_the_total_from_every_table() -> Result<()> {
    let mut stack = Stack::new().await?;
    // The minutes are of fixed days.
    stack.set("CLICKWIRE_MINUTES_RETENTION_DAYS", "30000");
    let _server = stack.start_server().await?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    let operator = stack.as_admin()?;
    compare_all(&stack, &operator).await.context("nothing is stored")?;
    let _aggregator = stack.start_aggregator().await?;
    crate::rollups::rolled_up(&stack).await?;
    compare_all(&stack, &operator).await.context("hours and days are stored")?;

    let all: Breakdown =
        get(&operator, &format!("breakdown?{RANGE}&group_by=advertiser_id&order_by=advertiser_id")).await?;
    let ids: Vec<_> = all.rows.iter().filter_map(|row| row.group.advertiser_id.as_deref()).collect();
    assert_eq!((ids, &*all.basis.sources), (vec!["adv_001", "adv_002"], &[Source::Days][..]));
    // The best, and the others together, beside the period before.
    let week = "start_time=2026-11-01T00:00:00Z&end_time=2026-11-08T00:00:00Z";
    let best: Breakdown =
        get(&operator, &format!("breakdown?{week}&group_by=advertiser_id&limit=1&compare=previous")).await?;
    assert_eq!((best.rows.len(), best.groups, best.rows[1].group.other), (2, 2, true));
    let before = best.comparison.context("no comparison")?.totals;
    let previous: i64 = best.rows.iter().filter_map(|row| Some(row.previous?.clicks)).sum();
    assert_eq!(previous, before.clicks);
    let clicks: i64 = best.rows.iter().map(|row| row.numbers.clicks).sum();
    assert_eq!(clicks, best.totals.clicks);
    let series: Timeseries =
        get(&operator, &format!("timeseries?{week}&granularity=day&group_by=advertiser_id&limit=1")).await?;
    assert_eq!(series.rows.len(), 7 * 2);

    // A file has the same rows.
    let path = format!("/api/v1/exports/breakdown?{RANGE}&group_by=advertiser_id&order_by=advertiser_id");
    let (status, file) = operator.connection().get(&path).await?;
    let file = String::from_utf8(file.to_vec())?;
    assert_eq!(status, 200, "{file}");
    let lines: Vec<_> = file.lines().collect();
    assert!(lines[0].starts_with("advertiser_id,clicks,"), "{file}");
    assert_eq!(lines.len(), 3, "{file}");
    assert!(lines[1].starts_with(&format!("adv_001,{},", all.rows[0].numbers.clicks)), "{file}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_about_one_advertiser_has_one_group() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    sqlx::query(MINUTES).execute(stack.database()).await?;
    let path = format!("breakdown?{RANGE}&group_by=advertiser_id");
    let (operator, viewer) = (stack.as_admin()?, stack.as_viewer("adv_001")?);
    for (server, path) in [
        (&viewer, path.clone()),
        (&viewer, format!("{path}&advertiser_id=adv_001")),
        (&operator, format!("{path}&advertiser_id=adv_001")),
    ] {
        let answer: Breakdown = get(server, &path).await?;
        let ids: Vec<_> = answer.rows.iter().filter_map(|row| row.group.advertiser_id.as_deref()).collect();
        assert_eq!(ids, ["adv_001"], "{path}");
    }
    let (status, _) = refused(&viewer, &format!("{path}&advertiser_id=adv_002")).await?;
    assert_eq!(status, 403);
    // It is no filter.
    let (status, body) = refused(&operator, &format!("{path}&exclude_advertiser_id=adv_001")).await?;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["fieldErrors"]["exclude_advertiser_id"].is_array(), "{body}");
    Ok(())
}
