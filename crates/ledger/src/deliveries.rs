//! News about incidents that is to be sent to another system: taken under a lease, sent, or due again.
//!
//! The log of news (`alert_changes`) is the list of what is to be sent. News about one incident is given out in
//! order, and to one sender at a time as long as that one renews its lease.

use std::time::Duration;

use clickwire_protocol::deliveries::DeliveryOutcome;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// The age at which news is given up: somebody has seen it by then, or nobody will.
pub const RETRY_FOR: Duration = Duration::from_secs(3_600);

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
    /// The document that is sent, as JSON.
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

/// News with the state of its delivery.
#[derive(Clone, Debug, FromRow)]
pub struct News {
    /// Its number in the log.
    pub seq: i64,
    /// The incident.
    pub alert_id: Uuid,
    /// The kind of the news.
    pub change: String,
    /// The kind of the incident.
    pub kind: String,
    /// Time of the news.
    pub changed_at: OffsetDateTime,
    /// Attempts so far.
    pub webhook_tries: i32,
    /// The next attempt; `None`: there is none.
    pub webhook_due_at: Option<OffsetDateTime>,
    held_until: Option<OffsetDateTime>,
    read_at: OffsetDateTime,
}

const NEWS: &str = "SELECT seq, alert_id, change, alert->>'kind' AS kind, changed_at, webhook_tries, webhook_due_at, \
                           held_until, clock_timestamp() AS read_at FROM alert_changes";

impl News {
    /// The outcome of its delivery, so far.
    pub fn outcome(&self) -> DeliveryOutcome {
        let is_tried = self.webhook_tries > 0;
        let due_first = self.held_until.map_or(self.changed_at, |held| held.max(self.changed_at));
        match self.webhook_due_at {
            None if is_tried => DeliveryOutcome::Delivered,
            None => DeliveryOutcome::Silenced,
            Some(_) if self.held_until.is_some_and(|held| held > self.read_at) => DeliveryOutcome::Silenced,
            Some(_) if self.read_at - due_first < RETRY_FOR => DeliveryOutcome::Waiting,
            Some(_) if is_tried => DeliveryOutcome::GivenUp,
            Some(_) => DeliveryOutcome::NotSent,
        }
    }
}

/// The latest news, the latest first.
///
/// # Errors
/// What the database says.
pub async fn latest(connection: &mut PgConnection, limit: i64) -> Result<Vec<News>, sqlx::Error> {
    let sql = format!("{NEWS} ORDER BY seq DESC LIMIT $1");
    sqlx::query_as(AssertSqlSafe(sql)).bind(limit).fetch_all(connection).await
}

/// News by its number, which nobody else sends or changes until the transaction ends.
///
/// # Errors
/// What the database says.
pub async fn lock(transaction: &mut PgConnection, seq: i64) -> Result<Option<News>, sqlx::Error> {
    let sql = format!("{NEWS} WHERE seq = $1 FOR UPDATE");
    sqlx::query_as(AssertSqlSafe(sql)).bind(seq).fetch_optional(transaction).await
}

/// Makes news due again, as if it had been held until now: it is due at once, and for as long as any other.
///
/// # Errors
/// What the database says.
pub async fn resend(transaction: &mut PgConnection, seq: i64) -> Result<(), sqlx::Error> {
    let sql = "UPDATE alert_changes SET webhook_due_at = clock_timestamp(), held_until = clock_timestamp() WHERE seq = $1";
    sqlx::query(sql).bind(seq).execute(transaction).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_follows_from_attempts_and_times() {
        use DeliveryOutcome::{Delivered, GivenUp, NotSent, Silenced, Waiting};
        let at = |minutes: u64| OffsetDateTime::UNIX_EPOCH + Duration::from_secs(minutes * 60);
        for (tries, due, held, expected) in [
            (1, None, None, Delivered),
            (0, None, None, Silenced),
            (0, Some(100), None, NotSent),
            (4, Some(100), None, GivenUp),
            (4, Some(200), Some(150), Waiting),
            (0, Some(200), Some(150), Waiting),
            (0, Some(300), Some(300), Silenced),
            (7, Some(200), Some(100), GivenUp),
        ] {
            let news = News {
                seq: 1,
                alert_id: Uuid::nil(),
                change: "opened".to_owned(),
                kind: "ip_burst".to_owned(),
                changed_at: at(100),
                webhook_tries: tries,
                webhook_due_at: due.map(at),
                held_until: held.map(at),
                read_at: at(200),
            };
            assert_eq!(news.outcome(), expected, "{tries} {due:?} {held:?}");
        }
    }
}
