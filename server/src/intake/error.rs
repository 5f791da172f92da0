//! Errors of intake: a click was not taken.

use axum::http::StatusCode;
use thiserror::Error as ThisError;
use uuid::Uuid;

use crate::{
    http::{
        error::{Error, Kind, Problem},
        openapi::{ONE, groups},
        rate_limit::Left,
    },
    identity::error::IdentityError,
};
use std::time::Duration;

/// The reason why a post was refused, or is not known to have been taken.
#[derive(Debug, ThisError)]
pub(crate) enum IntakeError {
    /// A batch, or something in it, is beyond a limit.
    #[error("the batch is too large: {0}")]
    BatchTooLarge(&'static str),
    #[error("wrong content type of a batch")]
    BatchMediaType,
    /// The allowed number of batches is in hand.
    #[error("too many batches")]
    TooManyBatches,
    /// An `Idempotency-Key` came again with another body.
    #[error("the idempotency key is another post's")]
    KeyReused,
    /// The first post with this `Idempotency-Key` is not answered yet.
    #[error("the first post with the idempotency key is in flight")]
    KeyInFlight,
    /// The broker did not acknowledge the click with this id; it may have it all the same.
    #[error("broker: {cause}")]
    Broker { click_id: Uuid, cause: String },
    /// The broker did not do something else than take a click.
    #[error("broker: {0}")]
    BrokerAway(String),
}

impl Problem for IntakeError {
    fn kind(&self) -> Kind {
        match self {
            Self::BatchTooLarge(message) => Kind(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message),
            Self::BatchMediaType => Kind(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send a JSON array with `Content-Type: application/json`, or a click a line with `Content-Type: application/x-ndjson`.",
            ),
            Self::TooManyBatches => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_batches",
                "Too many batches at once. Try again.",
            ),
            Self::KeyReused => Kind(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key came with another body before. Use a new one.",
            ),
            Self::KeyInFlight => Kind(
                StatusCode::CONFLICT,
                "idempotency_key_in_flight",
                "The first post with this Idempotency-Key is not answered yet. Try again.",
            ),
            Self::Broker { .. } => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "broker_unavailable",
                "It is not certain that the click was taken. Send it again, with this click_id.",
            ),
            Self::BrokerAway(_) => Kind(
                StatusCode::SERVICE_UNAVAILABLE,
                "broker_unavailable",
                "The broker can't do this now. Try again.",
            ),
        }
    }

    fn is_passing(&self) -> bool {
        matches!(self, Self::KeyInFlight)
    }

    fn click_id(&self) -> Option<Uuid> {
        if let Self::Broker { click_id, .. } = self { Some(*click_id) } else { None }
    }
}

groups! {
    /// The caller has no key to post with, or sends too much.
    Poster: Error::Unauthorized, IdentityError::KeysUnread, Error::UnsupportedEncoding,
        Error::TooMany { left: Left::nothing("key", ONE), retry_after: Duration::ZERO };
    /// The key is another advertiser's.
    NotAllowed: Error::Forbidden;
    /// A batch is wrong, or one too many.
    Batch: IntakeError::BatchTooLarge("The batch, or a click in it, is beyond a limit."),
        IntakeError::BatchMediaType, IntakeError::TooManyBatches;
    /// The post came before.
    Repeated: IntakeError::KeyReused, IntakeError::KeyInFlight;
    /// A click was not acknowledged.
    Click: IntakeError::Broker { click_id: Uuid::nil(), cause: String::new() },
        IntakeError::BrokerAway(String::new());
    /// The broker is asked.
    Broker: IntakeError::BrokerAway(String::new());
}
