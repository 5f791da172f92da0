//! Answers to callers that post clicks, and the bodies of error answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::click::Rejection;

/// The answer to an accepted click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Accepted {
    /// Always true: the broker has the click on its disk, or the server has until the broker is back.
    pub success: bool,
    /// The click's id: the client's, or the one the server made.
    pub click_id: Uuid,
    /// The broker has seen this id within its duplicate window, which begins when the id first comes and
    /// lasts two minutes unless the operator has set another. False does not say that the click is new: the
    /// ledger knows ids for days and counts each once, whatever is answered here.
    pub is_duplicate: bool,
    /// A hint only, and only for trusted keys; the ledger decides later.
    pub is_fraudulent: bool,
}

/// The answer to a batch of clicks: each is in one of the three numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// Clicks that can't be lost any more.
    pub accepted: usize,
    /// Clicks that are wrong in themselves; sending them again changes nothing.
    pub rejected: usize,
    /// Clicks that may have been lost, through no fault of theirs: to be sent again, each with the `click_id`
    /// of its result.
    pub failed: usize,
    /// One result for each click, in the order of the batch.
    pub results: Vec<BatchResult>,
}

/// The result of one click of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum BatchResult {
    /// The click was taken; the fields are those of [`Accepted`].
    Accepted {
        /// The click's id.
        click_id: Uuid,
        /// The same as for a single click; an earlier click of the same batch counts.
        is_duplicate: bool,
        /// A hint only.
        is_fraudulent: bool,
    },
    /// The click was not taken.
    Refused {
        /// The reason.
        error: Refusal,
    },
}

/// The reason why one click of a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Refusal {
    /// The click's fields are wrong.
    Invalid(Rejection),
    /// Another reason.
    Other {
        /// The code, for programs.
        code: Cow<'static, str>,
        /// The message, for people.
        message: Cow<'static, str>,
        /// The id to send the click again under: it may have been taken all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        click_id: Option<Uuid>,
    },
}

/// The body of an answer to bad input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Invalid))]
pub struct InvalidBody {
    /// All faults of the input.
    pub error: Rejection,
}

/// The body of an answer to anything else that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Problem))]
pub struct ProblemBody {
    /// The error.
    pub error: ProblemDetails,
}

/// The details of an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemDetails {
    /// The code, for programs.
    pub code: Cow<'static, str>,
    /// The message, for people.
    pub message: Cow<'static, str>,
    /// The id to send a click again under that was not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<Uuid>,
    /// The reason why a message can't be replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
