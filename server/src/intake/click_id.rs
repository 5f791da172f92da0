//! Signed click ids: a redirect appends one to the target, and the landing page may post it back.
//!
//! `{uuid}.{mac}`: a UUIDv7 and the first half of HMAC-SHA-256 over its bytes and the ad's id, in base64url
//! without padding (RFC 4648, section 5). So an id is good for one ad, can't be made up, and carries the
//! time at which it expires.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clickwire_protocol::{click::IdFault, ids::AdId, times::UnixMs};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::{http::uuid_time::time_inside, identity::signing::Keys};

/// Bytes of the code that are kept: beyond guessing.
const KEPT_BYTES: usize = 16;

/// Tells keys that are made from another secret from whatever else is.
const PURPOSE: &[u8] = b"clickwire click ids";

/// Signs and verifies.
pub(crate) struct Signer {
    keys: Keys,
    lifetime: Duration,
}

impl Signer {
    /// Signs with the first of the keys; without any, with one that is made from `secret`.
    pub(crate) fn new(keys: &[String], secret: &[u8], lifetime: Duration) -> Self {
        Self { keys: Keys::new(keys, secret, PURPOSE), lifetime }
    }

    /// The id as text, good for this ad.
    pub(crate) fn sign(&self, id: Uuid, ad_id: &AdId) -> String {
        let code = self.keys.code(&[id.as_bytes(), ad_id.as_str().as_bytes()], KEPT_BYTES);
        format!("{id}.{}", BASE64_URL_SAFE_NO_PAD.encode(code))
    }

    /// Returns the fault of an id that is posted for an ad, if any.
    pub(crate) fn fault(&self, id: Uuid, signature: &str, ad_id: &AdId, now: UnixMs) -> Option<IdFault> {
        let Ok(mac) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return Some(IdFault::Forged) };
        let is_signed = self.keys.verify(&[id.as_bytes(), ad_id.as_str().as_bytes()], &mac, KEPT_BYTES);
        match time_inside(&id) {
            Some(at) if is_signed => {
                let age_ms = i128::from(now.0) - i128::from(at.0);
                (age_ms > self.lifetime.as_millis() as i128).then_some(IdFault::Expired)
            }
            Some(_) | None => Some(IdFault::Forged),
        }
    }
}

