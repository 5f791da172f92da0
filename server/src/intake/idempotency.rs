//! `Idempotency-Key` on a post: the same key and body get the first answer again.
//!
//! Two things keep a post with a key from being counted twice. Its click id is derived from API key and
//! idempotency key, so a repetition is the same click to broker and ledger, whatever became of Redis.
//! And Redis remembers for a day what the first post was and what it was answered, so that a repetition
//! is answered alike, has the first one's time, and is refused while the first is in flight or if its
//! body is another.
//!
//! Redis learns no key and no body, only hashes under the deployment's secret. It holds a post up
//! for [`PATIENCE`] at most, both ways together; without it the post goes on.

use std::{sync::Arc, time::Duration};

use axum::{body::Bytes, http::HeaderMap};
use clickwire_process::{
    now_ms,
    redis::{Connection, within},
};
use clickwire_protocol::{
    idempotency::{HEADER, Key, Malformed},
    times::UnixMs,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{http::error::Error, intake::error::IntakeError};

/// Time for which Redis may hold up a post.
const PATIENCE: Duration = Duration::from_millis(100);

/// Time for which a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Time after which a server that began a post and did not end it counts as dead or frozen. Should it be alive after
/// all, both posts are one click.
const IN_FLIGHT: Duration = Duration::from_secs(5);

/// Finds a post, or writes down that it has begun. The click's time stays the first one's.
const BEGIN: &str = r#"
local known = redis.call('HMGET', KEYS[1], 'body', 'at_ms', 'busy_until_ms', 'answer')
if known[1] and known[1] ~= ARGV[1] then return {'reused', ''} end
if known[4] then return {'answered', known[4]} end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
if known[3] and tonumber(known[3]) > now_ms then return {'in_flight', ''} end
local at_ms = known[2] or ARGV[2]
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'at_ms', at_ms, 'busy_until_ms', now_ms + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'first', at_ms}
"#;

/// Writes down how a post ended, unless Redis knows better: this post may have begun without it.
const END: &str = r#"
local known = redis.call('HMGET', KEYS[1], 'body', 'answer')
if known[2] or known[1] and known[1] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'at_ms', ARGV[2], ARGV[3], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
"#;

/// The key that a post came with, if any.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<Key>, Error> {
    let mut values = headers.get_all(HEADER).iter();
    let key = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => Key::parse(value.as_bytes()),
        (Some(_), Some(_)) => Err(Malformed::NotOneText),
    };
    key.map(Some).map_err(|malformed| Error::field("Idempotency-Key", &malformed.to_string()))
}

/// The memory of posts with keys; cheap to clone.
#[derive(Clone)]
pub(crate) struct Idempotency {
    redis: Connection,
    prefix: Arc<str>,
    keyed: Hmac<Sha256>,
}

/// The state of a post in Redis.
pub(super) enum Found {
    /// The post was answered like this.
    Answer(Bytes),
    /// The post is the first, or the first failed, or Redis can't say.
    Nothing(Box<Begun>),
}

/// A post in flight; it ends with [`Begun::answered`] or [`Begun::failed`], or [`IN_FLIGHT`] later.
pub(super) struct Begun {
    redis: Connection,
    name: String,
    /// Code that stands for the body.
    body: [u8; 32],
    /// The rest of [`PATIENCE`].
    patience: Duration,
    /// The id of its click, if the body names none.
    pub(super) click_id: Uuid,
    /// The time of its click, if the body names none.
    pub(super) first_received_at_ms: UnixMs,
}

