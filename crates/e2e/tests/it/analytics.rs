//! Questions to the database over HTTP.

use std::time::Duration;

use anyhow::Result;
use clickwire_e2e::{Stack, eventually};
use clickwire_load::http::Server;
use clickwire_protocol::analytics::Aggregate;
use serde_json::{Value, json};

async fn get(server: &Server, path: &str) -> Result<(u16, Value)> {
    let (status, body) = server.connection().get(path).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_by_every_granularity_and_group_and_never_anothers() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let mut poster = stack.poster()?;
    for (advertiser, campaign, country, agent, times) in [
        (
            "adv_001",
            "camp_001",
            "DE",
            "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
            5,
        ),
        (
            "adv_001",
            "camp_002",
            "FR",
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            2,
        ),
        (
            "adv_002",
            "camp_005",
            "DE",
            "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
            3,
        ),
    ] {
        for _ in 0..times {
            let body = json!({"advertiser_id": advertiser, "campaign_id": campaign, "ad_id": "ad_001",
                "country": country, "user_agent": agent});
            poster.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
        }
    }
    eventually("all clicks are counted", Duration::from_secs(10), async || {
        (stack.ledger().await.ok()? == 10).then_some(())
    })
    .await?;

    let viewer = stack.as_viewer("adv_001")?;
    for granularity in ["minute", "hour", "day"] {
        let path = format!("/api/v1/analytics/aggregate?granularity={granularity}&group_by=campaign_id");
        let (status, body) = get(&viewer, &path).await?;
        assert_eq!(status, 200, "{body}");
        let answer: Aggregate = serde_json::from_value(body)?;
        assert_eq!(answer.total_clicks, 7, "{granularity}");
        let of = |campaign: &str, value: fn(&clickwire_protocol::analytics::AggregateRow) -> i64| -> i64 {
            answer.data.iter().filter(|row| row.campaign_id.as_deref() == Some(campaign)).map(value).sum()
        };
        assert_eq!(of("camp_001", |row| row.billable), 5, "{granularity}");
        assert_eq!(of("camp_002", |row| row.fraud_count), 2, "{granularity}");
        assert_eq!(of("camp_002", |row| row.billable), 0, "{granularity}");
    }
    let (_, filtered) = get(&viewer, "/api/v1/analytics/aggregate?country=fr").await?;
    assert_eq!(filtered["total_clicks"], 2);

    for (path, expected) in [
        ("/api/v1/analytics/aggregate?advertiser_id=adv_002", 403),
        ("/api/v1/campaigns?advertiser_id=adv_002", 403),
        ("/api/v1/analytics/aggregate?granularity=second", 400),
        ("/api/v1/nothing", 404),
    ] {
        let (status, body) = get(&viewer, path).await?;
        assert_eq!(status, expected, "{path}: {body}");
        assert!(!body.to_string().contains("camp_005"), "{body}");
    }
    let (_, seen) = get(&viewer, "/api/v1/advertisers").await?;
    assert_eq!(seen["data"], json!([{"advertiser_id": "adv_001", "name": "Nordlicht Outdoor"}]));

    let admin = stack.as_admin()?;
    let (_, all) = get(&admin, "/api/v1/analytics/aggregate").await?;
    assert_eq!(all["total_clicks"], 10, "an administrator who names nobody asks about all");
    let (_, other) = get(&admin, "/api/v1/analytics/aggregate?advertiser_id=adv_002").await?;
    assert_eq!(other["total_clicks"], 3);
    let stranger = Server::new(stack.server_url(), "nobody")?;
    for path in ["/api/v1/analytics/aggregate", "/api/v1/advertisers", "/api/v1/campaigns"] {
        assert_eq!(get(&stranger, path).await?.0, 401, "{path}");
    }
    Ok(())
}