/// The id that a click with a forged id is counted under: it must not take the place of the click whose
/// id it bears. The same for the same forgery, so it is counted once.
pub(crate) fn of_forgery(id: Uuid, signature: &str, ad_id: &AdId) -> Uuid {
    let hash = Sha256::new()
        .chain_update(b"clickwire forged click id")
        .chain_update(id.as_bytes())
        .chain_update(ad_id.as_str())
        .chain_update([0])
        .chain_update(signature)
        .finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const NOW_MS: i64 = 1_800_000_000_000;

    fn signer(keys: &[&str]) -> Signer {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        Signer::new(&keys, b"some other secret", DAY)
    }

    fn id(at_ms: i64, random: [u8; 10]) -> Uuid {
        Builder::from_unix_timestamp_millis(at_ms as u64, &random).into_uuid()
    }

    fn ad() -> AdId {
        AdId::unchecked("ad_001")
    }

    fn fault(signer: &Signer, text: &str) -> Option<IdFault> {
        let (id, signature) = text.split_once('.').unwrap();
        signer.fault(id.parse().unwrap(), signature, &ad(), UnixMs(NOW_MS))
    }

    #[test]
    fn a_uuidv7_carries_its_time() {
        let id = Uuid::parse_str("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").unwrap();
        assert_eq!(time_inside(&id), Some(UnixMs(1_645_557_742_000)));
        assert_eq!(time_inside(&Uuid::from_u128(0x4000 << 64)), None);
    }

    /// Ids in the wild must stay good from one version to the next. The code was computed with Python's
    /// `hmac`.
    #[test]
    fn the_text_is_pinned() {
        let id = Uuid::parse_str("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").unwrap();
        assert_eq!(
            signer(&["key of the test!"]).sign(id, &ad()),
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f.XDEAIh7nOUAwHpA7t_b_4g"
        );
    }

    #[test]
    fn an_id_expires_by_its_own_time() {
        let signer = signer(&["one"]);
        let day_ms = DAY.as_millis() as i64;
        for (at_ms, expected) in
            [(NOW_MS, None), (NOW_MS - day_ms, None), (NOW_MS - day_ms - 1, Some(IdFault::Expired))]
        {
            let text = signer.sign(id(at_ms, [7; 10]), &ad());
            assert_eq!(fault(&signer, &text), expected, "{at_ms}");
        }
    }

    #[test]
    fn keys_can_be_changed_without_a_gap() {
        let (old, both, new) = (signer(&["old"]), signer(&["new", "old"]), signer(&["new"]));
        let id = id(NOW_MS, [7; 10]);
        let (by_old, by_both) = (old.sign(id, &ad()), both.sign(id, &ad()));
        assert_eq!(fault(&both, &by_old), None);
        assert_eq!(fault(&both, &by_both), None);
        assert_eq!(by_both, new.sign(id, &ad()), "the first key signs");
        assert_eq!(fault(&new, &by_old), Some(IdFault::Forged));
    }

    #[test]
    fn without_keys_one_is_made_from_the_other_secret() {
        let (made, other) = (signer(&[]), Signer::new(&[], b"yet another secret", DAY));
        let text = made.sign(id(NOW_MS, [7; 10]), &ad());
        assert_eq!(fault(&made, &text), None);
        assert_eq!(fault(&other, &text), Some(IdFault::Forged));
        assert_eq!(fault(&signer(&["some other secret"]), &text), Some(IdFault::Forged));
    }

    proptest! {
        #[test]
        fn what_is_signed_is_good_for_its_ad_and_nothing_else_is(
            random: [u8; 10], ad in "[a-z0-9_.:-]{1,64}", other in "[a-z0-9_.:-]{1,64}", bit in 0..128_usize, cut in 0..22_usize,
        ) {
            let [ad, other] = [ad, other].map(AdId::unchecked);
            let signer = signer(&["one", "two"]);
            let id = id(NOW_MS, random);
            let text = signer.sign(id, &ad);
            let (_, signature) = text.split_once('.').unwrap();
            prop_assert_eq!(signature.len(), 22);
            let fault = |id, signature: &str, ad: &AdId| signer.fault(id, signature, ad, UnixMs(NOW_MS));
            prop_assert_eq!(fault(id, signature, &ad), None);
            prop_assert_eq!(fault(Uuid::from_u128(id.as_u128() ^ (1 << bit)), signature, &ad), Some(IdFault::Forged));
            let mut mac = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
            mac[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(fault(id, &BASE64_URL_SAFE_NO_PAD.encode(mac), &ad), Some(IdFault::Forged));
            prop_assert_eq!(fault(id, &signature[..cut], &ad), Some(IdFault::Forged));
            if other != ad {
                prop_assert_eq!(fault(id, signature, &other), Some(IdFault::Forged));
            }
        }

        #[test]
        fn no_signature_panics(signature in "\\PC{0,70}", id: u128, ad in "\\PC{0,70}") {
            let ad = AdId::unchecked(ad);
            prop_assert_eq!(signer(&["one"]).fault(Uuid::from_u128(id), &signature, &ad, UnixMs(NOW_MS)), Some(IdFault::Forged));
        }

        #[test]
        fn a_forgery_has_an_id_of_its_own(id: u128, signature in "[a-z]{0,8}", ad in "[a-z]{1,8}", other in "[a-z]{1,8}") {
            let (id, [ad, other]) = (Uuid::from_u128(id), [ad, other].map(AdId::unchecked));
            let forged = of_forgery(id, &signature, &ad);
            prop_assert_ne!(forged, id);
            prop_assert_eq!(forged, of_forgery(id, &signature, &ad));
            prop_assert_eq!(forged == of_forgery(id, &signature, &other), ad == other);
        }
    }
}
