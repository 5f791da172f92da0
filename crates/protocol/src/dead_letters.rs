//! Messages that could not be counted, as `/api/v1/admin/dead-letters` tells of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Some of them, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterPage))]
pub struct Page {
    /// The letters.
    pub data: Vec<Summary>,
    /// Where the next page begins: `after` this sequence number. `None`: there are no more.
    pub next: Option<u64>,
}

/// What is known of a letter beside its message. What its headers don't say, since it was put there by other means,
/// is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterSummary))]
pub struct Summary {
    /// Names the letter.
    pub sequence: u64,
    /// Why it can't be counted; a stable code for programs.
    pub code: Option<String>,
    /// Why it can't be counted; for people.
    pub reason: Option<String>,
    /// Its subject on the stream of clicks.
    pub subject: Option<String>,
    /// Its sequence number on the stream of clicks.
    pub stream_sequence: Option<u64>,
    /// When it was set aside; RFC 3339.
    pub stored_at: String,
    /// Length of the message.
    pub size_bytes: usize,
    /// The click that it speaks of, if that can be read.
    pub click_id: Option<Uuid>,
}

/// A message that is back on the stream of clicks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replayed {
    /// The click that it speaks of.
    pub click_id: Uuid,
    /// Where it is now.
    pub subject: String,
    /// Its sequence number there.
    pub stream_sequence: u64,
    /// The broker had this letter's replay already, as it was sent then: an earlier attempt broke
    /// off, or another person was quicker.
    pub is_repeated: bool,
}
