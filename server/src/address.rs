//! A keyed hash stands for a user's address; the address itself is never stored, logged or sent on.

use std::net::{IpAddr, Ipv6Addr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes of the hash that are kept: half of SHA-256, which is beyond guessing and collisions.
const KEPT_BYTES: usize = 16;

/// Hashes addresses under one key (HMAC-SHA-256, RFC 2104).
pub(crate) struct Hasher {
    keyed: Hmac<Sha256>,
}

impl Hasher {
    pub(crate) fn new(key: &[u8]) -> Self {
        // HMAC takes keys of every length.
        Self {
            keyed: Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("any key length is allowed")),
        }
    }

    /// The hash of an IPv4 address, or of the /64 network of an IPv6 address (one customer's, by
    /// RFC 6177), in hexadecimal.
    pub(crate) fn hash(&self, address: IpAddr) -> String {
        let mut keyed = self.keyed.clone();
        match address.to_canonical() {
            IpAddr::V4(address) => keyed.update(&address.octets()),
            IpAddr::V6(address) => keyed.update(&network(address)),
        }
        keyed.finalize().into_bytes()[..KEPT_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn network(address: Ipv6Addr) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = address.octets();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_key_and_network_only() {
        let (one, other) = (Hasher::new(b"key one"), Hasher::new(b"key two"));
        let hash = |hasher: &Hasher, address: &str| hasher.hash(address.parse().unwrap());
        assert_eq!(hash(&one, "192.0.2.1").len(), 32);
        assert_eq!(hash(&one, "192.0.2.1"), hash(&one, "::ffff:192.0.2.1"));
        assert_ne!(hash(&one, "192.0.2.1"), hash(&one, "192.0.2.2"));
        assert_ne!(hash(&one, "192.0.2.1"), hash(&other, "192.0.2.1"));
        assert_eq!(hash(&one, "2001:db8::1"), hash(&one, "2001:db8::2"));
        assert_ne!(hash(&one, "2001:db8::1"), hash(&one, "2001:db8:0:1::1"));
    }
}
