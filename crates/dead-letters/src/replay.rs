//! Back to the stream of clicks: what may go, and where to.

use async_nats::jetstream::{Context, message::PublishMessage};
use bytes::Bytes;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::{Click, Rejection},
    dead_letters::Replayed,
    ids::AdvertiserId,
    reason::Reason,
    stream::{Names, partition_of},
    times::UnixMs,
};
use thiserror::Error as ThisError;
use uuid::Uuid;

use crate::{
    Actor, Error,
    letter::DeadLetter,
    message::{self, Unprocessable},
};

/// A reason why a message must not be replayed as it is.
#[derive(Debug, ThisError)]
pub enum Refusal {
    /// The message would be set aside again.
    #[error(transparent)]
    Unprocessable(#[from] Unprocessable),
    /// The database could not store it.
    #[error("not a click that can be stored: {}", listed(.0))]
    Rejected(Rejection),
    /// Another click would be counted in its place.
    #[error("the click keeps its id, {0}")]
    OtherId(Uuid),
    /// Another advertiser would be billed for it.
    #[error("whose click it is only an administrator says where the message does not: not {0}'s")]
    OtherAdvertiser(AdvertiserId),
}

fn listed(rejection: &Rejection) -> String {
    let fields =
        rejection.field_errors.iter().map(|(name, messages)| format!("{name}: {}", messages.join(" ")));
    rejection.form_errors.iter().cloned().chain(fields).collect::<Vec<_>>().join(" ")
}

/// Publishes a letter's message, or what it was edited to, and returns when the broker has it; and whose
/// click it was said to be, if the letter does not say so.
///
/// Its message id is made of the letter's place. The click's own would be the one it was first
/// published under, which the broker may still remember and drop; this one lets the broker drop
/// what is replayed twice in short order, and the ledger knows the click ever after.
pub(crate) async fn publish(
    nats: &Context,
    names: &Names,
    letter: &DeadLetter,
    edited: Option<&Bytes>,
    actor: Actor<'_>,
    reason: Option<&Reason>,
) -> Result<(Replayed, Option<AdvertiserId>), Error> {
    let stream = nats.get_stream(names.stream()).await?;
    let config = &stream.cached_info().config;
    let payload = edited.unwrap_or(&letter.payload);
    let now = UnixMs(now_ms());
    let click = check(letter, payload, now, message::oldest(now, config.max_age))?;
    let named_advertiser = named(letter, &click, actor, reason)?;
    let subject = names.subject(partition_of(click.click_id, config.subjects.len() as u16));
    let id = format!("{}-{}", names.dead_letter_stream(), letter.summary.sequence);
    let publish = PublishMessage::build().message_id(id).payload(payload.clone());
    let stored = nats.send_publish(subject.clone(), publish).await?.await?;
    let replayed = Replayed {
        click_id: click.click_id,
        subject,
        stream_sequence: stored.sequence,
        is_repeated: stored.duplicate,
    };
    Ok((replayed, named_advertiser))
}

/// The advertiser that the click is said to be of, if the letter does not say so; and whether that may be said.
fn named(
    letter: &DeadLetter,
    click: &Click,
    actor: Actor<'_>,
    reason: Option<&Reason>,
) -> Result<Option<AdvertiserId>, Error> {
    if letter.advertiser_id().as_ref() == Some(&click.advertiser_id) {
        return Ok(None);
    }
    let named = click.advertiser_id.clone();
    match reason {
        _ if !actor.is_administrator => Err(Refusal::OtherAdvertiser(named).into()),
        None => Err(Error::ReasonMissing(named)),
        Some(_) => Ok(Some(named)),
    }
}

/// Reads a message as the aggregator will read it, and more sternly: nothing that is known to fail
/// goes round again.
fn check(letter: &DeadLetter, payload: &[u8], now: UnixMs, oldest: UnixMs) -> Result<Click, Refusal> {
    let click = message::read(payload, now, oldest)?;
    click.check().map_err(Refusal::Rejected)?;
    match letter.summary.click_id {
        Some(id) if id != click.click_id => Err(Refusal::OtherId(id)),
        Some(_) | None => Ok(click),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::letter::tests::letter;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    fn click(ad_id: &str) -> Value {
        json!({"click_id": Uuid::from_u128(7), "advertiser_id": "adv_001", "campaign_id": "camp_001", "ad_id": ad_id,
            "country": "DE", "device_type": "mobile", "clicked_at_ms": NOW, "received_at_ms": NOW})
    }

    fn checked(original: &[u8], payload: &Value) -> Result<Click, Refusal> {
        check(&letter(original), payload.to_string().as_bytes(), NOW, NOW - 1_000)
    }

    #[test]
    fn what_would_come_back_is_refused() {
        let original = click("ad\u{0}1").to_string();
        let with = |name: &str, value: Value| {
            let mut click = click("ad_001");
            click[name] = value;
            click
        };
        assert!(checked(original.as_bytes(), &click("ad_001")).is_ok());
        assert!(checked(b"{", &with("click_id", json!(Uuid::from_u128(8)))).is_ok(), "no id was readable");
        for (edited, reason) in [
            (click("ad\u{0}1"), "ad_id: Only letters"),
            (with("received_at_ms", json!(NOW - 2_000)), "too long ago"),
            (with("received_at_ms", json!("now")), "not a click"),
            (with("click_id", json!(Uuid::from_u128(8))), "keeps its id"),
        ] {
            let refusal = checked(original.as_bytes(), &edited).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }

    #[test]
    fn whose_click_it_is_the_message_says_or_an_administrator_with_a_reason() {
        let reason: Reason = "the shop's program cut it off".parse().unwrap();
        let own = click("ad_001");
        let mut others = own.clone();
        others["advertiser_id"] = json!("adv_002");
        let readable = own.to_string();
        for (original, payload, is_administrator, reason, expected) in [
            (readable.as_str(), &own, false, None, Ok(None)),
            (&readable, &others, false, Some(&reason), Err("only an administrator")),
            (&readable, &others, true, None, Err("a reason is needed")),
            (&readable, &others, true, Some(&reason), Ok(Some("adv_002"))),
            ("{", &own, false, Some(&reason), Err("only an administrator")),
            ("{", &own, true, None, Err("a reason is needed")),
            ("{", &own, true, Some(&reason), Ok(Some("adv_001"))),
        ] {
            let edited = serde_json::from_value(payload.clone()).unwrap();
            let actor = Actor { name: "tester", is_administrator };
            let said = named(&letter(original.as_bytes()), &edited, actor, reason);
            match expected {
                Ok(advertiser) => assert_eq!(said.unwrap().as_ref().map(AdvertiserId::as_str), advertiser),
                Err(why) => assert!(said.unwrap_err().to_string().contains(why), "{original} {payload}"),
            }
        }
    }
}
