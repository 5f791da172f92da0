//! An id as a part of a path, held in place: a route is copied wherever it goes.

use std::fmt;

use clickwire_protocol::ids::{self, MAX_ID_BYTES};

/// The id of a campaign or of an ad.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; MAX_ID_BYTES],
    length: usize,
}

impl Name {
    /// The id that a text is; `None`: it can't be one.
    pub fn new(text: &str) -> Option<Self> {
        ids::check(text).ok()?;
        let mut bytes = [0; MAX_ID_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: text.len() })
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        // Ids are ASCII.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_same_again_and_nothing_else_is_one() {
        for text in ["a", "camp_001", "A-1.b:2", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(Name::new(text).as_ref().map(Name::as_str), Some(text));
        }
        for text in ["", "a b", "a/b", "ü", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert_eq!(Name::new(text), None, "{text}");
        }
    }
}
