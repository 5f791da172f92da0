//! Buckets against the ledger: whatever was done to them is found, shown, and mended on screens, too.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_client::Watch;
use clickwire_e2e::{Buckets, Stack, eventually};
use clickwire_load::traffic;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

const DIFFERENCES: &str = "clickwire_reconcile_differences";
const CORRECTIONS: &str = "clickwire_corrections_total";

/// Returns a time so long ago that its minute is final, and still in the hour that schedule and view cover.
fn ten_minutes_ago() -> OffsetDateTime {
    OffsetDateTime::now_utc() - time::Duration::minutes(10)
}

/// Counts `(ad, clicks)` of one campaign ten minutes ago.
async fn count(stack: &Stack, ads: &[(&str, i64)]) -> Result<()> {
    chunks_are_made_ahead(stack).await?;
    let mut poster = stack.poster()?;
    let clicked_at = ten_minutes_ago().format(&Rfc3339)?;
    for &(ad_id, clicks) in ads {
        for _ in 0..clicks {
            let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad_id,
                "clicked_at": clicked_at, "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0"});
            poster.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        }
    }
    let expected: i64 = ads.iter().map(|(_, clicks)| clicks).sum();
    eventually("all clicks are counted", Duration::from_secs(20), async || {
        (stack.ledger().await.ok()? == expected).then_some(())
    })
    .await
}

/// Waits until the last hour has its chunks: in the first hour of a day it begins in those of the day before.
async fn chunks_are_made_ahead(stack: &Stack) -> Result<()> {
    eventually("chunks are made ahead", Duration::from_secs(20), async || {
        let begun = sqlx::query_scalar::<_, bool>(
            "SELECT count(DISTINCT hypertable_name) = 2 FROM timescaledb_information.chunks \
              WHERE hypertable_name IN ('clicks', 'click_minutes') AND range_start <= now() - INTERVAL '1 hour'",
        );
        begun.fetch_one(stack.database()).await.ok()?.then_some(())
    })
    .await
}

/// One bucket says too much, one is gone, one was invented; all at once, for a run on schedule may come
/// at any time.
async fn corrupt(stack: &Stack) -> Result<()> {
    let mut transaction = stack.database().begin().await?;
    for sql in [
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         SELECT bucket, advertiser_id, campaign_id, 'ad_invented', country, device_type, 7 FROM click_minutes LIMIT 1",
        "UPDATE click_minutes SET valid = valid + 40 WHERE ad_id = 'ad_001'",
        "DELETE FROM click_minutes WHERE ad_id = 'ad_002'",
    ] {
        let rows = sqlx::query(sql).execute(&mut *transaction).await?.rows_affected();
        assert_eq!(rows, 1, "{sql}");
    }
    transaction.commit().await?;
    Ok(())
}

/// Runs the command over the last hour; its exit code and what it printed.
async fn reconcile(stack: &Stack, repair: bool) -> Result<(i32, String)> {
    let now = OffsetDateTime::now_utc();
    let from = (now - time::Duration::HOUR).format(&Rfc3339)?;
    let to = (now + time::Duration::HOUR).format(&Rfc3339)?;
    let mut arguments = vec!["reconcile", "--from", &from, "--to", &to];
    arguments.extend(repair.then_some("--repair"));
    let output = stack.command(&arguments).await?;
    let printed =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.code().context("ended by a signal")?, printed))
}

async fn shows(dashboard: &mut Watch, valid: i64) -> Result<()> {
    let shown = tokio::time::timeout(Duration::from_secs(10), async {
        while dashboard.state().total().valid != valid {
            dashboard.update().await?;
        }
        anyhow::Ok(())
    })
    .await;
    shown.with_context(|| format!("{:?} is shown, not {valid}", dashboard.state().total()))?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_a_missing_and_an_invented_bucket_are_found_and_mended_on_screens() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_RECONCILE_SECONDS", "1");
    // It would report what this test has corrupted.
    stack.set("CLICKWIRE_LOG", "off");
    let _server = stack.start_server().await?;
    let aggregator = stack.start_aggregator().await?;
    // The command says what is wrong.
    stack.set("CLICKWIRE_LOG", "error");
    count(&stack, &[("ad_001", 5), ("ad_002", 3), ("ad_003", 2)]).await?;
    assert_eq!(reconcile(&stack, false).await?.0, 0);
    corrupt(&stack).await?;
    let mut dashboard = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut dashboard, 5 + 40 + 2 + 7).await?;
    eventually("the schedule finds three differences", Duration::from_secs(30), async || {
        (aggregator.metric(DIFFERENCES).await.ok()? == 3.0).then_some(())
    })
    .await?;

    let (code, printed) = reconcile(&stack, false).await?;
    assert_eq!(code, 1, "{printed}");
    for (ad, stands, ledger) in [
        ("ad_001", "45/0/0/0/0/0", "5/0/0/0/0/0"),
        ("ad_002", "none", "3/0/0/0/0/0"),
        ("ad_invented", "7/0/0/0/0/0", "0/0/0/0/0/0"),
    ] {
        let shown =
            |line: &str| [ad, stands, ledger].iter().all(|part| line.split(' ').any(|word| word == *part));
        assert!(printed.lines().any(shown), "{ad}: {printed}");
    }
    assert!(printed.contains("3 differences, 0 repaired, 3 left"), "{printed}");

    let (code, printed) = reconcile(&stack, true).await?;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("3 differences, 3 repaired, 0 left"), "{printed}");
    shows(&mut dashboard, 10).await?;
    for table in [Buckets::Minutes, Buckets::Hours, Buckets::Days] {
        assert_eq!(stack.received(table).await?, 10, "{table:?}");
    }
    let (code, printed) = reconcile(&stack, false).await?;
    assert_eq!(code, 0, "{printed}");
    eventually("the schedule finds nothing any more", Duration::from_secs(10), async || {
        (aggregator.metric(DIFFERENCES).await.ok()? == 0.0).then_some(())
    })
    .await?;
    // A mended bucket goes on counting, and screens believe it.
    count_more(&stack, "ad_002", 11).await?;
    shows(&mut dashboard, 11).await?;
    assert_stats(&stack).await?;
    refuses_what_the_ledger_no_longer_holds(&stack).await
}

