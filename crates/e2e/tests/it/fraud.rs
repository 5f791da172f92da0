//! A verdict is a function of the set of clicks: however they come, it is what a naive recount says.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::{
    Buckets, Stack, eventually,
    naive::{self, Evidence, Name},
};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::{Click, IdFault},
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use uuid::Uuid;

pub(super) const PERSON: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0";

/// Clicks of ten minutes: few users on few ads, so that repeats are frequent; an address and a user
/// who click in bursts; robots; times that collide; several advertisers' keys that name the same.
fn clicks(random: &mut StdRng) -> Vec<Click> {
    let now = now_ms();
    let mut clicks = Vec::new();
    let mut click =
        |at_ms: i64, user: Option<u32>, ad: u32, address: u32, bound: f64, random: &mut StdRng| {
            clicks.push(Click {
                click_id: Uuid::from_u128(random.random()),
                advertiser_id: AdvertiserId::unchecked(format!("adv_{:03}", ad % 3 + 1)),
                dimensions: Dimensions {
                    campaign_id: CampaignId::unchecked(format!("camp_{:03}", ad % 8 + 1)),
                    ad_id: AdId::unchecked(format!("ad_{ad:03}")),
                    country: "DE".into(),
                    device_type: DeviceType::Mobile,
                },
                user_id: user.map(|user| format!("user_{user}")),
                clicked_at_ms: UnixMs(at_ms),
                received_at_ms: UnixMs(now),
                user_agent: if random.random_bool(0.05) { String::new() } else { PERSON.into() },
                ip_hash: Some(format!("{address:032x}")),
                os: None,
                browser: None,
                own_agent: false,
                data_center: random.random_bool(0.01),
                test: random.random_bool(0.02),
                bound: random.random_bool(bound),
                prefetch: random.random_bool(0.01),
                id_fault: match random.random_range(0..100) {
                    0..3 => Some(IdFault::Forged),
                    3..5 => Some(IdFault::Expired),
                    _ => None,
                },
                params: Default::default(),
                referrer: None,
            });
        };
    let start = now - 600_000;
    for _ in 0..1_500 {
        // Whole seconds now and then, so that clicks share a millisecond.
        let at = start + random.random_range(0..600) * 1_000 + random.random_range(0..3) * 333;
        let user = random.random_bool(0.9).then(|| random.random_range(0..150));
        let (ad, address) = (random.random_range(0..12), random.random_range(0..200));
        click(at, user, ad, address, 0.4, random);
    }
    // Around the thresholds of 100 by address and 50 by user, some spread so far that only part is
    // too fast.
    for (number, spread_ms, bound) in [
        (95, 50_000, 0.0),
        (101, 59_000, 0.0),
        (130, 60_500, 0.0),
        (260, 120_000, 0.1),
        (140, 70_000, 0.2),
        // By what is vouched for and their own, none of the three advertisers' clicks, some, or all are too fast.
        (120, 50_000, 0.5),
        (160, 55_000, 0.5),
        (330, 59_000, 1.0),
    ] {
        let (address, begin) = (random.random_range(1_000..9_000), start + random.random_range(0..400_000));
        for _ in 0..number {
            let (at, ad) = (begin + random.random_range(0..spread_ms), random.random_range(0..12));
            click(at, None, ad, address, bound, random);
        }
    }
    for (number, spread_ms) in [(49, 50_000), (51, 40_000), (70, 80_000)] {
        let (user, begin) = (random.random_range(1_000..9_000), start + random.random_range(0..400_000));
        for _ in 0..number {
            let (at, ad) = (begin + random.random_range(0..spread_ms), random.random_range(0..40));
            let address = random.random_range(10_000..90_000);
            click(at, Some(user), ad, address, 0.4, random);
        }
    }
    // What other advertisers' keys post about the same ids, users, ads and addresses.
    let named: Vec<Click> = clicks.iter().filter(|_| random.random_bool(0.3)).cloned().collect();
    for mut click in named {
        let others =
            ["adv_001", "adv_002", "adv_003"].into_iter().filter(|of| *of != click.advertiser_id.as_str());
        click.advertiser_id = AdvertiserId::unchecked(others.collect::<Vec<_>>()[random.random_range(0..2)]);
        click.clicked_at_ms = click.clicked_at_ms + random.random_range(-2_000..2_000_i64);
        click.bound = random.random_bool(0.8);
        if random.random_bool(0.5) {
            click.click_id = Uuid::from_u128(random.random());
        }
        clicks.push(click);
    }
    clicks
}

/// Returns the disposition that each click must have.
fn recount(clicks: &[Click]) -> BTreeMap<Name, &'static str> {
    let evidence = |click: &Click| Evidence {
        click_id: click.click_id,
        advertiser_id: click.advertiser_id.to_string(),
        is_bound: click.bound,
        clicked_at_ms: click.clicked_at_ms.0,
        is_test: click.test,
        is_late: click.id_fault == Some(IdFault::Expired),
        is_robot: click.user_agent.is_empty() || click.data_center || click.prefetch,
        is_forged: click.id_fault == Some(IdFault::Forged),
        user_id: click.user_id.clone(),
        ad_id: click.dimensions.ad_id.to_string(),
        address: click.ip_hash.clone(),
    };
    let clicks: Vec<Evidence> = clicks.iter().map(evidence).collect();
    naive::judge(&clicks).into_iter().map(|(name, disposition)| (name, disposition.as_str())).collect()
}

