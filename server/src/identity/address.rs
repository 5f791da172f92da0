//! A keyed hash stands for a user's address; the address itself is never stored, logged or sent on.

use std::net::{IpAddr, Ipv6Addr};

use clickwire_protocol::times::UnixMs;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::NextKey;

/// Bytes of the hash that are kept: half of SHA-256, which is beyond guessing and collisions.
const KEPT_BYTES: usize = 16;

/// Hashes addresses (HMAC-SHA-256, RFC 2104) under a key that may be replaced at a time that all servers
/// agree on. An address's clicks before and after it are not recognised as one address's: whoever clicks
/// too fast just then is judged by either part alone.
pub(crate) struct Hasher {
    keyed: Hmac<Sha256>,
    next: Option<(UnixMs, Hmac<Sha256>)>,
}

impl Hasher {
    pub(crate) fn new(key: &str, next: Option<&NextKey>) -> Self {
        Self { keyed: keyed(key), next: next.map(|next| (next.from, keyed(&next.key))) }
    }

    /// The hash of an IPv4 address, or of the /64 network of an IPv6 address (one customer's, by
    /// RFC 6177), in hexadecimal, under the key of the time at which its click was received.
    pub(crate) fn hash(&self, address: IpAddr, received_at: UnixMs) -> String {
        let mut keyed = match &self.next {
            Some((from, next)) if received_at >= *from => next.clone(),
            Some(_) | None => self.keyed.clone(),
        };
        match address.to_canonical() {
            IpAddr::V4(address) => keyed.update(&address.octets()),
            IpAddr::V6(address) => keyed.update(&network(address)),
        }
        keyed.finalize().into_bytes()[..KEPT_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn keyed(key: &str) -> Hmac<Sha256> {
    // HMAC takes keys of every length.
    Hmac::new_from_slice(key.as_bytes()).unwrap_or_else(|_| unreachable!("any key length is allowed"))
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
        let (one, other) = (Hasher::new("key one", None), Hasher::new("key two", None));
        let hash = |hasher: &Hasher, address: &str| hasher.hash(address.parse().unwrap(), UnixMs(0));
        assert_eq!(hash(&one, "192.0.2.1").len(), 32);
        assert_eq!(hash(&one, "192.0.2.1"), hash(&one, "::ffff:192.0.2.1"));
        assert_ne!(hash(&one, "192.0.2.1"), hash(&one, "192.0.2.2"));
        assert_ne!(hash(&one, "192.0.2.1"), hash(&other, "192.0.2.1"));
        assert_eq!(hash(&one, "2001:db8::1"), hash(&one, "2001:db8::2"));
        assert_ne!(hash(&one, "2001:db8::1"), hash(&one, "2001:db8:0:1::1"));
    }

    #[test]
    fn a_key_is_replaced_at_its_time() {
        let next = NextKey { from: UnixMs(1_000), key: "key two".to_owned() };
        let (before, after) = (Hasher::new("key one", None), Hasher::new("key two", None));
        let both = Hasher::new("key one", Some(&next));
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(both.hash(address, UnixMs(999)), before.hash(address, UnixMs(999)));
        assert_eq!(both.hash(address, UnixMs(1_000)), after.hash(address, UnixMs(1_000)));
    }
}