async fn count_more(stack: &Stack, ad_id: &str, ledger: i64) -> Result<()> {
    let body = json!({"advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad_id,
        "clicked_at": ten_minutes_ago().format(&Rfc3339)?, "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/144.0"});
    stack.poster()?.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
    eventually("it is counted", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == ledger).then_some(())
    })
    .await
}

async fn assert_stats(stack: &Stack) -> Result<()> {
    let path = "/api/v1/admin/stats";
    let (status, body) = stack.as_admin()?.connection().get(path).await?;
    let stats: Value = serde_json::from_slice(&body)?;
    assert_eq!(status, 200, "{stats}");
    assert_eq!(stats["reconciliation"]["differences"], 0, "{stats}");
    assert!(stats["today"]["received"].is_i64() && stats["watermark_lag_ms"].is_i64(), "{stats}");
    let (status, _) = stack.as_viewer("adv_001")?.connection().get(path).await?;
    assert_eq!(status, 403);
    Ok(())
}

async fn refuses_what_the_ledger_no_longer_holds(stack: &Stack) -> Result<()> {
    let arguments =
        ["reconcile", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z", "--repair"];
    let output = stack.command(&arguments).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing to recount from"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schedule_mends_where_it_is_told_to() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_RECONCILE_SECONDS", "1");
    // It would report what this test has corrupted.
    stack.set("CLICKWIRE_LOG", "off");
    stack.set("CLICKWIRE_RECONCILE_REPAIR", "true");
    let _server = stack.start_server().await?;
    let aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    count(&stack, &[("ad_001", 5), ("ad_002", 3)]).await?;
    let corrections = async || -> Result<f64> {
        Ok(aggregators[0].metric(CORRECTIONS).await? + aggregators[1].metric(CORRECTIONS).await?)
    };
    let before = corrections().await?;
    corrupt(&stack).await?;
    eventually("the buckets are what the ledger says", Duration::from_secs(30), async || {
        let mended = stack.received(Buckets::Minutes).await.ok()? == 8;
        (mended && corrections().await.ok()? >= before + 3.0).then_some(())
    })
    .await?;
    let (runs, repaired): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE differences > 0), sum(repaired)::bigint FROM reconciliations",
    )
    .fetch_one(stack.database())
    .await?;
    assert_eq!((runs, repaired), (1, 3), "one of two aggregators does it");
    assert_eq!(reconcile(&stack, false).await?.0, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_while_clicks_pour_in_finds_nothing() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_BATCH_MAX", "40");
    let _server = stack.start_server().await?;
    let _aggregators = [stack.start_aggregator().await?, stack.start_aggregator().await?];
    chunks_are_made_ahead(&stack).await?;
    let pour = async {
        let mut poster = stack.poster()?;
        let mut random = StdRng::seed_from_u64(3);
        loop {
            let click = traffic::click(&mut random, 0.1);
            poster.post("/api/v1/clicks", click.to_string().into_bytes()).await?;
        }
    };
    let compare = async {
        for run in 0..20 {
            let before = stack.ledger().await?;
            let (code, printed) = reconcile(&stack, run % 4 == 0).await?;
            assert_eq!(code, 0, "run {run}: {printed}");
            assert!(printed.contains(" 0 differences"), "run {run}: {printed}");
            eventually("clicks are counted meanwhile", Duration::from_secs(10), async || {
                (stack.ledger().await.ok()? > before).then_some(())
            })
            .await?;
        }
        anyhow::Ok(())
    };
    let poured: Result<()> = tokio::select! { poured = pour => poured, compared = compare => compared };
    poured
}
