//! What operators are told of dead letters.

use clickwire_protocol::dead_letters::Summary;
use serde::Deserialize;
use uuid::Uuid;

/// A message that could not be counted, with the message itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    /// What is known beside the message.
    #[serde(flatten)]
    pub summary: Summary,
    /// The message, if it is text.
    pub payload: Option<String>,
    /// Else its bytes.
    pub payload_base64: Option<String>,
}

/// What was done with a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LetterOutcome {
    /// `replay` or `dismiss`.
    pub action: String,
    /// When.
    pub acted_at: String,
    /// The person.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The click that the message spoke of.
    pub click_id: Option<Uuid>,
    /// Whether the message was edited.
    pub is_edited: bool,
    /// The advertiser that an administrator said the click is of.
    pub named_advertiser: Option<String>,
}
