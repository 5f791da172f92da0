//! Keys and tokens: their form, and the hash that is kept of each.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};

/// Random bytes in a key, and in its hash.
const BYTES: usize = 32;

/// The kept part of a key: its SHA-256. The time of a comparison tells nothing about the key.
pub(crate) type Hash = [u8; BYTES];

pub(crate) fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key or token: `cw_live_`, `cw_test_` or `cw_user_`, which lets scanners find one that leaked, and 256
/// random bits.
pub(crate) fn generate(kind: &str) -> String {
    let mut bytes = [0; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    format!("cw_{kind}_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A new name for a key or token, which is no secret.
pub(crate) fn generate_id(kind: &str) -> String {
    let mut bytes = [0; 8];
    rand::rng().fill_bytes(&mut bytes);
    format!("{kind}_{:016x}", u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_their_prefix_and_are_never_the_same() {
        let (live, test) = (generate("live"), generate("test"));
        assert!(live.starts_with("cw_live_") && live.len() == "cw_live_".len() + 43, "{live}");
        assert!(test.starts_with("cw_test_"));
        assert_ne!(generate("live"), live);
        assert_ne!(hash(&live), hash(&test));
        assert_ne!(generate_id("key"), generate_id("key"));
    }
}
