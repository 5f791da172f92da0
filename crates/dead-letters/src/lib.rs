//! Messages that can't be counted. The aggregator sets them aside on a stream of their own: the
//! original bytes, the reason and where they came from ([`store`](DeadLetters::store)).
//! Administrators list and read them and then either replay them, edited if need be, or dismiss
//! them, over HTTP or on the command line: the same code, so with the same meaning.
//!
//! What is done with a letter goes through four steps, and a crash between any two of them loses
//! and doubles nothing, for the letter stays and everything can be done again:
//! 1. **claim** it: of all who deal with it at once, one goes on,
//! 2. **publish** to the stream of clicks (a replay only): the ledger counts a click id once,
//! 3. **record** who did what and why, with the bytes, in `dead_letter_actions`, once for each letter,
//! 4. **delete** the letter.
//!
//! The message says which advertiser's click it is. Where it does not, or an edit says another, an administrator must
//! say so, with a reason, and the record has it.

pub mod erase;
mod error;
mod letter;
pub mod message;
mod record;
mod replay;

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{Context, stream::Stream},
};
use bytes::Bytes;
use clickwire_protocol::{
    dead_letters::{Page, Replayed},
    reason::Reason,
    stream::Names,
};
use sqlx::PgPool;

pub use crate::{error::Error, letter::DeadLetter, record::Outcome, replay::Refusal};
use crate::{
    message::Unprocessable,
    record::{Action, Claim},
};

/// Letters on one page, at most.
pub const PAGE_MAX: usize = 100;

/// The dead letters of one stream; cheap to clone.
#[derive(Clone)]
pub struct DeadLetters {
    nats: Context,
    names: Names,
}

/// The person who deals with a letter.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// Stands in the record.
    pub name: &'a str,
    /// May say whose click it is where the message does not.
    pub is_administrator: bool,
}

impl DeadLetters {
    /// Those of the stream with these names.
    pub fn new(nats: Context, names: Names) -> Self {
        Self { nats, names }
    }

    /// Stores a message that can't be counted and returns when the broker has it. Stored again
    /// after a redelivery it leaves one copy, as long as the broker remembers its message id, which is made
    /// of where it came from.
    pub async fn store(
        &self,
        subject: &str,
        stream_sequence: u64,
        payload: Bytes,
        poison: &Unprocessable,
    ) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, format!("{}-{stream_sequence}", self.names.stream()));
        letter::describe(&mut headers, subject, stream_sequence, poison);
        let to = self.names.dead_letter_subject();
        let stored = self.nats.publish_with_headers(to, headers, payload).await?.await?;
        if !stored.duplicate {
            metrics::counter!("clickwire_dead_letters_total", "code" => poison.code()).increment(1);
            tracing::warn!(stream_sequence, code = poison.code(), reason = %poison, "dead letter");
        }
        Ok(())
    }

    /// Returns the number of letters.
    pub async fn waiting(&self) -> Result<u64, Error> {
        Ok(self.nats.get_stream(self.names.dead_letter_stream()).await?.cached_info().state.messages)
    }

    /// Up to `limit` letters, [`PAGE_MAX`] at most, behind the one with the sequence number `after`.
    pub async fn list(&self, after: u64, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut page = Page { data: Vec::new(), next: None };
        let mut last = after;
        while let Some(letter) = self.first_from(last.saturating_add(1)).await? {
            if page.data.len() == limit {
                page.next = Some(last);
                break;
            }
            last = letter.summary.sequence;
            page.data.push(letter.summary);
        }
        Ok(page)
    }

    /// One letter with everything that is known of it.
    pub async fn read(&self, sequence: u64) -> Result<DeadLetter, Error> {
        // Sequences begin at 1, and the broker takes 0 for no sequence at all.
        if sequence == 0 {
            return Err(Error::NotFound);
        }
        let request = self.stream().await?.raw_message_builder().sequence(sequence);
        letter::found(request.send().await)?.ok_or(Error::NotFound)
    }

    /// Sends a letter's message back to be counted, edited if `edited` is given, and removes the
    /// letter. An edit may repair everything but a readable click id, and an operator's not whose click it is.
    pub async fn replay(
        &self,
        database: &PgPool,
        sequence: u64,
        edited: Option<Bytes>,
        actor: Actor<'_>,
        reason: Option<&Reason>,
    ) -> Result<Replayed, Error> {
        let letter = self.read(sequence).await?;
        // First, so that nothing is published if it can't be recorded.
        let claim = self.claim(database, sequence).await?;
        let published =
            replay::publish(&self.nats, &self.names, &letter, edited.as_ref(), actor, reason).await;
        let (replayed, named_advertiser) = match published {
            Ok(published) => published,
            Err(error) => {
                claim.give_up().await;
                return Err(error);
            }
        };
        let named_advertiser = named_advertiser.as_ref();
        let action = Action::Replay { edited: edited.as_deref(), replayed: &replayed, named_advertiser };
        claim.record(&letter, actor.name, reason, &action).await?;
        self.delete(sequence).await?;
        Ok(replayed)
    }

    /// Removes a letter whose message shall not be counted.
    pub async fn dismiss(
        &self,
        database: &PgPool,
        sequence: u64,
        actor: Actor<'_>,
        reason: &Reason,
    ) -> Result<(), Error> {
        let letter = self.read(sequence).await?;
        let claim = self.claim(database, sequence).await?;
        claim.record(&letter, actor.name, Some(reason), &Action::Dismiss).await?;
        self.delete(sequence).await
    }

    /// Returns what was done with a letter, for those who come after another.
    pub async fn outcome(&self, database: &PgPool, sequence: u64) -> Result<Outcome, Error> {
        let stream = self.nats.get_stream(self.names.dead_letter_stream()).await?;
        let generation = stream.cached_info().created;
        let outcome =
            record::outcome(database, &self.names.dead_letter_stream(), generation, sequence).await?;
        outcome.ok_or(Error::NotFound)
    }

    /// A letter for one to deal with. One that was dealt with, and left behind by a crash, is removed.
    async fn claim(&self, database: &PgPool, sequence: u64) -> Result<Claim, Error> {
        let stream = self.nats.get_stream(self.names.dead_letter_stream()).await?;
        let generation = stream.cached_info().created;
        let claimed = Claim::take(database, self.names.dead_letter_stream(), generation, sequence).await;
        if matches!(claimed, Err(Error::Done)) {
            self.delete(sequence).await?;
        }
        claimed
    }

    async fn stream(&self) -> Result<Stream<()>, Error> {
        Ok(self.nats.get_stream_no_info(self.names.dead_letter_stream()).await?)
    }

    /// The first letter whose sequence number is not below `sequence`.
    async fn first_from(&self, sequence: u64) -> Result<Option<DeadLetter>, Error> {
        let request = self.stream().await?.raw_message_builder().sequence(sequence);
        letter::found(request.next_by_subject(self.names.dead_letter_subject()).send().await)
    }

    async fn delete(&self, sequence: u64) -> Result<(), Error> {
        let Err(error) = self.stream().await?.delete_message(sequence).await else { return Ok(()) };
        match self.read(sequence).await {
            // Somebody else was quicker.
            Err(Error::NotFound) => Ok(()),
            Ok(_) | Err(_) => Err(error.into()),
        }
    }
}
