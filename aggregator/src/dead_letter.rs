//! Messages that can never be counted go to a stream of their own: the original bytes, the reason
//! and where they came from.

use async_nats::{
    HeaderMap,
    header::NATS_MESSAGE_ID,
    jetstream::{Context, Message},
};
use clickwire_protocol::stream::Names;

use crate::{message::Poison, stream::Unavailable};

/// Why; a stable code for programs.
const CODE: &str = "Clickwire-Code";
/// Why; for people.
const REASON: &str = "Clickwire-Reason";
/// The message's subject on the stream of clicks.
const SUBJECT: &str = "Clickwire-Subject";
/// The message's sequence number on the stream of clicks.
const SEQUENCE: &str = "Clickwire-Sequence";

/// Stores a copy of `message` on the dead-letter stream and returns when the broker has it. Storing
/// it again after a redelivery leaves one copy: its message id is made of where it came from.
pub(crate) async fn store(
    nats: &Context,
    names: &Names,
    message: &Message,
    stream_seq: u64,
    poison: &Poison,
) -> Result<(), Unavailable> {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, format!("{}-{stream_seq}", names.stream()));
    headers.insert(CODE, poison.code());
    headers.insert(REASON, one_line(&poison.to_string()));
    headers.insert(SUBJECT, message.subject.as_str());
    headers.insert(SEQUENCE, stream_seq.to_string());
    nats.publish_with_headers(names.dead_letter_subject(), headers, message.payload.clone()).await?.await?;
    metrics::counter!("clickwire_dead_letters_total", "code" => poison.code()).increment(1);
    tracing::warn!(stream_seq, code = poison.code(), reason = %poison, "dead letter");
    Ok(())
}

/// A header's value can't span lines.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}
