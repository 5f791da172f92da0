//! The header `Idempotency-Key`, as draft-ietf-httpapi-idempotency-key-header has it: a text of
//! Structured Fields (RFC 9651, section 3.3.3). Most clients send theirs without the quotation marks,
//! so a bare one is the same key.

use thiserror::Error;

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A client's name for one post: 1 to [`MAX_KEY_BYTES`] visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// The reason why a header is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The key is empty.
    #[error("Must not be empty.")]
    Empty,
    /// The key is too long.
    #[error("At most {MAX_KEY_BYTES} characters.")]
    TooLong,
    /// Spaces, control characters, or beyond ASCII.
    #[error("Only visible ASCII characters are allowed.")]
    NotVisible,
    /// A quotation mark without its other, or something behind it, or in a bare key what separates.
    #[error("Expected one text in quotation marks, such as \"8e03978e-40d5-43dd\".")]
    NotOneText,
}

impl Key {
    /// Reads the header's value.
    pub fn parse(value: &[u8]) -> Result<Self, Malformed> {
        let value = value.trim_ascii();
        let key = match value.strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted)?,
            // A list of keys, or a key with parameters, is not one text.
            None if value.iter().any(|byte| b"\",;\\".contains(byte)) => return Err(Malformed::NotOneText),
            None => value.to_vec(),
        };
        if key.is_empty() {
            return Err(Malformed::Empty);
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(Malformed::TooLong);
        }
        if !key.iter().all(u8::is_ascii_graphic) {
            return Err(Malformed::NotVisible);
        }
        String::from_utf8(key).map(Self).map_err(|_| Malformed::NotVisible)
    }

    /// The key, without quotation marks.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text up to the closing quotation mark, which must be the last.
fn unquote(quoted: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut key = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' if bytes.as_slice().is_empty() => return Ok(key),
            b'"' => return Err(Malformed::NotOneText),
            b'\\' => match bytes.next() {
                Some(&escaped @ (b'"' | b'\\')) => key.push(escaped),
                Some(_) | None => return Err(Malformed::NotOneText),
            },
            byte => key.push(byte),
        }
    }
    Err(Malformed::NotOneText)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_quotation_marks() {
        for (value, key) in [
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("  \"a\\\"b\\\\c\" ", "a\"b\\c"),
            ("\"a,b;c\"", "a,b;c"),
            ("c2VjcmV0/+==", "c2VjcmV0/+=="),
            (&"k".repeat(MAX_KEY_BYTES), &"k".repeat(MAX_KEY_BYTES)),
        ] {
            assert_eq!(Key::parse(value.as_bytes()).as_ref().map(Key::as_str), Ok(key), "{value}");
        }
        for (value, error) in [
            ("", Malformed::Empty),
            (" ", Malformed::Empty),
            ("\"\"", Malformed::Empty),
            (&"k".repeat(MAX_KEY_BYTES + 1), Malformed::TooLong),
            ("\"a b\"", Malformed::NotVisible),
            ("a b", Malformed::NotVisible),
            ("schlüssel", Malformed::NotVisible),
            ("\"abc", Malformed::NotOneText),
            ("abc\"", Malformed::NotOneText),
            ("\"", Malformed::NotOneText),
            ("\"a\\", Malformed::NotOneText),
            ("\"a\\b\"", Malformed::NotOneText),
            ("\"a\", \"b\"", Malformed::NotOneText),
            ("\"a\";p=1", Malformed::NotOneText),
            ("a, b", Malformed::NotOneText),
        ] {
            assert_eq!(Key::parse(value.as_bytes()), Err(error), "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_text_of_visible_characters_is_a_key(key in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            let parsed = Key::parse(quoted.as_bytes());
            prop_assert_eq!(parsed.as_ref().map(Key::as_str), Ok(key.as_str()));
        }

        #[test]
        fn no_header_panics(value in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(key) = Key::parse(&value) {
                prop_assert!((1..=MAX_KEY_BYTES).contains(&key.as_str().len()));
            }
        }
    }
}
