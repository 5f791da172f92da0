//! The reason for a person's action, as it stands in records that are read when money is argued about.

use std::str::FromStr;

/// Longest reason, in bytes.
const REASON_MAX_BYTES: usize = 500;

/// The reason for a person's action, in words for those who ask later: one line, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            Err("Must not be empty.".to_owned())
        } else if text.len() > REASON_MAX_BYTES {
            Err(format!("At most {REASON_MAX_BYTES} bytes."))
        } else if text.chars().any(char::is_control) {
            Err("Control characters are not allowed.".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

impl Reason {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_and_says_something() {
        assert_eq!(" a test of ours ".parse::<Reason>().unwrap().0, "a test of ours");
        for text in ["", " \t", "two\nlines", &"r".repeat(REASON_MAX_BYTES + 1)] {
            assert!(text.parse::<Reason>().is_err(), "{text}");
        }
    }
}
