//! Hashing and comparison of passwords: Argon2id (RFC 9106) with 19 MiB and two passes, the least that OWASP's Password
//! Storage Cheat Sheet recommends.
//!
//! A comparison takes tens of milliseconds of a processor on purpose, so few run at the same time; the
//! others wait, and are refused when too many do.

use std::{sync::LazyLock, time::Duration};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use rand::Rng as _;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{http::error::Error, identity::error::IdentityError};

/// Shortest and longest password, in characters and in bytes (NIST SP 800-63B-4, section 3.1.1, wants 15
/// where a password is all there is; below 12 OWASP ASVS 5.0 counts a password as weak).
pub(crate) const MIN_CHARACTERS: usize = 12;
pub(crate) const MAX_BYTES: usize = 256;

/// Comparisons at the same time.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Time that a comparison may wait for a place.
const PLACE_WITHIN: Duration = Duration::from_secs(2);

/// Hash that an unknown login's password is compared with, so that it takes as long as a wrong password.
static NOBODYS: LazyLock<String> = LazyLock::new(|| hashed(&generate()));

/// A new password: 120 random bits in letters and digits that can't be taken for one another.
pub(crate) fn generate() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 24];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// Checks whether a password is acceptable for this login.
pub(crate) fn check(password: &str, login: &str) -> Result<(), &'static str> {
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    if password.chars().count() < MIN_CHARACTERS || password.len() > MAX_BYTES {
        Err("Expected at least 12 characters, and no more than 256 bytes.")
    } else if lower.contains(login) || lower.chars().all(|character| Some(character) == first) {
        Err("This is easy to guess: it holds the login, or only one character.")
    } else {
        Ok(())
    }
}

/// Returns the hash of a password, which is kept in its place.
pub(crate) async fn hash(password: String) -> Result<String, Error> {
    in_turn(&PLACES, move || hashed(&password)).await
}

/// Returns whether a password is the one that was hashed. `None`: the login is unknown, which takes as long.
pub(crate) async fn verify(password: String, hash: Option<String>) -> Result<bool, Error> {
    in_turn(&PLACES, move || {
        let is_same = is_same(&password, hash.as_deref().unwrap_or(&NOBODYS));
        is_same && hash.is_some()
    })
    .await
}

/// Makes what the first comparison would have to wait for.
pub(crate) fn warm_up() {
    spawn_blocking(|| LazyLock::force(&NOBODYS).len());
}

/// The work goes on when nobody waits for it any more, so the place goes with it.
async fn in_turn<T: Send + 'static>(
    places: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let Ok(Ok(place)) = timeout(PLACE_WITHIN, places.acquire()).await else {
        return Err(IdentityError::SignInBusy.into());
    };
    let work = move || {
        let _place = place;
        work()
    };
    spawn_blocking(work).await.map_err(|_| IdentityError::SignInBusy.into())
}

fn hashed(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    // Parameters and length are fixed, and the system has random numbers.
    hash.unwrap_or_else(|error| unreachable!("hashing a password: {error}")).to_string()
}

fn is_same(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_taken_until_the_work_is_done_whoever_has_hung_up() {
        static PLACES: Semaphore = Semaphore::const_new(1);
        let (done, until_done) = std::sync::mpsc::channel::<()>();
        let asked = in_turn(&PLACES, move || until_done.recv());
        assert!(timeout(Duration::from_millis(50), asked).await.is_err());
        assert_eq!(PLACES.available_permits(), 0);
        drop(done);
        let place = timeout(Duration::from_secs(10), PLACES.acquire()).await;
        assert!(place.is_ok());
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_nobodys_never() {
        let kept = hash("correct horse".to_owned()).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert_ne!(hash("correct horse".to_owned()).await.unwrap(), kept, "salted");
        assert!(verify("correct horse".to_owned(), Some(kept.clone())).await.unwrap());
        assert!(!verify("correct horsf".to_owned(), Some(kept)).await.unwrap());
        assert!(!verify("correct horse".to_owned(), None).await.unwrap());
        assert!(!verify("correct horse".to_owned(), Some("nonsense".to_owned())).await.unwrap());
    }

    #[test]
    fn weak_passwords_are_refused_and_generated_ones_are_not() {
        for weak in ["", "short", "aaaaaaaaaaaaaaaa", "anna@shop.example1", &"x1".repeat(200)] {
            assert!(check(weak, "anna@shop.example").is_err(), "{weak}");
        }
        for good in ["correct horse battery", "zwölf Zeichen", &generate()] {
            assert_eq!(check(good, "anna@shop.example"), Ok(()), "{good}");
        }
        assert_ne!(generate(), generate());
    }
}