/// Dispositions by click; checks on the way that buckets and adjustments tell the same story.
async fn judged(stack: &Stack, clicks: usize) -> Result<BTreeMap<Name, String>> {
    eventually("every click is in the ledger", Duration::from_secs(120), async || {
        (stack.ledger().await.ok()? == clicks as i64).then_some(())
    })
    .await?;
    assert_eq!(stack.received(Buckets::Minutes).await?, clicks as i64);
    let differences: i64 = sqlx::query_scalar(
        "WITH recount AS (SELECT date_trunc('minute', clicked_at) AS bucket, advertiser_id, campaign_id, ad_id, country, \
             device_type, count(*) FILTER (WHERE disposition = 'valid') AS valid, \
             count(*) FILTER (WHERE disposition = 'duplicate') AS duplicate, \
             count(*) FILTER (WHERE disposition = 'givt') AS givt, count(*) FILTER (WHERE disposition = 'sivt') AS sivt, \
             count(*) FILTER (WHERE disposition = 'test') AS test, \
             count(*) FILTER (WHERE disposition = 'defective') AS defective FROM clicks GROUP BY 1, 2, 3, 4, 5, 6), \
           buckets AS (SELECT bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid, duplicate, givt, \
             sivt, test, defective FROM click_minutes) \
         SELECT count(*) FROM ((TABLE recount EXCEPT ALL TABLE buckets) UNION ALL (TABLE buckets EXCEPT ALL TABLE recount)) d",
    )
    .fetch_one(stack.database())
    .await?;
    ensure!(differences == 0, "{differences} buckets are not what the ledger adds up to");
    let unexplained: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT DISTINCT ON (click_id, clicked_at, advertiser_id) * FROM adjustments \
             ORDER BY click_id, clicked_at, advertiser_id, adjustment_id DESC) a \
         JOIN clicks c USING (click_id, clicked_at, advertiser_id) WHERE c.disposition <> a.to_disposition OR c.rule IS DISTINCT FROM a.rule",
    )
    .fetch_one(stack.database())
    .await?;
    ensure!(unexplained == 0, "{unexplained} clicks are not what their last adjustment says");
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT click_id, advertiser_id, disposition::text FROM clicks")
            .fetch_all(stack.database())
            .await?;
    Ok(rows.into_iter().map(|(id, of, disposition)| ((id, of), disposition)).collect())
}

async fn adjustments(stack: &Stack) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM adjustments").fetch_one(stack.database()).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_are_a_naive_recounts_in_whatever_order_batches_and_number_of_aggregators() -> Result<()> {
    let mut random = StdRng::seed_from_u64(11);
    let mut clicks = clicks(&mut random);
    let expected = recount(&clicks);
    for (disposition, least) in
        [("valid", 500), ("duplicate", 50), ("givt", 50), ("sivt", 400), ("test", 20), ("defective", 20)]
    {
        let clicks = expected.values().filter(|of| **of == disposition).count();
        assert!(clicks >= least, "{clicks} {disposition}: the test must try every rule");
    }
    // In the order of time, in reverse, and twice at random.
    for (round, batch_max) in ["50", "400", "17", "5000"].into_iter().enumerate() {
        match round {
            0 => clicks.sort_by_key(|click| click.clicked_at_ms),
            1 => clicks.reverse(),
            _ => clicks.shuffle(&mut random),
        }
        let mut stack = Stack::new().await?;
        stack.set("CLICKWIRE_BATCH_MAX", batch_max);
        stack.set("CLICKWIRE_LINGER_MS", "5");
        stack.set("CLICKWIRE_ACK_WAIT_SECONDS", "2");
        let mut aggregators = vec![stack.start_aggregator().await?];
        let (first, second) = clicks.split_at(clicks.len() / 2);
        stack.publish(first).await?;
        aggregators.push(stack.start_aggregator().await?);
        aggregators.remove(0).kill().await?;
        aggregators.push(stack.start_aggregator().await?);
        stack.publish(second).await?;

        let judged = judged(&stack, clicks.len()).await?;
        let wrong: Vec<String> = expected
            .iter()
            .filter(|(name, disposition)| judged.get(name).is_none_or(|judged| judged != *disposition))
            .map(|(name, disposition)| format!("{name:?}: {:?}, not {disposition}", judged.get(name)))
            .collect();
        ensure!(
            wrong.is_empty(),
            "round {round}: {} wrong, such as {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        if batch_max != "5000" {
            assert!(adjustments(&stack).await? > 0, "round {round}: the start of a burst was counted first");
        }
    }
    Ok(())
}

