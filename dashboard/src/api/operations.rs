//! What operators are told: dead letters, and what is done with incidents.

use clickwire_protocol::alerts::Alert;
use serde::Deserialize;
use uuid::Uuid;

/// A message that could not be counted; in a list it comes without the message itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetter {
    /// Its number.
    pub sequence: u64,
    /// Why it can't be counted, for programs.
    pub code: Option<String>,
    /// Why it can't be counted, for people.
    pub reason: Option<String>,
    /// Its subject on the stream of clicks.
    pub subject: Option<String>,
    /// Its number there.
    pub stream_sequence: Option<u64>,
    /// When it was set aside.
    pub stored_at: String,
    /// Length of the message.
    pub size_bytes: i64,
    /// The click that it speaks of, if that can be read.
    pub click_id: Option<Uuid>,
    /// The message, if it is text.
    pub payload: Option<String>,
    /// Else its bytes.
    pub payload_base64: Option<String>,
}

/// A page of dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeadLetters {
    /// The oldest first.
    pub data: Vec<DeadLetter>,
    /// What the next page is `after`.
    pub next: Option<u64>,
}

/// A message that went back to be counted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Replayed {
    /// It had gone back before.
    pub is_repeated: bool,
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
    /// Whose click an administrator said it is.
    pub named_advertiser: Option<String>,
}

/// An incident with the notes about it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Incident {
    /// The incident.
    #[serde(flatten)]
    pub alert: Alert,
    /// The oldest first.
    pub notes: Vec<IncidentNote>,
}

/// A note about an incident.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IncidentNote {
    /// Its number.
    pub note_id: i64,
    /// When it was written.
    pub noted_at: String,
    /// By whom.
    pub author: String,
    /// Some lines.
    pub text: String,
}

/// Those to whom an incident can be given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Assignees {
    /// As they stand in records.
    pub data: Vec<String>,
}
