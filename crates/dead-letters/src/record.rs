//! The record of what was done with dead letters: appended to, never changed.

use clickwire_protocol::{reason::Reason, stream::Names};
use sqlx::PgConnection;

use crate::{letter::DeadLetter, replay::Replayed};

/// What was done.
pub(crate) enum Action<'a> {
    /// The message went back to the stream of clicks.
    Replay {
        /// As it went back, if not as it came.
        edited: Option<&'a [u8]>,
        /// Where it went.
        replayed: &'a Replayed,
    },
    /// The message is not to be counted.
    Dismiss,
}

/// Appends one action.
pub(crate) async fn append(
    connection: &mut PgConnection,
    names: &Names,
    letter: &DeadLetter,
    actor: &str,
    reason: Option<&Reason>,
    action: &Action<'_>,
) -> Result<(), sqlx::Error> {
    let (name, edited, replayed) = match *action {
        Action::Replay { edited, replayed } => ("replay", edited, Some(replayed)),
        Action::Dismiss => ("dismiss", None, None),
    };
    sqlx::query(
        "INSERT INTO dead_letter_actions (actor, action, reason, stream, sequence, code, click_id, payload, \
           edited_payload, replayed_as) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(actor)
    .bind(name)
    .bind(reason.map(Reason::as_str))
    .bind(names.dead_letter_stream())
    .bind(letter.summary.sequence as i64)
    .bind(letter.summary.code.as_deref())
    .bind(replayed.map(|replayed| replayed.click_id).or(letter.summary.click_id))
    .bind(&letter.payload[..])
    .bind(edited)
    .bind(replayed.map(|replayed| replayed.stream_sequence as i64))
    .execute(connection)
    .await?;
    Ok(())
}
