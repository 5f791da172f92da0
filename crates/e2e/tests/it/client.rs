//! The client does each thing that the API has for programs, against the real stack, and says what went wrong.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clickwire_client::{
    AggregateQuery, ClickQuery, Connection, Error, File, Format, Grouping, NewClick, ReportQuery, Server,
    Watch,
};
use clickwire_e2e::{Stack, eventually};
use clickwire_protocol::{
    alerts::{Kind, Which},
    analytics,
    answer::BatchResult,
    counts::Disposition,
    ids::{AdId, AdvertiserId, CampaignId},
    live::close,
    report::{Dimension, Granularity},
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::live::{SOON, counted, shows};

/// A person's click.
fn click(ad: &str) -> NewClick {
    NewClick {
        user_id: Some(format!("user-{}", Uuid::new_v4())),
        ip_address: "203.0.113.7".parse().ok(),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".to_owned()),
        country: Some("DE".to_owned()),
        ..NewClick::new(
            AdvertiserId::unchecked("adv_001"),
            CampaignId::unchecked("camp_001"),
            AdId::unchecked(ad),
        )
    }
}

/// The code of a refusal.
fn code<T: std::fmt::Debug>(answer: Result<T, Error>) -> Result<String> {
    match answer {
        Err(Error::Refused { status, code, .. }) => Ok(format!("{} {code}", status.as_u16())),
        other => bail!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_are_posted_asked_about_and_exported() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut poster = stack.poster()?;

    let first = click("ad_001");
    let accepted = poster.post_click(&first).await?;
    assert_eq!((Some(accepted.click_id), accepted.is_duplicate), (first.click_id, false));
    assert!(poster.post_click(&first).await?.is_duplicate);

    // Without an id the key is the name of the post.
    let unnamed = NewClick { click_id: None, ..click("ad_001") };
    let accepted = poster.post_click_under("a \"key\"", &unnamed).await;
    assert!(matches!(accepted, Err(Error::Unsendable(_))), "a key has no spaces: {accepted:?}");
    let accepted = poster.post_click_under("order-7", &unnamed).await?;
    assert_eq!(poster.post_click_under("order-7", &unnamed).await?.click_id, accepted.click_id);
    let other = code(poster.post_click_under("order-7", &click("ad_002")).await)?;
    assert!(other.starts_with("422 "), "{other}");

    let wrong = NewClick { ad_id: AdId::unchecked("not an id"), ..click("ad_002") };
    let answer = poster.post_batch(&[click("ad_002"), wrong, click("ad_003")]).await?;
    assert_eq!((answer.accepted, answer.rejected, answer.failed), (2, 1, 0));
    assert!(matches!(answer.results[1], BatchResult::Refused { .. }));
    counted(&stack, 4).await?;

    let mut viewer = stack.as_viewer("adv_001")?.connection();
    reports(&mut viewer).await?;
    searches(&mut viewer, &first).await?;
    exports(&stack.as_viewer("adv_001")?, &first).await
}

async fn reports(viewer: &mut Connection) -> Result<()> {
    let grouping = Grouping { group_by: vec![Dimension::AdId], ..Grouping::default() };
    let query = ReportQuery {
        time_zone: Some("Europe/Berlin".to_owned()),
        unique_users: true,
        ..ReportQuery::default()
    };
    let summary = viewer.summary(&query).await?;
    assert_eq!((summary.totals.received, summary.totals.unique_users), (4, Some(4)));
    assert_eq!(summary.basis.time_zone, "Europe/Berlin");

    let breakdown = viewer.breakdown(&query, &Grouping { limit: Some(1), ..grouping.clone() }).await?;
    let rows: Vec<_> =
        breakdown.rows.iter().map(|row| (row.group.ad_id.as_deref(), row.numbers.received)).collect();
    assert_eq!(rows, [(Some("ad_001"), 2), (None, 2)]);

    let owner = Grouping { group_by: vec![Dimension::AdvertiserId, Dimension::AdId], ..grouping.clone() };
    let breakdown = viewer.breakdown(&query, &owner).await?;
    assert!(breakdown.rows.iter().all(|row| row.group.advertiser_id.as_deref() == Some("adv_001")));

    let only = ReportQuery {
        filters: vec![(Dimension::AdId, vec!["ad_001".to_owned(), "ad_002".to_owned()])],
        exclusions: vec![(Dimension::AdId, vec!["ad_002".to_owned()])],
        ..ReportQuery::default()
    };
    let series = viewer.timeseries(&only, Some(Granularity::Day), &grouping).await?;
    assert_eq!((series.granularity, series.totals.received), (Granularity::Day, 2));

    let query = AggregateQuery {
        granularity: analytics::Granularity::Hour,
        filters: vec![(analytics::Dimension::AdId, "ad_003".to_owned())],
        group_by: vec![analytics::Dimension::Country],
        ..AggregateQuery::default()
    };
    let aggregate = viewer.aggregate(&query).await?;
    assert_eq!((aggregate.total_clicks, aggregate.data[0].country.as_deref()), (1, Some("DE")));
    Ok(())
}

async fn searches(viewer: &mut Connection, first: &NewClick) -> Result<()> {
    let by_id = ClickQuery { click_id: first.click_id, ..ClickQuery::default() };
    let found = viewer.clicks(&by_id, None).await?;
    assert_eq!((found.data.len(), &found.data[0].user_id, found.next), (1, &first.user_id, None));

    // The types say everything that the answer does, and nothing else.
    let path = format!("/api/v1/clicks?click_id={}", first.click_id.context("no id")?);
    let raw: Value = serde_json::from_slice(&viewer.get(&path).await?.1)?;
    assert_eq!(serde_json::to_value(&found.data)?, raw["data"]);

    let valid = ClickQuery {
        user_id: first.user_id.clone(),
        filters: vec![(Dimension::Browser, "Firefox".to_owned())],
        dispositions: vec![Disposition::Valid, Disposition::Givt],
        ..ClickQuery::default()
    };
    assert_eq!(viewer.clicks(&valid, None).await?.data, found.data);
    let nothing = ClickQuery { rule: Some("ip_velocity".to_owned()), ..ClickQuery::default() };
    assert!(viewer.clicks(&nothing, None).await?.data.is_empty());
    let refused = viewer.clicks(&nothing, Some("no cursor")).await;
    assert!(
        matches!(&refused, Err(Error::Invalid(wrong)) if wrong.field_errors.contains_key("after")),
        "{refused:?}"
    );
    Ok(())
}

async fn exports(viewer: &Server, first: &NewClick) -> Result<()> {
    let clicks = File::Clicks(ClickQuery { user_id: first.user_id.clone(), ..ClickQuery::default() });
    let export = viewer.export(&clicks, Format::Csv { bom: true }).await?;
    assert!(export.name().is_some_and(|name| name.ends_with(".csv")), "{:?}", export.name());
    let bytes =
        export.try_fold(Vec::new(), async |whole, piece| Ok([whole, piece.to_vec()].concat())).await?;
    let text = String::from_utf8(bytes)?;
    assert!(text.starts_with('\u{feff}') && text.lines().count() == 2, "{text}");
    assert!(text.contains(&first.click_id.context("no id")?.to_string()), "{text}");

    let grouping = Grouping { group_by: vec![Dimension::AdId], ..Grouping::default() };
    for (file, lines) in [
        (File::Breakdown(ReportQuery::default(), grouping.clone()), 3),
        (File::Timeseries(ReportQuery::default(), Some(Granularity::Month), Grouping::default()), 1),
    ] {
        let mut export = viewer.export(&file, Format::Ndjson).await?;
        let mut text = Vec::new();
        while let Some(piece) = export.next().await {
            text.extend(piece?);
        }
        assert!(String::from_utf8(text)?.lines().count() >= lines, "{file:?}");
    }
    let refused =
        viewer.export(&File::Breakdown(ReportQuery::default(), Grouping::default()), Format::Arrow).await;
    let Err(Error::Invalid(wrong)) = refused else { bail!("a breakdown of nothing was exported") };
    assert!(wrong.field_errors.contains_key("group_by"), "{wrong:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_say_what_is_wrong_and_whether_to_come_again() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;

    let wrong = NewClick { country: None, campaign_id: CampaignId::unchecked(""), ..click("not an id") };
    match stack.poster()?.post_click(&wrong).await {
        Err(Error::Invalid(rejection)) => {
            let fields: Vec<&str> = rejection.field_errors.keys().map(String::as_str).collect();
            assert_eq!(fields, ["ad_id", "campaign_id"]);
        }
        other => bail!("{other:?}"),
    }
    let mut stranger = stack.poster_with("nobody-has-this-key")?;
    assert_eq!(code(stranger.post_click(&click("ad_001")).await)?, "401 unauthorized");
    let elsewhere =
        ReportQuery { advertiser_id: Some(AdvertiserId::unchecked("adv_002")), ..ReportQuery::default() };
    let mut viewer = stack.as_viewer("adv_001")?.connection();
    assert!(code(viewer.summary(&elsewhere).await)?.starts_with("403 "));

    let issued = serde_json::json!({"name": "slow", "mode": "live", "speaks_for_users": true, "rate_per_second": 1, "burst": 2});
    let admin = &mut stack.as_admin()?.connection();
    let (status, issued) = admin.post("/api/v1/admin/keys", issued.to_string().into()).await?;
    anyhow::ensure!(status.is_success(), "{status}");
    let issued: Value = serde_json::from_slice(&issued)?;
    let mut slow = stack.poster_with(issued["key"].as_str().context("no key")?)?;
    let limited = loop {
        match slow.post_click(&click("ad_001")).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(limited.status().map(|status| status.as_u16()), Some(429));
    assert!(limited.retry_after().is_some_and(|wait| wait >= Duration::from_secs(1)) && limited.is_passing());
    // The same client comes again when it may, and is taken.
    slow.post_click_until(Instant::now() + Duration::from_secs(20), &click("ad_001")).await?;

    // Gone, and back under the same address: nothing was sent, the same connection goes on.
    server.crash().await?;
    let gone = stack.poster()?.post_click(&click("ad_001")).await.unwrap_err();
    assert!(matches!(gone, Error::Away(_)) && gone.is_passing(), "{gone:?}");
    let mut poster = stack.poster()?;
    let later = Instant::now() + Duration::from_secs(30);
    let again = click("ad_001");
    let (taken, revived) = tokio::join!(poster.post_click_until(later, &again), async {
        server.revive().await?;
        server.await_ready().await
    });
    revived?;
    assert_eq!(Some(taken?.click_id), again.click_id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_after_a_restart_and_stays_away_when_told_to() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let mut server = stack.start_server().await?;
    let mut watch = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_001"));
    shows(&mut watch, 0, SOON).await?;
    let mut poster = stack.poster()?;
    poster.post_click(&click("ad_001")).await?;
    shows(&mut watch, 1, SOON).await?;
    let before = watch.counters();
    assert_eq!((before.connections, before.snapshots, before.gaps), (1, 1, 0));

    // A server that goes away in order says when to come back; the state goes on where it ended.
    anyhow::ensure!(server.ends_well(Duration::from_secs(20)).await?, "the server did not end well");
    server.revive().await?;
    server.await_ready().await?;
    poster.post_click_until(Instant::now() + Duration::from_secs(20), &click("ad_001")).await?;
    shows(&mut watch, 2, Duration::from_secs(20)).await?;
    assert!(watch.counters().connections >= 2);

    let mut stranger = Watch::new(Server::new(stack.server_url(), "nobody")?, Stack::view("adv_001"));
    match timeout(SOON, stranger.update()).await? {
        Err(Error::Closed { code, .. }) => assert_eq!(code, close::UNAUTHORIZED),
        other => bail!("{other:?}"),
    }
    let mut wrong = Watch::new(stack.as_viewer("adv_001")?, Stack::view("adv_002"));
    let refused = timeout(SOON, wrong.update()).await?;
    assert!(matches!(&refused, Err(Error::View { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_speaks_tls_to_servers_that_it_trusts() -> Result<()> {
    let mut stack = Stack::new().await?;
    stack.certify()?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let certificate = stack.certificate().context("no certificate")?.der();
    let viewer = stack.as_viewer("adv_001")?.trusting([certificate])?;
    let mut watch = Watch::new(viewer.clone(), Stack::view("adv_001"));
    shows(&mut watch, 0, SOON).await?;
    viewer.opened_by(Stack::ingest_key())?.connection().post_click(&click("ad_001")).await?;
    shows(&mut watch, 1, SOON).await?;
    eventually("the summary has it", SOON, async || {
        let summary = viewer.connection().summary(&ReportQuery::default()).await.ok()?;
        (summary.totals.received == 1).then_some(())
    })
    .await?;
    // The system's certificates do not vouch for this one.
    let stranger = stack.as_viewer("adv_001")?.connection().summary(&ReportQuery::default()).await;
    assert!(matches!(&stranger, Err(Error::Away(_))), "{stranger:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn incidents_are_listed_taken_and_ended() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _server = stack.start_server().await?;
    let _aggregator = stack.start_aggregator().await?;
    stack.account("anna", "ops", &[]).await?;
    super::incidents::open(&stack).await?;
    let mut operator = stack.as_admin()?.connection();
    let listed = eventually("an incident is open", Duration::from_secs(20), async || {
        let page = stack.as_admin().ok()?.connection().incidents(Which::Open, None).await.ok()?;
        page.data.into_iter().next()
    })
    .await?;
    let id = listed.alert_id;
    assert_eq!(listed.kind, Kind::DeadLetters);
    assert!(operator.incidents(Which::Resolved, None).await?.data.is_empty());

    assert!(operator.acknowledge_incident(id).await?.acknowledged_at.is_some());
    // Servers know new accounts within two seconds.
    eventually("she may have it", SOON, async || {
        (operator.assignees().await.ok()? == ["account:anna"]).then_some(())
    })
    .await?;
    let anna = Some("account:anna");
    assert_eq!(operator.assign_incident(id, None, anna).await?.assigned_to.as_deref(), anna);
    assert!(code(operator.assign_incident(id, None, None).await)?.starts_with("409 "));
    operator.note_incident(id, "one letter, \"not a click\"\nof ours").await?;
    let until = OffsetDateTime::now_utc() + time::Duration::hours(1);
    assert_eq!(operator.silence_incident(id, until, "known").await?.silence_reason.as_deref(), Some("known"));
    let silenced = operator.incidents(Which::Silenced, None).await?;
    assert_eq!(silenced.data.iter().map(|alert| alert.alert_id).collect::<Vec<_>>(), [id]);
    assert_eq!(operator.unsilence_incident(id).await?.silenced_until, None);
    assert!(code(operator.unsilence_incident(id).await)?.starts_with("409 "));
    let over = operator.resolve_incident(id, "mended").await?;
    assert_eq!((over.resolution.as_deref(), over.note_count), (Some("mended"), 1));

    let shown = operator.incident(id).await?;
    assert_eq!(shown.notes[0].text, "one letter, \"not a click\"\nof ours");
    // The types say everything that the answer does, and nothing else.
    let raw: Value = serde_json::from_slice(&operator.get(&format!("/api/v1/alerts/{id}")).await?.1)?;
    assert_eq!(serde_json::to_value(&shown)?, raw);
    // Page by page: what is behind an incident is older.
    assert_eq!(operator.incidents(Which::All, Some(id)).await?.data, []);

    assert!(code(operator.incident(Uuid::nil()).await)?.starts_with("404 "));
    let mut viewer = stack.as_viewer("adv_001")?.connection();
    assert!(code(viewer.incidents(Which::All, None).await)?.starts_with("403 "));
    Ok(())
}
