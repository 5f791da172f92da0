//! Campaigns whose traffic is not what it was ([`clickwire_ledger::incidents::spike`]), or not what it should be
//! ([`share`]). All limits are worked out by the database, in one statement.

use std::collections::HashMap;

use clickwire_ledger::incidents::{Observation, share, spike::MIN_HISTORY_MINUTES};
use clickwire_process::now_ms;
use clickwire_protocol::{
    MINUTE_MS,
    alerts::{FraudRate, Kind, Severity, Spike},
    ids::{AdvertiserId, CampaignId},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::PgConnection;

/// Campaigns whose limits are kept, at most: those with the most clicks.
const MAX_CAMPAIGNS: i64 = 100_000;

/// Incidents of one kind that a round can see, at most.
const MAX_OBSERVATIONS: i64 = 1_000;

/// Advertiser and campaign.
type Campaign = (AdvertiserId, CampaignId);

/// The campaigns' limits: worked out from the minutes before, so once a minute is enough.
#[derive(Default)]
pub(super) struct Campaigns {
    /// The minute and the rule that the limits are for.
    of: Option<(i64, Spike)>,
    limits: HashMap<Campaign, f64>,
}

impl Campaigns {
    /// Which campaigns something is the matter with.
    pub(super) async fn observe(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Observation>, sqlx::Error> {
        let mut observations = Vec::new();
        if let Some(rule) = rule::<Spike>(connection, "campaign_spike").await?.filter(Spike::is_valid) {
            observations.extend(self.spikes(connection, rule).await?);
        }
        if let Some(rule) = rule::<FraudRate>(connection, "fraud_rate").await?.filter(FraudRate::is_valid) {
            observations.extend(fraud_rates(connection, rule).await?);
        }
        Ok(observations)
    }

    async fn spikes(
        &mut self,
        connection: &mut PgConnection,
        rule: Spike,
    ) -> Result<Vec<Observation>, sqlx::Error> {
        let minute = now_ms().div_euclid(MINUTE_MS);
        if self.of != Some((minute, rule)) {
            self.limits = limits(connection, minute, rule).await?;
            self.of = Some((minute, rule));
        }
        // The minute that is not over, and the one whose last clicks are on their way.
        let recent: Vec<(AdvertiserId, CampaignId, i64)> = sqlx::query_as(
            "SELECT advertiser_id, campaign_id, max(clicks) FROM ( \
               SELECT advertiser_id, campaign_id, bucket, sum(valid + givt + sivt)::bigint AS clicks FROM click_minutes \
                WHERE bucket BETWEEN to_timestamp(($1 - 1) * 60) AND to_timestamp($1 * 60) GROUP BY 1, 2, 3) AS minutes \
              WHERE clicks >= $2 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT $3",
        )
        .bind(minute)
        .bind(i64::from(rule.minimum_clicks))
        .bind(MAX_CAMPAIGNS)
        .fetch_all(connection)
        .await?;
        let spikes = recent.into_iter().filter_map(|(advertiser, campaign, clicks)| {
            let campaign = (advertiser, campaign);
            let &limit = self.limits.get(&campaign)?;
            (clicks as f64 > limit).then(|| {
                let details = json!({ "clicks": clicks, "limit": limit });
                observation(Kind::CampaignSpike, campaign, Severity::Warning, details)
            })
        });
        Ok(spikes.take(MAX_OBSERVATIONS as usize).collect())
    }
}

/// The version of a rule that is in force, unless it is off.
async fn rule<T: DeserializeOwned>(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<T>, sqlx::Error> {
    let row: Option<(String, String)> = sqlx::query_as(
        "SELECT mode, parameters::text FROM fraud_rules WHERE rule = $1 AND effective_at <= now() \
          ORDER BY effective_at DESC LIMIT 1",
    )
    .bind(name)
    .fetch_optional(connection)
    .await?;
    // Written round the API, if it can't be read: as good as off.
    Ok(row
        .filter(|(mode, _)| mode != "off")
        .and_then(|(_, parameters)| serde_json::from_str(&parameters).ok()))
}

/// More clicks a minute than these stand out. A minute without clicks counts from the campaign's first
/// on; a campaign that is too young has no limit.
async fn limits(
    connection: &mut PgConnection,
    minute: i64,
    rule: Spike,
) -> Result<HashMap<Campaign, f64>, sqlx::Error> {
    let rows: Vec<(AdvertiserId, CampaignId, f64)> = sqlx::query_as(
        "WITH minutes AS ( \
           SELECT advertiser_id, campaign_id, (extract(epoch FROM bucket) / 60)::bigint AS minute, \
                  sum(valid + givt + sivt)::bigint AS clicks FROM click_minutes \
            WHERE bucket >= to_timestamp(($1 - 1 - $2) * 60) AND bucket < to_timestamp(($1 - 1) * 60) GROUP BY 1, 2, 3), \
         campaigns AS ( \
           SELECT advertiser_id, campaign_id, min(minute) AS first FROM minutes GROUP BY 1, 2 \
           HAVING $1 - 1 - min(minute) >= $4 ORDER BY sum(clicks) DESC LIMIT $5), \
         filled AS ( \
           SELECT advertiser_id, campaign_id, coalesce(clicks, 0) AS clicks FROM campaigns \
           CROSS JOIN LATERAL generate_series(first, $1 - 2) AS minute \
           LEFT JOIN minutes USING (advertiser_id, campaign_id, minute)), \
         medians AS ( \
           SELECT advertiser_id, campaign_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY clicks) AS median \
             FROM filled GROUP BY 1, 2) \
         SELECT advertiser_id, campaign_id, \
                median + $3 * greatest(percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(clicks - median)), 1) \
           FROM filled JOIN medians USING (advertiser_id, campaign_id) GROUP BY 1, 2, median",
    )
    .bind(minute)
    .bind(i64::from(rule.window_minutes))
    .bind(f64::from(rule.deviations))
    .bind(MIN_HISTORY_MINUTES as i64)
    .bind(MAX_CAMPAIGNS)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(advertiser, campaign, limit)| ((advertiser, campaign), limit)).collect())
}

async fn fraud_rates(
    connection: &mut PgConnection,
    rule: FraudRate,
) -> Result<Vec<Observation>, sqlx::Error> {
    let rows: Vec<(AdvertiserId, CampaignId, i64, i64)> = sqlx::query_as(
        "SELECT advertiser_id, campaign_id, sum(valid + givt + sivt)::bigint AS clicks, sum(givt + sivt)::bigint \
           FROM click_minutes WHERE bucket > now() - $1 * INTERVAL '1 minute' GROUP BY 1, 2 \
         HAVING sum(valid + givt + sivt) >= $2 AND sum(givt + sivt) * 100 >= sum(valid + givt + sivt) * $3 \
          ORDER BY clicks DESC LIMIT $4",
    )
    .bind(f64::from(rule.window_minutes))
    // Nothing divided by nothing is no rate.
    .bind(i64::from(rule.minimum_clicks.max(1)))
    .bind(i64::from(rule.warning_percent))
    .bind(MAX_CAMPAIGNS)
    .fetch_all(connection)
    .await?;
    let observed = |(advertiser, campaign, clicks, invalid): (AdvertiserId, CampaignId, i64, i64)| {
        let severity = share::severity(clicks, invalid, rule)?;
        let details = json!({ "clicks": clicks, "invalid": invalid });
        Some(observation(Kind::FraudRate, (advertiser, campaign), severity, details))
    };
    Ok(rows.into_iter().filter_map(observed).take(MAX_OBSERVATIONS as usize).collect())
}

fn observation(
    kind: Kind,
    (advertiser, campaign): Campaign,
    severity: Severity,
    details: serde_json::Value,
) -> Observation {
    // Two advertisers may name a campaign alike.
    let subject = format!("{advertiser}/{campaign}");
    Observation { kind, subject, advertiser: Some(advertiser), campaign: Some(campaign), severity, details }
}
