//! The keys in a server's memory, so that no click waits for the database.
//!
//! Every second one row tells whether a key has changed ([`crate::store::following`]); a key that was revoked
//! anywhere is refused everywhere within two.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, PoisonError, RwLock},
};

use clickwire_process::now_ms;
use clickwire_protocol::click::UnknownFields;
use sqlx::PgPool;
use tokio::sync::Mutex;

use super::{
    Poster,
    store::{self, Valid},
};
use crate::{
    http::{
        error::Error,
        rate_limit::{Allowance, Rate},
    },
    identity::{
        error::IdentityError,
        secret::{Hash, hash},
    },
    store::database::Version,
};

/// All keys that are taken; cheap to clone.
#[derive(Clone)]
pub(crate) struct Ring {
    configured: Arc<HashMap<Hash, Poster>>,
    stored: Arc<RwLock<Stored>>,
    /// One reads at a time, or what one has read first could replace what another has read since.
    reading: Arc<Mutex<()>>,
    /// Pool that no request uses: a read that waits for a connection holds up all others.
    database: PgPool,
}

#[derive(Default)]
struct Stored {
    /// `None` before they were read for the first time.
    version: Option<Version>,
    keys: HashMap<Hash, Held>,
}

struct Held {
    poster: Poster,
    /// Unix time in milliseconds.
    until_ms: Option<i64>,
}

impl Ring {
    /// The keys of the configuration, and those in the database as soon as they were read.
    pub(crate) fn new(configured: &[String], database: PgPool) -> Self {
        let configured = configured.iter().map(|key| (hash(key), Poster::configured(key))).collect();
        Self { configured: Arc::new(configured), stored: Arc::default(), reading: Arc::default(), database }
    }

    /// The poster that this key belongs to.
    pub(crate) fn poster(&self, key: &str) -> Result<Poster, Error> {
        let hash = hash(key);
        if let Some(poster) = self.configured.get(&hash) {
            return Ok(poster.clone());
        }
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        match stored.keys.get(&hash) {
            Some(held) if held.until_ms.is_none_or(|until_ms| now_ms() < until_ms) => Ok(held.poster.clone()),
            None if stored.version.is_none() => Err(IdentityError::KeysUnread.into()),
            Some(_) | None => Err(Error::Unauthorized),
        }
    }

    /// Returns whether there is a key that is given hints.
    pub(crate) fn gives_hints(&self) -> bool {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        stored.keys.values().any(|held| held.poster.gets_hints)
    }

    /// Reads the keys again if one has changed.
    pub(crate) async fn refresh(&self) -> Result<(), sqlx::Error> {
        let _turn = self.reading.lock().await;
        let version = store::version(&self.database).await?;
        if self.stored.read().unwrap_or_else(PoisonError::into_inner).version == Some(version) {
            return Ok(());
        }
        // Read after the version: they may be newer than it, never older.
        let valid = store::valid(&self.database).await?;
        let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        let keys = stored.renewed(valid);
        *stored = Stored { version: Some(version), keys };
        Ok(())
    }
}

impl Stored {
    /// The keys as they were read. What a key has spent stays spent while its allowance is the same.
    fn renewed(&self, valid: Vec<Valid>) -> HashMap<Hash, Held> {
        let spent: HashMap<&str, &Arc<Allowance>> = self
            .keys
            .values()
            .filter_map(|held| Some((&*held.poster.key_id, held.poster.allowance.as_ref()?)))
            .collect();
        let mut keys = HashMap::with_capacity(valid.len());
        for Valid { key, secret_hash, previous_secret_hash } in valid {
            let positive = |number: i32| u32::try_from(number).ok().and_then(NonZeroU32::new);
            let per_second = positive(key.rate_per_second).unwrap_or(NonZeroU32::MIN);
            let rate = Rate::per_second(per_second, positive(key.burst).unwrap_or(NonZeroU32::MIN));
            let allowance = spent
                .get(key.key_id.as_str())
                .filter(|allowance| allowance.rate() == rate)
                .map_or_else(|| Arc::new(Allowance::new("key", rate)), |allowance| Arc::clone(allowance));
            let poster = Poster {
                key_id: key.key_id.into(),
                is_test: key.mode == "test",
                speaks_for_users: key.speaks_for_users,
                unknown_fields: if key.ignores_unknown_fields {
                    UnknownFields::Ignored
                } else {
                    UnknownFields::Refused
                },
                gets_hints: key.hints,
                advertisers: key.advertisers.map(Into::into),
                allowance: Some(allowance),
            };
            let previous_until_ms =
                key.previous_until.map(|until| (until.unix_timestamp_nanos() / 1_000_000) as i64);
            let hashes = [(Some(secret_hash), None), (previous_secret_hash, previous_until_ms)];
            for (hash, until_ms) in hashes {
                if let Some(hash) = hash.and_then(|hash| Hash::try_from(hash).ok()) {
                    keys.insert(hash, Held { poster: poster.clone(), until_ms });
                }
            }
        }
        keys
    }
}
