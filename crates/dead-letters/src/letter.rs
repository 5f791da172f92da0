//! A dead letter: a message as it came, and in its headers why it can't be counted and where it was.

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        message::StreamMessage,
        stream::{RawMessageError, RawMessageErrorKind},
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clickwire_protocol::{dead_letters::Summary, ids::AdvertiserId};
use serde::{Serialize, Serializer};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{Error, message::Unprocessable};

/// The reason, as a stable code for programs.
const CODE: &str = "Clickwire-Code";
/// The reason, as a text for people.
const REASON: &str = "Clickwire-Reason";
/// The message's subject on the stream of clicks.
const SUBJECT: &str = "Clickwire-Subject";
/// The message's sequence number on the stream of clicks.
const SEQUENCE: &str = "Clickwire-Sequence";

/// Characters of a reason that are kept.
const REASON_CHARACTERS: usize = 500;

/// A letter with its message.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeadLetter {
    /// Data about the letter beside its message.
    #[serde(flatten)]
    pub summary: Summary,
    /// The message as it came: `payload` if it is text, else `payload_base64`.
    #[serde(flatten, serialize_with = "text_or_base64")]
    #[cfg_attr(feature = "openapi", schema(value_type = Shown<'static>))]
    pub payload: Bytes,
}

/// A message as it is shown.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = DeadLetterPayload))]
struct Shown<'a> {
    /// The message, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// Else its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// Says in the headers why a message can't be counted and where it was.
pub(crate) fn describe(headers: &mut HeaderMap, subject: &str, stream_sequence: u64, poison: &Unprocessable) {
    headers.insert(CODE, poison.code());
    headers.insert(REASON, one_line(&poison.to_string()));
    headers.insert(SUBJECT, subject);
    headers.insert(SEQUENCE, stream_sequence.to_string());
}

/// A header's value can't span lines.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARACTERS).collect()
}

/// Reads the broker's answer: a letter, or that there is none.
pub(crate) fn found(answer: Result<StreamMessage, RawMessageError>) -> Result<Option<DeadLetter>, Error> {
    match answer {
        Ok(message) => Ok(Some(message.into())),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            // The first aggregator to start makes the stream.
            RawMessageErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                Ok(None)
            }
            _ => Err(error.into()),
        },
    }
}

impl DeadLetter {
    /// The advertiser that the message names, if that can be read.
    pub(crate) fn advertiser_id(&self) -> Option<AdvertiserId> {
        text_in(&self.payload, "advertiser_id").map(AdvertiserId::unchecked)
    }
}

impl From<StreamMessage> for DeadLetter {
    fn from(message: StreamMessage) -> Self {
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
        let summary = Summary {
            sequence: message.sequence,
            code: header(CODE),
            reason: header(REASON),
            subject: header(SUBJECT),
            stream_sequence: header(SEQUENCE).and_then(|number| number.parse().ok()),
            stored_at: message.time.format(&Rfc3339).unwrap_or_default(),
            size_bytes: message.payload.len(),
            click_id: text_in(&message.payload, "click_id")
                .and_then(|id| Uuid::try_parse(&id).ok())
                .filter(|id| !id.is_nil()),
        };
        Self { summary, payload: message.payload }
    }
}

/// A text in a message that may be anything.
fn text_in(payload: &[u8], name: &str) -> Option<String> {
    let message: Value = serde_json::from_slice(payload).ok()?;
    message.get(name)?.as_str().map(str::to_owned)
}

fn text_or_base64<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    let text = std::str::from_utf8(payload).ok();
    let base64 = text.is_none().then(|| STANDARD.encode(payload));
    Shown { payload: text, payload_base64: base64 }.serialize(serializer)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;

    pub(crate) fn letter(payload: &[u8]) -> DeadLetter {
        let mut headers = HeaderMap::new();
        describe(&mut headers, "clicks.3", 17, &Unprocessable::Refused("line\r\nbreak".into()));
        StreamMessage {
            subject: "clicks_dlq".into(),
            sequence: 4,
            headers,
            payload: Bytes::copy_from_slice(payload),
            time: OffsetDateTime::UNIX_EPOCH,
        }
        .into()
    }

    #[test]
    fn a_letter_is_shown_with_its_message_as_text_or_base64() {
        let id = Uuid::from_u128(7);
        let text = json!({"click_id": id, "ad_id": 5}).to_string();
        let shown = serde_json::to_value(letter(text.as_bytes())).unwrap();
        assert_eq!(
            shown,
            json!({"sequence": 4, "code": "refused", "subject": "clicks.3", "stream_sequence": 17,
                "reason": "the database refuses its content: line  break", "stored_at": "1970-01-01T00:00:00Z",
                "size_bytes": text.len(), "click_id": id, "payload": text})
        );
        let shown = serde_json::to_value(letter(b"\xff\0")).unwrap();
        assert_eq!((&shown["payload_base64"], &shown["click_id"]), (&json!("/wA="), &Value::Null));
        assert!(shown.get("payload").is_none());
    }
}
