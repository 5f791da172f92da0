//! Messages that could not be counted, as `/api/v1/admin/dead-letters` tells of them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A page of dead letters, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterPage))]
pub struct Page {
    /// The letters.
    pub data: Vec<Summary>,
    /// Cursor for the next page: `after` this sequence number. `None`: there are no more.
    pub next: Option<u64>,
}

/// A dead letter without its message. Fields that its headers don't tell, since it was put there by other means,
/// are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterSummary))]
pub struct Summary {
    /// Names the letter.
    pub sequence: u64,
    /// The reason why it can't be counted; a stable code for programs.
    pub code: Option<String>,
    /// The reason why it can't be counted; for people.
    pub reason: Option<String>,
    /// Its subject on the stream of clicks.
    pub subject: Option<String>,
    /// Its sequence number on the stream of clicks.
    pub stream_sequence: Option<u64>,
    /// Time at which it was set aside; RFC 3339.
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
    /// The subject that it is on now.
    pub subject: String,
    /// Its sequence number there.
    pub stream_sequence: u64,
    /// The broker had this letter's replay already, as it was sent then: an earlier attempt broke
    /// off, or another person was quicker.
    pub is_repeated: bool,
}
