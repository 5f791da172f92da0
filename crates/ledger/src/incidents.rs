//! The rows of incidents: one that is seen again keeps its row, one that is unseen for a while is over.
//!
//! News about an incident is written down by the table's own triggers, in the same
//! transaction: a writer of a row can neither forget nor repeat it.

mod handling;
pub mod share;
pub mod spike;

use std::time::Duration;

use clickwire_protocol::{
    alerts::{Kind, Severity},
    ids::{AdvertiserId, CampaignId},
};
use serde_json::Value;
use sqlx::PgConnection;

pub use self::handling::{Error, acknowledge, assign, note, resolve_by_hand, silence, unsilence};
use crate::retention::interval_days;

/// Incidents in one statement, at most.
const ROWS: usize = 1_000;

/// The retention of incidents.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Days that an incident is kept after its end.
    pub incidents_days: u32,
    /// Days that news about them is kept, for gateways and webhooks.
    pub news_days: u32,
}

/// A condition that is an incident now.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The kind of the incident.
    pub kind: Kind,
    /// The subject of that kind: an address, `advertiser/campaign` and the like. One is open for each kind and subject.
    pub subject: String,
    /// The advertiser that it is about, if it is about one.
    pub advertiser: Option<AdvertiserId>,
    /// The advertiser's campaign, if it is about one.
    pub campaign: Option<CampaignId>,
    /// The severity.
    pub severity: Severity,
    /// The measured values. `clicks` of a burst add up while it lasts; the rest is as it is now.
    pub details: Value,
}

/// Opens incidents, or updates those that are open. No two observations may be about the same.
///
/// # Errors
/// What the database says.
pub async fn observe(connection: &mut PgConnection, observations: &[Observation]) -> Result<(), sqlx::Error> {
    for rows in observations.chunks(ROWS) {
        // Sorted: two writers on the same rows in different order deadlock.
        sqlx::query(
            "INSERT INTO alerts AS a (kind, subject, advertiser_id, campaign_id, severity, details) \
             SELECT kind, subject, advertiser, campaign, severity::alert_severity, details::jsonb \
               FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) \
                 AS t (kind, subject, advertiser, campaign, severity, details) \
              ORDER BY kind, subject \
             ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO UPDATE SET \
               last_seen_at = clock_timestamp(), severity = greatest(a.severity, excluded.severity), \
               details = CASE WHEN a.kind IN ('ip_burst', 'user_burst') \
                 THEN jsonb_build_object('clicks', (a.details->>'clicks')::bigint + (excluded.details->>'clicks')::bigint) \
                 ELSE excluded.details END",
        )
        .bind(rows.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.advertiser.as_ref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.campaign.as_ref()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.severity.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.details.to_string()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Ends the incidents of these kinds that were not seen for as long as `quiet`.
///
/// # Errors
/// What the database says.
pub async fn resolve(
    connection: &mut PgConnection,
    kinds: &[Kind],
    quiet: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE alerts SET resolved_at = clock_timestamp() \
          WHERE resolved_at IS NULL AND kind = ANY($1) AND last_seen_at < clock_timestamp() - $2 * INTERVAL '1 s'",
    )
    .bind(kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
    .bind(quiet.as_secs_f64())
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets incidents that were over long ago, and old news.
///
/// # Errors
/// What the database says.
pub async fn forget(connection: &mut PgConnection, kept: Kept) -> Result<(), sqlx::Error> {
    for (sql, days) in [
        (
            "DELETE FROM alert_changes WHERE greatest(changed_at, held_until) < now() - make_interval(days => $1)",
            kept.news_days,
        ),
        (
            "DELETE FROM alerts WHERE greatest(resolved_at, silenced_until) < now() - make_interval(days => $1) \
                AND resolved_at IS NOT NULL",
            kept.incidents_days,
        ),
    ] {
        sqlx::query(sql).bind(interval_days(days)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the number of open incidents by kind, and the number of the latest news.
///
/// # Errors
/// What the database says.
pub async fn open(connection: &mut PgConnection) -> Result<(Vec<(String, i64)>, i64), sqlx::Error> {
    let open = sqlx::query_as("SELECT kind, count(*) FROM alerts WHERE resolved_at IS NULL GROUP BY kind")
        .fetch_all(&mut *connection)
        .await?;
    let latest =
        sqlx::query_scalar("SELECT coalesce(max(seq), 0) FROM alert_changes").fetch_one(connection).await?;
    Ok((open, latest))
}
