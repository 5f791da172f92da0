//! The record of what was done with dead letters: appended to, never changed, one row for each letter.

use clickwire_protocol::{dead_letters::Replayed, ids::AdvertiserId, reason::Reason};
use serde::Serialize;
use sqlx::{PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Error, letter::DeadLetter};

/// An action on a letter.
pub(crate) enum Action<'a> {
    /// The message went back to the stream of clicks.
    Replay {
        /// The message as it went back, if not as it came.
        edited: Option<&'a [u8]>,
        /// The message's place on the stream of clicks.
        replayed: &'a Replayed,
        /// The advertiser that the click was said to be of, if the message did not say so.
        named_advertiser: Option<&'a AdvertiserId>,
    },
    /// The message is not to be counted.
    Dismiss,
}

/// The action on a letter, with the person and the reason.
#[derive(Clone, Debug, Serialize, sqlx::FromRow)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterOutcome))]
pub struct Outcome {
    /// `replay` or `dismiss`.
    pub action: String,
    /// Time of the action.
    #[serde(with = "time::serde::rfc3339")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub acted_at: OffsetDateTime,
    /// The person.
    pub actor: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// The click that it speaks of, if that can be read.
    pub click_id: Option<Uuid>,
    /// The message was edited before it went back.
    pub is_edited: bool,
    /// The advertiser that an administrator said the click is of, where the message did not say so.
    pub named_advertiser: Option<String>,
}

/// Returns the action on the letter at this place, if there was one.
pub(crate) async fn outcome(
    database: &PgPool,
    stream: &str,
    generation: OffsetDateTime,
    sequence: u64,
) -> Result<Option<Outcome>, sqlx::Error> {
    sqlx::query_as(
        "SELECT action, acted_at, actor, reason, click_id, edited_payload IS NOT NULL AS is_edited, named_advertiser \
           FROM dead_letter_actions WHERE stream = $1 AND generation = $2 AND sequence = $3",
    )
    .bind(stream)
    .bind(generation)
    .bind(sequence.cast_signed())
    .fetch_optional(database)
    .await
}

/// A letter that nobody else deals with until this is dropped: a transaction that holds a lock on it.
pub(crate) struct Claim {
    transaction: Transaction<'static, Postgres>,
    stream: String,
    generation: OffsetDateTime,
}

impl Claim {
    /// Takes the letter, unless somebody has it, or has dealt with it.
    pub(crate) async fn take(
        database: &PgPool,
        stream: String,
        generation: OffsetDateTime,
        sequence: u64,
    ) -> Result<Self, Error> {
        let mut transaction = database.begin().await?;
        // Nobody waits for another: what that one does is not to be done again.
        let is_free: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('dead letter ' || $1 || ' ' || $2, 0))",
        )
        .bind(&stream)
        .bind(sequence.to_string())
        .fetch_one(&mut *transaction)
        .await?;
        if !is_free {
            return Err(Error::Busy);
        }
        let is_done: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM dead_letter_actions \
              WHERE stream = $1 AND generation = $2 AND sequence = $3)",
        )
        .bind(&stream)
        .bind(generation)
        .bind(sequence as i64)
        .fetch_one(&mut *transaction)
        .await?;
        if is_done { Err(Error::Done) } else { Ok(Self { transaction, stream, generation }) }
    }

    /// Gives the letter up, nothing being done with it: when this returns, another may take it. A claim that is
    /// dropped is given up only when its connection is used the next time.
    pub(crate) async fn give_up(self) {
        if let Err(error) = self.transaction.rollback().await {
            tracing::debug!(%error, "the database gives the letter up itself");
        }
    }

    /// Records what was done, and gives the letter up.
    pub(crate) async fn record(
        mut self,
        letter: &DeadLetter,
        actor: &str,
        reason: Option<&Reason>,
        action: &Action<'_>,
    ) -> Result<(), Error> {
        let (name, edited, replayed, named_advertiser) = match *action {
            Action::Replay { edited, replayed, named_advertiser } => {
                ("replay", edited, Some(replayed), named_advertiser)
            }
            Action::Dismiss => ("dismiss", None, None, None),
        };
        let recorded = sqlx::query(
            "INSERT INTO dead_letter_actions (actor, action, reason, stream, generation, sequence, code, click_id, \
               payload, edited_payload, replayed_as, named_advertiser) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(actor)
        .bind(name)
        .bind(reason.map(Reason::as_str))
        .bind(&self.stream)
        .bind(self.generation)
        .bind(letter.summary.sequence as i64)
        .bind(letter.summary.code.as_deref())
        .bind(replayed.map(|replayed| replayed.click_id).or(letter.summary.click_id))
        .bind(&letter.payload[..])
        .bind(edited)
        .bind(replayed.map(|replayed| replayed.stream_sequence as i64))
        .bind(named_advertiser.map(AdvertiserId::as_str))
        .execute(&mut *self.transaction)
        .await;
        match recorded {
            Ok(_) => Ok(self.transaction.commit().await?),
            // The lock was lost, with its session, to somebody who was quicker.
            Err(error)
                if error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
            {
                Err(Error::Done)
            }
            Err(error) => Err(error.into()),
        }
    }
}
