//! Dead letters as the API describes them to operators.

use clickwire_protocol::dead_letters::Summary;
use serde::Deserialize;
use uuid::Uuid;

/// A message that could not be counted, with the message itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    /// The dead letter without its message.
    #[serde(flatten)]
    pub summary: Summary,
    /// The message, if it is text.
    pub payload: Option<String>,
    /// The message's bytes, if it is not text.
    pub payload_base64: Option<String>,
}

/// The outcome of a dead letter: the action that ended it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LetterOutcome {
    /// `replay` or `dismiss`.
    pub action: String,
    /// Time of the action.
    pub acted_at: String,
    /// The person.
    pub actor: String,
    /// Reason that the person gave.
    pub reason: Option<String>,
    /// The click that the message spoke of.
    pub click_id: Option<Uuid>,
    /// The message was edited.
    pub is_edited: bool,
    /// The advertiser that an administrator said the click is of.
    pub named_advertiser: Option<String>,
}
