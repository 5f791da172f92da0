//! Reasons why a dead letter was not dealt with. In every case the letter is still there.

use std::error::Error as _;

use async_nats::jetstream::{
    self, ErrorCode,
    context::{GetStreamError, PublishError},
    stream::{DeleteMessageError, RawMessageError},
};
use clickwire_protocol::ids::AdvertiserId;
use thiserror::Error;

use crate::replay::Refusal;

/// A reason why a dead letter was not dealt with.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such letter; not any more, perhaps.
    #[error("there is no such dead letter")]
    NotFound,
    /// Another request or command is dealing with it at this moment.
    #[error("somebody else is dealing with this dead letter")]
    Busy,
    /// The letter has been dealt with.
    #[error("this dead letter has been dealt with already")]
    Done,
    /// An edit that names the advertiser must give a reason.
    #[error("a reason is needed: the message does not say that the click is {0}'s")]
    ReasonMissing(AdvertiserId),
    /// The message would only come back.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The broker did not take a message.
    #[error("publish: {0}")]
    Publish(#[from] PublishError),
    /// The broker can't be asked about a stream.
    #[error("stream: {0}")]
    Stream(#[from] GetStreamError),
    /// The broker does not hand a letter out.
    #[error("reading: {0}")]
    Read(#[from] RawMessageError),
    /// The broker does not delete a letter; what was to be done with it is done and recorded.
    #[error("deleting: {0}")]
    Delete(#[from] DeleteMessageError),
    /// The action could not be recorded.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Returns whether the stream of dead letters is full: somebody must make room.
    pub fn is_full(&self) -> bool {
        let Self::Publish(error) = self else { return false };
        error
            .source()
            .and_then(|source| source.downcast_ref::<jetstream::Error>())
            .is_some_and(|cause| cause.error_code() == ErrorCode::STREAM_STORE_FAILED)
    }
}
