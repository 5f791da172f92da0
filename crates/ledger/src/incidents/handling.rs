//! Handling of incidents by people. Every function changes one in a single statement with its conditions in it, so of
//! two people who do the same at once one succeeds, and the other is told why not.
//!
//! No row is locked before the statement that changes it: the table's trigger takes the lock of all changes of
//! incidents first, and a transaction that held a row's lock before would deadlock with the watcher.

use clickwire_protocol::{
    alerts::{Kind, MAX_NOTES, MAX_SILENCE_DAYS, Note, Outcome},
    reason::Reason,
};
use sqlx::PgConnection;
use thiserror::Error as ThisError;
use time::OffsetDateTime;
use uuid::Uuid;

/// The reason why an incident was not changed.
#[derive(Debug, ThisError)]
pub enum Error {
    /// There is no such incident.
    #[error("there is no such incident")]
    NotFound,
    /// The incident is over.
    #[error("the incident is over")]
    Resolved,
    /// Another person has it by now.
    #[error("somebody else has assigned the incident")]
    Assigned,
    /// The incident has as many notes as it may have.
    #[error("the incident has {MAX_NOTES} notes")]
    TooManyNotes,
    /// The end of the silence is not in the future, or too far in it.
    #[error("a silence ends within {MAX_SILENCE_DAYS} days from now")]
    End,
    /// The incident is not about convictions that could be right or wrong.
    #[error("the incident is not about convictions")]
    NotAboutConvictions,
    /// The incident is not silenced.
    #[error("the incident is not silenced")]
    NotSilenced,
    /// The error of the database.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Acknowledges an incident; who does so first is kept. `actor` stands in the row.
///
/// # Errors
/// What the database says.
pub async fn acknowledge(
    connection: &mut PgConnection,
    alert_id: Uuid,
    actor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE alerts SET acknowledged_at = clock_timestamp(), acknowledged_by = $2 \
          WHERE alert_id = $1 AND acknowledged_at IS NULL",
    )
    .bind(alert_id)
    .bind(actor)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an open incident to somebody, or to nobody, if the one has it whom the caller knows to have it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Resolved`], [`Error::Assigned`], or what the database says.
pub async fn assign(
    connection: &mut PgConnection,
    alert_id: Uuid,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<(), Error> {
    let assigned = sqlx::query(
        "UPDATE alerts SET assigned_to = $3::text, assigned_at = CASE WHEN $3::text IS NOT NULL THEN clock_timestamp() END \
          WHERE alert_id = $1 AND resolved_at IS NULL AND assigned_to IS NOT DISTINCT FROM $2::text",
    )
    .bind(alert_id)
    .bind(from)
    .bind(to)
    .execute(&mut *connection)
    .await?;
    unless_changed(connection, alert_id, assigned.rows_affected(), Error::Assigned).await
}

/// Writes a note about an incident, open or over.
///
/// # Errors
/// [`Error::NotFound`], [`Error::TooManyNotes`], or what the database says.
pub async fn note(
    connection: &mut PgConnection,
    alert_id: Uuid,
    author: &str,
    note: &Note,
) -> Result<(), Error> {
    let counted =
        sqlx::query("UPDATE alerts SET note_count = note_count + 1 WHERE alert_id = $1 AND note_count < $2")
            .bind(alert_id)
            .bind(MAX_NOTES)
            .execute(&mut *connection)
            .await?;
    if counted.rows_affected() == 0 {
        is_over(connection, alert_id).await?;
        return Err(Error::TooManyNotes);
    }
    sqlx::query("INSERT INTO alert_notes (alert_id, author, text) VALUES ($1, $2, $3)")
        .bind(alert_id)
        .bind(author)
        .bind(note.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Silences what an open incident is about until a time: nobody is called because of it. Another end replaces the one
/// before.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Resolved`], [`Error::End`], or what the database says.
pub async fn silence(
    connection: &mut PgConnection,
    alert_id: Uuid,
    until: OffsetDateTime,
    actor: &str,
    reason: &Reason,
) -> Result<(), Error> {
    let silenced = sqlx::query(
        "UPDATE alerts SET silenced_until = $2, silenced_by = $3, silence_reason = $4 \
          WHERE alert_id = $1 AND resolved_at IS NULL \
            AND $2 > clock_timestamp() AND $2 <= clock_timestamp() + make_interval(days => $5)",
    )
    .bind(alert_id)
    .bind(until)
    .bind(actor)
    .bind(reason.as_str())
    .bind(MAX_SILENCE_DAYS)
    .execute(&mut *connection)
    .await?;
    unless_changed(connection, alert_id, silenced.rows_affected(), Error::End).await
}

/// Lifts the silence in force on what an incident is about, if the incident is the latest about it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotSilenced`], or what the database says.
pub async fn unsilence(connection: &mut PgConnection, alert_id: Uuid) -> Result<(), Error> {
    let lifted = sqlx::query(
        "UPDATE alerts AS a SET silenced_until = NULL, silenced_by = NULL, silence_reason = NULL \
          WHERE alert_id = $1 AND alert_is_silenced(a)",
    )
    .bind(alert_id)
    .execute(&mut *connection)
    .await?;
    if lifted.rows_affected() == 0 {
        is_over(connection, alert_id).await?;
        return Err(Error::NotSilenced);
    }
    Ok(())
}

/// Ends an incident by hand; the person may say whether its convictions are right. If it is seen again, another one is
/// opened.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Resolved`], [`Error::NotAboutConvictions`], or what the database says.
pub async fn resolve_by_hand(
    connection: &mut PgConnection,
    alert_id: Uuid,
    actor: &str,
    reason: &Reason,
    outcome: Option<Outcome>,
) -> Result<(), Error> {
    let about_convictions = Kind::ALL.into_iter().filter(|kind| kind.is_about_convictions());
    let resolved = sqlx::query(
        "UPDATE alerts SET resolved_at = clock_timestamp(), resolved_by = $2, resolution = $3, outcome = $4 \
          WHERE alert_id = $1 AND resolved_at IS NULL AND ($4::text IS NULL OR kind = ANY($5))",
    )
    .bind(alert_id)
    .bind(actor)
    .bind(reason.as_str())
    .bind(outcome.map(Outcome::as_str))
    .bind(about_convictions.map(Kind::as_str).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    unless_changed(connection, alert_id, resolved.rows_affected(), Error::NotAboutConvictions).await
}

/// Returns the reason why a change of an open incident has changed nothing, if it has not.
async fn unless_changed(
    connection: &mut PgConnection,
    alert_id: Uuid,
    rows: u64,
    otherwise: Error,
) -> Result<(), Error> {
    match rows {
        0 if is_over(connection, alert_id).await? => Err(Error::Resolved),
        0 => Err(otherwise),
        _ => Ok(()),
    }
}

/// Returns whether an incident is over.
async fn is_over(connection: &mut PgConnection, alert_id: Uuid) -> Result<bool, Error> {
    let is_resolved = sqlx::query_scalar("SELECT resolved_at IS NOT NULL FROM alerts WHERE alert_id = $1")
        .bind(alert_id)
        .fetch_optional(connection)
        .await?;
    is_resolved.ok_or(Error::NotFound)
}
