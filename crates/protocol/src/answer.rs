//! What whoever posts clicks is answered, and what everybody is told of an error.

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
    /// Only a hint, and only for trusted keys; the ledger decides later.
    pub is_fraudulent: bool,
}

/// The answer to a batch of clicks: each is in one of the three numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BatchAnswer {
    /// These can't be lost any more.
    pub accepted: usize,
    /// These are wrong in themselves; sending them again changes nothing.
    pub rejected: usize,
    /// These may have been lost, through no fault of theirs: to be sent again, each with the `click_id`
    /// of its result.
    pub failed: usize,
    /// One for each click, in the order of the batch.
    pub results: Vec<BatchResult>,
}

/// What became of one click of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum BatchResult {
    /// As [`Accepted`] says of a single one.
    Accepted {
        /// The click's id.
        click_id: Uuid,
        /// As of a single one; an earlier click of the same batch counts.
        is_duplicate: bool,
        /// Only a hint.
        is_fraudulent: bool,
    },
    /// The click was not taken.
    Refused {
        /// Why.
        error: Refusal,
    },
}

/// Why one click of a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Refusal {
    /// Its fields are wrong.
    Invalid(Rejection),
    /// Something else.
    Other {
        /// For programs.
        code: Cow<'static, str>,
        /// For people.
        message: Cow<'static, str>,
        /// To send it again under: it may have been taken all the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        click_id: Option<Uuid>,
    },
}

/// The body of an answer to bad input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Invalid))]
pub struct InvalidBody {
    /// Everything that is wrong with it.
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

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemDetails {
    /// For programs.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: Cow<'static, str>,
    /// To send a click again under that was not acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub click_id: Option<Uuid>,
    /// Why a message can't be replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