impl Idempotency {
    pub(crate) fn new(redis: Connection, prefix: Arc<str>, secret: &[u8]) -> Self {
        // HMAC takes keys of every length.
        let keyed =
            Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("any key length is allowed"));
        Self { redis, prefix, keyed }
    }

    /// Begins a post, unless it was answered, is in flight, or had another body.
    pub(super) async fn begin(&self, key_id: &str, key: &Key, body: &[u8]) -> Result<Found, Error> {
        let post = [key_id.as_bytes(), key.as_str().as_bytes()];
        let mut begun = Box::new(Begun {
            redis: self.redis.clone(),
            name: self
                .hash("post", &post)
                .iter()
                .fold(format!("{}:idempotency:{key_id}:", self.prefix), |name, byte| {
                    name + &format!("{byte:02x}")
                }),
            body: self.hash("body", &[body]),
            patience: PATIENCE,
            click_id: self.click_id(&post),
            first_received_at_ms: UnixMs(now_ms()),
        });
        let asked = Instant::now();
        let found = begun.begin().await;
        begun.patience = PATIENCE.saturating_sub(asked.elapsed());
        match found.as_ref().map(|(state, detail)| (state.as_str(), detail)) {
            Some(("reused", _)) => Err(IntakeError::KeyReused.into()),
            Some(("in_flight", _)) => Err(IntakeError::KeyInFlight.into()),
            Some(("answered", answer)) => Ok(Found::Answer(Bytes::copy_from_slice(answer))),
            Some(("first", at_ms)) => {
                let at_ms = std::str::from_utf8(at_ms).ok().and_then(|at_ms| at_ms.parse().ok()).map(UnixMs);
                begun.first_received_at_ms = at_ms.unwrap_or(begun.first_received_at_ms);
                Ok(Found::Nothing(begun))
            }
            Some(_) | None => {
                metrics::counter!("clickwire_idempotency_unchecked_total").increment(1);
                Ok(Found::Nothing(begun))
            }
        }
    }

    /// A UUIDv8 (RFC 9562, section 5.8): nobody else can find out an id and post under it first.
    fn click_id(&self, post: &[&[u8]]) -> Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.hash("click id", post)[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// HMAC-SHA-256 of the parts and their lengths, for one purpose.
    fn hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut keyed = self.keyed.clone();
        for part in [purpose.as_bytes()].iter().chain(parts) {
            keyed.update(&(part.len() as u64).to_be_bytes());
            keyed.update(part);
        }
        keyed.finalize().into_bytes().into()
    }
}

impl Begun {
    async fn begin(&self) -> Option<(String, Vec<u8>)> {
        let mut command = redis::cmd("EVAL");
        command.arg(BEGIN).arg(1).arg(&self.name).arg(&self.body[..]).arg(self.first_received_at_ms.0);
        command.arg(IN_FLIGHT.as_millis() as u64).arg(KEPT.as_millis() as u64);
        let mut redis = self.redis.clone();
        within(self.patience, async move { command.query_async(&mut redis).await }).await
    }

    /// The click is taken: repetitions are answered the same.
    pub(super) async fn answered(self, answer: &Bytes) {
        self.end("answer", answer).await;
    }

    /// Ends a post of which it is not certain that the click was taken: a repetition tries again.
    pub(super) async fn failed(self) {
        self.end("busy_until_ms", b"0").await;
    }

    async fn end(self, field: &'static str, value: &[u8]) {
        let mut command = redis::cmd("EVAL");
        command.arg(END).arg(1).arg(&self.name).arg(&self.body[..]).arg(self.first_received_at_ms.0);
        command.arg(field).arg(value).arg(KEPT.as_millis() as u64);
        let mut redis = self.redis.clone();
        // The count is right without it; repetitions are refused until the mark of the first expires.
        let _written: Option<()> =
            within(self.patience, async move { command.query_async(&mut redis).await }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idempotency(secret: &str) -> Idempotency {
        let redis = Connection::open("redis://127.0.0.1").unwrap();
        Idempotency::new(redis, "test".into(), secret.as_bytes())
    }

    #[tokio::test]
    async fn a_click_id_is_the_same_everywhere_and_nobody_elses() {
        let id = |secret, key_id: &str, key: &str| {
            idempotency(secret).click_id(&[key_id.as_bytes(), key.as_bytes()])
        };
        let ours = id("secret", "config-01", "order-7");
        // Pinned: with another one, a repetition after an update would count again.
        assert_eq!(ours.to_string(), "72378a23-a8c2-8f47-8769-e55a65215aa5");
        assert_eq!((ours.get_version_num(), ours.get_variant()), (8, uuid::Variant::RFC4122));
        for other in [
            id("another", "config-01", "order-7"),
            id("secret", "config-02", "order-7"),
            id("secret", "config-01", "order-8"),
            id("secret", "config-01o", "rder-7"),
        ] {
            assert_ne!(other, ours);
        }
    }

    #[test]
    fn one_key_is_read_and_two_are_refused() {
        let headers = |values: &[&'static str]| {
            values
                .iter()
                .map(|&value| (HEADER.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>()
        };
        assert!(key(&headers(&[])).unwrap().is_none());
        assert_eq!(key(&headers(&["\"a\""])).unwrap(), Key::parse(b"a").ok());
        for refused in [&["a", "a"][..], &[""], &["a b"]] {
            let Err(Error::Invalid(rejection)) = key(&headers(refused)) else { panic!("{refused:?}") };
            assert_eq!(rejection.field_errors.keys().collect::<Vec<_>>(), ["Idempotency-Key"]);
        }
    }
}