/// Clicks that were counted and shown as valid are corrected on screens, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_of_a_burst_is_corrected_on_screens_and_adjustments_stay() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut dashboard = clickwire_client::Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    let mut random = StdRng::seed_from_u64(5);
    let mut template = clicks(&mut random).into_iter().find(|click| !click.test).context("no click")?;
    template.advertiser_id = AdvertiserId::unchecked("adv_001");
    template.user_agent = PERSON.into();
    template.data_center = false;
    template.prefetch = false;
    template.id_fault = None;
    template.bound = false;
    template.user_id = None;
    let burst: Vec<Click> = (0..150_i64)
        .map(|number| {
            let click_id = Uuid::from_u128(random.random());
            Click { click_id, clicked_at_ms: template.received_at_ms - 100 * number, ..template.clone() }
        })
        .collect();
    let (start, rest) = burst.split_at(100);
    for (clicks, valid, sivt) in [(start, 100, 0), (rest, 0, 150)] {
        stack.publish(clicks).await?;
        let shown = tokio::time::timeout(Duration::from_secs(10), async {
            loop {
                dashboard.update().await?;
                let total = dashboard.state().total();
                if (total.valid, total.sivt) == (valid, sivt) {
                    return anyhow::Ok(());
                }
            }
        })
        .await;
        shown.with_context(|| format!("shown: {:?}", dashboard.state().total()))??;
    }
    assert_eq!(adjustments(&stack).await?, 100);
    for change in ["UPDATE adjustments SET reason = ''", "DELETE FROM adjustments", "TRUNCATE adjustments"] {
        let refused = sqlx::query(change).execute(stack.database()).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("append-only")), "{change}");
    }
    Ok(())
}

/// Two batches that wait for their turn to judge have asked about their clicks already: what the first
/// brings, the second learns of when its turn comes. `forgotten` is what nobody remembers by then.
async fn a_crowd_that_no_batch_sees_alone(forgotten: usize) -> Result<()> {
    const EACH: usize = 60;
    let mut stack = Stack::new().await?;
    stack.set("CLICKWIRE_BATCH_MAX", &EACH.to_string());
    stack.set("CLICKWIRE_LINGER_MS", "200");
    let first = stack.start_aggregator().await?;
    stack.has_chunks().await?;
    first.kill().await?;
    let now = now_ms();
    let click = |(number, id)| Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked("ad_001"),
            country: "DE".into(),
            device_type: DeviceType::Mobile,
        },
        clicked_at_ms: UnixMs(now - number),
        received_at_ms: UnixMs(now),
        user_agent: PERSON.into(),
        ip_hash: Some(format!("{:032x}", 7)),
        ..Click::bare(id)
    };
    let turn = stack.names().deployment_lock();
    let mut judging = stack.database().begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
        .bind(turn.deployment)
        .bind(turn.work)
        .execute(&mut *judging)
        .await?;

    let batches = if forgotten == 0 { 2 } else { 1 };
    for partition in 0..batches {
        let clicks = (0..).zip(Stack::ids_in(partition)).take(EACH).map(click);
        stack.publish(&clicks.collect::<Vec<_>>()).await?;
    }
    let _aggregator = stack.start_aggregator().await?;
    eventually("all batches wait for their turn", Duration::from_secs(20), async || {
        let waiting = "SELECT count(*) FROM pg_locks AS turn JOIN pg_locks AS partition USING (database, pid) \
                        WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                          AND turn.locktype = 'advisory' AND NOT turn.granted \
                          AND partition.locktype = 'advisory' AND partition.granted";
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(stack.database()).await.ok()?;
        (waiting == i64::from(batches)).then_some(())
    })
    .await?;
    if forgotten > 0 {
        let insert = "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, \
                        device_type, ip_hash, disposition, stream_seq) \
                      SELECT gen_random_uuid(), to_timestamp($1 / 1000.0), now(), 'adv_001', 'camp_001', 'ad_002', 'DE', \
                             'mobile', decode(lpad('7', 32, '0'), 'hex'), 'valid', n FROM generate_series(1, $2) AS n";
        sqlx::query(insert).bind(now).bind(forgotten as i64).execute(&mut *judging).await?;
        let later = "INSERT INTO judged (number, subjects) VALUES (1000, '')";
        sqlx::query(later).execute(&mut *judging).await?;
    }
    judging.commit().await?;

    let expected = (usize::from(batches) * EACH + forgotten) as i64;
    eventually("the whole crowd is convicted", Duration::from_secs(20), async || {
        let convicted = "SELECT count(*) FROM clicks WHERE disposition = 'sivt' AND rule = 'ip_velocity'";
        let convicted: i64 = sqlx::query_scalar(convicted).fetch_one(stack.database()).await.ok()?;
        (convicted == expected).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_seen_by_whoever_is_judged_last() -> Result<()> {
    a_crowd_that_no_batch_sees_alone(0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_seen_after_more_batches_than_are_remembered() -> Result<()> {
    a_crowd_that_no_batch_sees_alone(60).await
}
