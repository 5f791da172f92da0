//! News about incidents that is to be sent to another system: taken under a lease, sent, or due again.
//!
//! The log of news (`alert_changes`) is the list of what is to be sent. News about one incident is given out in
//! order, and to one sender at a time as long as that one renews its lease.

use std::time::Duration;

use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A piece of news to send.
#[derive(Debug, FromRow)]
pub struct Delivery {
    /// Its number in the log.
    pub seq: i64,
    /// Attempts so far, with this one; from 1.
    pub webhook_tries: i32,
    /// The incident that it is about.
    pub alert_id: Uuid,
    /// The incident's version, from 1.
    pub version: i64,
    /// What is sent, as JSON.
    pub document: String,
}

/// Takes the oldest news that is due, for as long as `lease`, unless older news about the same incident still
/// waits. News that was due longer than `retry_for` ago for the first time is given up: what a silence has held is due
/// when the silence ends.
///
/// # Errors
/// What the database says.
pub async fn take(
    database: &PgPool,
    lease: Duration,
    retry_for: Duration,
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE alert_changes AS c SET webhook_tries = webhook_tries + 1, \
           webhook_due_at = clock_timestamp() + $1 * INTERVAL '1 s' \
          WHERE seq = (SELECT seq FROM alert_changes due \
             WHERE webhook_due_at <= clock_timestamp() AND greatest(changed_at, held_until) > now() - $2 * INTERVAL '1 s' \
               AND NOT EXISTS (SELECT FROM alert_changes older WHERE older.alert_id = due.alert_id \
                 AND older.seq < due.seq AND older.webhook_due_at IS NOT NULL \
                 AND greatest(older.changed_at, older.held_until) > now() - $2 * INTERVAL '1 s') \
             ORDER BY seq LIMIT 1 FOR UPDATE SKIP LOCKED) \
         RETURNING seq, webhook_tries, alert_id, (alert->>'version')::bigint AS version, \
           change_document(c)::text AS document",
    )
    .bind(lease.as_secs_f64())
    .bind(retry_for.as_secs_f64())
    .fetch_optional(database)
    .await
}

/// Says when the news is due again; never, if it was delivered. A sender that was taken for frozen, and has been
/// overtaken by another attempt, says nothing about that one.
///
/// # Errors
/// What the database says.
pub async fn set_due(
    database: &PgPool,
    delivery: &Delivery,
    wait: Option<Duration>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE alert_changes SET webhook_due_at = clock_timestamp() + $2 * INTERVAL '1 s' \
          WHERE seq = $1 AND webhook_tries = $3",
    )
    .bind(delivery.seq)
    .bind(wait.map(|wait| wait.as_secs_f64()))
    .bind(delivery.webhook_tries)
    .execute(database)
    .await?;
    Ok(())
}
