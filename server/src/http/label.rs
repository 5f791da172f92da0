//! Names for people, of keys, accounts and tokens: one line, not too long.

/// Longest one, in bytes.
const MAX_BYTES: usize = 100;

/// Returns the fault of a name, if any.
pub(crate) fn fault(name: &str) -> Option<String> {
    let is_name = !name.trim().is_empty() && name.len() <= MAX_BYTES && !name.chars().any(char::is_control);
    (!is_name).then(|| format!("Expected 1 to {MAX_BYTES} bytes on one line."))
}
