//! Incidents as the database tells them.

use std::str::FromStr;

use clickwire_protocol::alerts::{Alert, MAX_NOTES};
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// Which incidents are listed.
#[derive(Clone, Copy, Default, PartialEq, Eq, ToSchema)]
#[schema(as = AlertState, rename_all = "snake_case")]
pub(crate) enum Which {
    #[default]
    Open,
    Resolved,
    /// The latest about each thing that is silenced now, open or resolved.
    Silenced,
    All,
}

impl Which {
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Silenced => "silenced",
            Self::All => "all",
        }
    }
}

impl FromStr for Which {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Open, Self::Resolved, Self::Silenced, Self::All];
        let named = all.into_iter().find(|which| which.as_str() == text);
        named.ok_or("Expected open, resolved, silenced or all.")
    }
}

/// Incidents, the latest opened first, from the one after `before` on.
pub(crate) async fn latest(
    database: &PgPool,
    which: Which,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Alert>, sqlx::Error> {
    let documents: Vec<String> = sqlx::query_scalar(
        "SELECT alert_document(a)::text FROM alerts a \
          WHERE CASE $1 WHEN 'open' THEN resolved_at IS NULL WHEN 'resolved' THEN resolved_at IS NOT NULL \
                        WHEN 'silenced' THEN alert_is_silenced(a) ELSE true END \
            AND ($2::uuid IS NULL OR (opened_at, alert_id) < (SELECT opened_at, alert_id FROM alerts WHERE alert_id = $2)) \
          ORDER BY opened_at DESC, alert_id DESC LIMIT $3",
    )
    .bind(which.as_str())
    .bind(before)
    .bind(limit)
    .fetch_all(database)
    .await?;
    documents.iter().map(|text| read(text)).collect()
}

/// A note about an incident.
#[derive(Serialize, ToSchema, FromRow)]
#[schema(as = AlertNote)]
pub(crate) struct Note {
    note_id: i64,
    #[serde(with = "time::serde::rfc3339")]
    noted_at: OffsetDateTime,
    author: String,
    text: String,
}

/// The notes about an incident, the oldest first.
pub(crate) async fn notes(database: &PgPool, alert_id: Uuid) -> Result<Vec<Note>, sqlx::Error> {
    sqlx::query_as(
        "SELECT note_id, noted_at, author, text FROM alert_notes WHERE alert_id = $1 ORDER BY note_id LIMIT $2",
    )
    .bind(alert_id)
    .bind(MAX_NOTES)
    .fetch_all(database)
    .await
}

/// One incident, if there is such a one.
pub(crate) async fn find(database: &PgPool, alert_id: Uuid) -> Result<Option<Alert>, sqlx::Error> {
    let document: Option<String> =
        sqlx::query_scalar("SELECT alert_document(a)::text FROM alerts a WHERE alert_id = $1")
            .bind(alert_id)
            .fetch_optional(database)
            .await?;
    document.map(|text| read(&text)).transpose()
}

/// Reads what the database says of an incident, or of news about one.
pub(crate) fn read<T: serde::de::DeserializeOwned>(document: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(document).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
