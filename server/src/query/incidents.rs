//! Incidents as the database tells them.

use clickwire_protocol::alerts::{Alert, Kind, MAX_NOTES, Which, Written};
use sqlx::PgPool;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// The incidents that are listed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listing<'a> {
    pub(crate) which: Which,
    /// Of one kind, if it is named.
    pub(crate) kind: Option<Kind>,
    /// About one subject, if it is named.
    pub(crate) subject: Option<&'a str>,
    /// The last incident of the page before.
    pub(crate) before: Option<Uuid>,
}

/// Incidents, the latest opened first, from the one after `before` on.
pub(crate) async fn latest(
    database: &PgPool,
    listing: &Listing<'_>,
    limit: i64,
) -> Result<Vec<Alert>, sqlx::Error> {
    let documents: Vec<String> = sqlx::query_scalar(
        "SELECT alert_document(a)::text FROM alerts a \
          WHERE CASE $1 WHEN 'open' THEN resolved_at IS NULL WHEN 'resolved' THEN resolved_at IS NOT NULL \
                        WHEN 'silenced' THEN alert_is_silenced(a) ELSE true END \
            AND ($4::text IS NULL OR kind = $4) AND ($5::text IS NULL OR subject = $5) \
            AND ($2::uuid IS NULL OR (opened_at, alert_id) < (SELECT opened_at, alert_id FROM alerts WHERE alert_id = $2)) \
          ORDER BY opened_at DESC, alert_id DESC LIMIT $3",
    )
    .bind(listing.which.as_str())
    .bind(listing.before)
    .bind(limit)
    .bind(listing.kind.map(Kind::as_str))
    .bind(listing.subject)
    .fetch_all(database)
    .await?;
    documents.iter().map(|text| read(text)).collect()
}

/// The notes about an incident, the oldest first.
pub(crate) async fn notes(database: &PgPool, alert_id: Uuid) -> Result<Vec<Written>, sqlx::Error> {
    let rows: Vec<(i64, OffsetDateTime, String, String)> = sqlx::query_as(
        "SELECT note_id, noted_at, author, text FROM alert_notes WHERE alert_id = $1 ORDER BY note_id LIMIT $2",
    )
    .bind(alert_id)
    .bind(MAX_NOTES)
    .fetch_all(database)
    .await?;
    let written = |(note_id, noted_at, author, text): (_, OffsetDateTime, _, _)| {
        let noted_at = noted_at.format(&Rfc3339).map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        Ok(Written { note_id, noted_at, author, text })
    };
    rows.into_iter().map(written).collect()
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
