//! The signed token in a browser's cookie.
//!
//! A session begins with a password and lasts some hours; its token is good for some minutes and is
//! replaced by a younger one while the page is open. What a token says is signed, so a server that has not
//! heard of a session yet takes it all the same; what ended before its time is known to every server
//! within two seconds ([`super::directory`]).
//!
//! The token is `{account, session, generation, issued at}` as 44 bytes, a dot, and their code
//! ([`Keys`]), both in base64url without padding.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use uuid::Uuid;

use crate::{http::uuid_time::time_inside, identity::signing::Keys};

const CODE_BYTES: usize = 32;
const BODY_BYTES: usize = 44;

/// Longer cookies are not ours.
const MAX_TEXT_BYTES: usize = 128;

/// One browser's session, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) account_id: Uuid,
    /// A UUIDv7: it holds the time at which the session began.
    pub(crate) session_id: Uuid,
    /// The account's when it was issued; a lower one than the account's is over.
    pub(crate) generation: i32,
    /// Unix time in milliseconds.
    pub(crate) issued_at_ms: i64,
}

impl Token {
    /// A new session of an account.
    pub(crate) fn begin(account_id: Uuid, generation: i32, now_ms: i64) -> Self {
        let mut random = [0; 10];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut random);
        let at_ms = u64::try_from(now_ms).unwrap_or_default();
        let session_id = uuid::Builder::from_unix_timestamp_millis(at_ms, &random).into_uuid();
        Self { account_id, session_id, generation, issued_at_ms: now_ms }
    }

    fn to_bytes(self) -> [u8; BODY_BYTES] {
        let mut bytes = [0; BODY_BYTES];
        bytes[..16].copy_from_slice(self.account_id.as_bytes());
        bytes[16..32].copy_from_slice(self.session_id.as_bytes());
        bytes[32..36].copy_from_slice(&self.generation.to_be_bytes());
        bytes[36..].copy_from_slice(&self.issued_at_ms.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (account_id, rest) = bytes.split_first_chunk()?;
        let (session_id, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        Some(Self {
            account_id: Uuid::from_bytes(*account_id),
            session_id: Uuid::from_bytes(*session_id),
            generation: i32::from_be_bytes(*generation),
            issued_at_ms: i64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// Issues tokens, puts them into cookies and takes them from there.
pub(crate) struct Tokens {
    keys: Keys,
    /// Life of a token.
    token: Duration,
    /// The longest life of a session.
    session: Duration,
    /// Browsers reach us over TLS.
    is_secure: bool,
}

impl Tokens {
    pub(crate) fn new(keys: Keys, token: Duration, session: Duration, is_secure: bool) -> Self {
        Self { keys, token, session, is_secure }
    }

    /// Returns the end of a token's life: Unix time in milliseconds.
    pub(crate) fn expires_at_ms(&self, token: &Token) -> i64 {
        let began_at_ms = time_inside(&token.session_id).unwrap_or_default().0;
        let after = |at_ms: i64, lifetime: Duration| at_ms.saturating_add(lifetime.as_millis() as i64);
        after(token.issued_at_ms, self.token).min(after(began_at_ms, self.session))
    }

    /// Returns the longest life of a session.
    pub(crate) fn session_lifetime(&self) -> Duration {
        self.session
    }

    /// The same session with a younger token, when that is worth while.
    pub(crate) fn renewed(&self, token: &Token, now_ms: i64) -> Option<Token> {
        let age_ms = now_ms.saturating_sub(token.issued_at_ms);
        (age_ms > (self.token / 3).as_millis() as i64).then_some(Token { issued_at_ms: now_ms, ..*token })
    }

    pub(crate) fn sign(&self, token: &Token) -> String {
        let body = token.to_bytes();
        let code = self.keys.code(&[&body], CODE_BYTES);
        format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(body), BASE64_URL_SAFE_NO_PAD.encode(code))
    }

    /// A token that we signed and that is good at this time.
    fn read(&self, text: &str, now_ms: i64) -> Option<Token> {
        let (body, code) = text.split_once('.').filter(|_| text.len() <= MAX_TEXT_BYTES)?;
        let body = BASE64_URL_SAFE_NO_PAD.decode(body).ok()?;
        let code = BASE64_URL_SAFE_NO_PAD.decode(code).ok()?;
        if !self.keys.verify(&[&body], &code, CODE_BYTES) {
            return None;
        }
        Token::from_bytes(&body).filter(|token| now_ms < self.expires_at_ms(token))
    }

    /// Browsers keep the other name for cookies that came over TLS for this very host (RFC 6265bis,
    /// section 4.1.3).
    fn name(&self) -> &'static str {
        if self.is_secure { "__Host-clickwire" } else { "clickwire" }
    }

    /// The token that a browser sent. What is no token of ours counts as none.
    pub(crate) fn sent(&self, headers: &HeaderMap, now_ms: i64) -> Option<Token> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.flat_map(|line| Cookie::split_parse(line).filter_map(Result::ok));
        cookies
            .filter(|cookie| cookie.name() == self.name())
            .find_map(|cookie| self.read(cookie.value(), now_ms))
    }

    /// Returns the header that makes a browser send this token from now on, or none any more.
    pub(crate) fn cookie(&self, token: Option<&Token>) -> Option<HeaderValue> {
        let value = token.map(|token| self.sign(token)).unwrap_or_default();
        let left = if token.is_some() { self.token.as_secs() } else { 0 };
        let cookie = Cookie::build((self.name(), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.is_secure)
            .max_age(cookie::time::Duration::seconds(left as i64));
        HeaderValue::from_str(&cookie.to_string()).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;
    const MINUTE_MS: i64 = 60_000;

    fn tokens(keys: &[&str], is_secure: bool) -> Tokens {
        let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        let keys = Keys::new(&keys, b"some other secret", b"sessions");
        Tokens::new(keys, Duration::from_secs(900), Duration::from_secs(12 * 3_600), is_secure)
    }

    fn token() -> Token {
        Token::begin(Uuid::from_u128(7), 3, NOW_MS)
    }

    /// The headers of a browser that was sent these cookies.
    fn sent_back(cookies: &[HeaderValue]) -> HeaderMap {
        let pairs = cookies.iter().map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        let line = [&["theme=dark"], &pairs.collect::<Vec<_>>()[..]].concat().join("; ");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn a_browser_sends_back_what_it_got() {
        for (is_secure, name) in [(false, "clickwire="), (true, "__Host-clickwire=")] {
            let tokens = tokens(&["key one"], is_secure);
            let token = token();
            let cookie = tokens.cookie(Some(&token)).unwrap();
            let text = cookie.to_str().unwrap();
            assert!(text.starts_with(name) && text.contains("HttpOnly; SameSite=Strict"), "{text}");
            assert!(text.contains("Path=/; Max-Age=900"), "{text}");
            assert_eq!(text.contains("Secure"), is_secure, "{text}");
            assert_eq!(tokens.sent(&sent_back(&[cookie]), NOW_MS), Some(token));
        }
        let tokens = tokens(&["key one"], false);
        let gone = tokens.cookie(None).unwrap();
        assert!(gone.to_str().unwrap().contains("Max-Age=0"));
        assert_eq!(tokens.sent(&sent_back(&[gone]), NOW_MS), None);
    }

    #[test]
    fn a_token_is_good_for_minutes_and_a_session_for_hours() {
        let tokens = tokens(&["key one"], false);
        let first = token();
        let read = |token: &Token, now_ms| tokens.read(&tokens.sign(token), now_ms).is_some();
        assert!(read(&first, NOW_MS + 15 * MINUTE_MS - 1) && !read(&first, NOW_MS + 15 * MINUTE_MS));
        assert_eq!(tokens.renewed(&first, NOW_MS + 5 * MINUTE_MS), None);
        let later = tokens.renewed(&first, NOW_MS + 6 * MINUTE_MS).unwrap();
        assert_eq!((later.session_id, later.issued_at_ms), (first.session_id, NOW_MS + 6 * MINUTE_MS));
        assert!(read(&later, NOW_MS + 20 * MINUTE_MS));
        let last = Token { issued_at_ms: NOW_MS + 719 * MINUTE_MS, ..first };
        assert!(read(&last, NOW_MS + 719 * MINUTE_MS) && !read(&last, NOW_MS + 720 * MINUTE_MS));
    }

    #[test]
    fn a_key_that_is_replaced_is_believed_as_long_as_it_is_named() {
        let old = tokens(&["key one"], false).sign(&token());
        assert!(tokens(&["key two", "key one"], false).read(&old, NOW_MS).is_some());
        assert!(tokens(&["key two"], false).read(&old, NOW_MS).is_none());
        let new = tokens(&["key two", "key one"], false).sign(&token());
        assert!(tokens(&["key two"], false).read(&new, NOW_MS).is_some());
    }

    proptest! {
        #[test]
        fn nothing_else_is_a_token(text in ".{0,200}", at in 0_usize..102, bit in 0_u8..7) {
            let tokens = tokens(&["key one"], false);
            prop_assert_eq!(tokens.read(&text, NOW_MS), None);
            let mut changed = tokens.sign(&token()).into_bytes();
            changed[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(changed) {
                prop_assert_eq!(tokens.read(&changed, NOW_MS), None, "{}", changed);
            }
        }
    }
}
