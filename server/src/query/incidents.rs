//! Incidents as the database tells them.

use clickwire_protocol::alerts::Alert;
use sqlx::PgPool;
use uuid::Uuid;

/// Incidents, the latest opened first: open ones, resolved ones or all, from the one after `before` on.
pub(crate) async fn latest(
    database: &PgPool,
    is_resolved: Option<bool>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Alert>, sqlx::Error> {
    let documents: Vec<String> = sqlx::query_scalar(
        "SELECT alert_document(a)::text FROM alerts a \
          WHERE ($1::boolean IS NULL OR (resolved_at IS NOT NULL) = $1) \
            AND ($2::uuid IS NULL OR (opened_at, alert_id) < (SELECT opened_at, alert_id FROM alerts WHERE alert_id = $2)) \
          ORDER BY opened_at DESC, alert_id DESC LIMIT $3",
    )
    .bind(is_resolved)
    .bind(before)
    .bind(limit)
    .fetch_all(database)
    .await?;
    documents.iter().map(|text| read(text)).collect()
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
