//! Codes over what a server hands out and takes back: HMAC-SHA-256 (RFC 2104).
//!
//! The first key signs, every key verifies: a new key is put before the old one, which is taken away when
//! what it signed has expired. Comparing takes the same time wherever the difference is.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Keys that make codes and verify them: at least one.
#[derive(Clone)]
pub(crate) struct Keys(Vec<Hmac<Sha256>>);

impl Keys {
    /// The configured keys; without any, one that is made from another secret, for this purpose alone.
    pub(crate) fn new(keys: &[String], secret: &[u8], purpose: &[u8]) -> Self {
        if keys.is_empty() {
            let made = over(keyed(secret), &[purpose]).finalize().into_bytes();
            Self(vec![keyed(&made)])
        } else {
            Self(keys.iter().map(|key| keyed(key.as_bytes())).collect())
        }
    }

    /// The first `bytes` of the code over all parts.
    pub(crate) fn code(&self, parts: &[&[u8]], bytes: usize) -> Vec<u8> {
        let code = self.0.first().map(|key| over(key.clone(), parts).finalize().into_bytes());
        code.iter().flatten().take(bytes).copied().collect()
    }

    /// Returns whether `code` has this many bytes and one of the keys gives a code that begins with them.
    pub(crate) fn verify(&self, parts: &[&[u8]], code: &[u8], bytes: usize) -> bool {
        // Part of a code would verify, too.
        code.len() == bytes
            && self.0.iter().any(|key| over(key.clone(), parts).verify_truncated_left(code).is_ok())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("any key length is allowed"))
}

fn over(mut key: Hmac<Sha256>, parts: &[&[u8]]) -> Hmac<Sha256> {
    parts.iter().for_each(|part| key.update(part));
    key
}
