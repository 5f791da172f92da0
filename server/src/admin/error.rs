//! Errors of administrators' orders.

use axum::http::StatusCode;
use thiserror::Error as ThisError;

use crate::{
    http::{
        error::{Error, Kind, Problem},
        openapi::groups,
    },
    intake::error::IntakeError,
};

/// The reason why an order was not done.
#[derive(Debug, ThisError)]
pub(crate) enum AdminError {
    /// A dead letter's message would only come back.
    #[error("replay: {0}")]
    NotReplayable(String),
}

impl Problem for AdminError {
    fn kind(&self) -> Kind {
        Kind(
            StatusCode::UNPROCESSABLE_ENTITY,
            "not_replayable",
            "This message can't be counted. Send an edited one as `payload`.",
        )
    }

    fn reason(&self) -> Option<String> {
        let Self::NotReplayable(reason) = self;
        Some(reason.clone())
    }
}

impl From<clickwire_dead_letters::Error> for Error {
    fn from(error: clickwire_dead_letters::Error) -> Self {
        use clickwire_dead_letters::Error as Cause;
        match error {
            Cause::NotFound => Self::NotFound,
            Cause::Refused(refusal) => AdminError::NotReplayable(refusal.to_string()).into(),
            Cause::Busy | Cause::Done => {
                Self::Conflict("Somebody has dealt with this dead letter, or is about to.")
            }
            Cause::ReasonMissing(_) => {
                Self::field("reason", "Required where the message does not say whose click it is.")
            }
            Cause::Database(error) => error.into(),
            Cause::Publish(_) | Cause::Stream(_) | Cause::Read(_) | Cause::Delete(_) => {
                IntakeError::BrokerAway(error.to_string()).into()
            }
        }
    }
}

groups! {
    /// A message can't go back.
    NotReplayable: AdminError::NotReplayable(String::new());
}
