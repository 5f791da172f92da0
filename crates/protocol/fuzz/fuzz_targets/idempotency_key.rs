//! The header `Idempotency-Key`: what is read is a key, and the same key when it is quoted.

#![no_main]

use clickwire_protocol::idempotency::{Key, MAX_KEY_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(key) = Key::parse(value) else { return };
    let text = key.as_str();
    assert!((1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()));
    let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    assert_eq!(Key::parse(quoted.as_bytes()), Ok(key));
});
