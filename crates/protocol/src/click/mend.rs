//! JSON whose texts are broken, made readable.
//!
//! Programs that cut a text in the middle of an emoji write half of a surrogate pair, which is JSON by its
//! grammar and no text (RFC 8259, section 8.2); others write Latin-1 where UTF-8 belongs, or control
//! characters as they are. What was broken becomes U+FFFD, a control character its escape. Nothing outside
//! of texts changes, so what was no JSON for another reason is none afterwards.

use std::fmt::Write as _;

/// The text in place of what is no Unicode.
pub(super) const REPLACED: char = char::REPLACEMENT_CHARACTER;

/// The same JSON with sound texts; `None` if its texts are sound.
pub fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(json);
    let mut mended = String::with_capacity(text.len() + 16);
    let mut rest = text.as_ref();
    let mut is_inside = false;
    while let Some(character) = rest.chars().next() {
        let mut length = character.len_utf8();
        match character {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => {
                if let Some(unit) = code_unit(rest) {
                    match unit {
                        0xd800..=0xdbff if matches!(code_unit(&rest[ESCAPE..]), Some(0xdc00..=0xdfff)) => {
                            length = 2 * ESCAPE;
                        }
                        0xd800..=0xdfff => {
                            mended.push(REPLACED);
                            rest = &rest[ESCAPE..];
                            continue;
                        }
                        _ => length = ESCAPE,
                    }
                } else {
                    // Whatever is escaped, a quotation mark say.
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                }
            }
            '\0'..='\x1f' if is_inside => {
                // Writing to a string does not fail.
                let _written = write!(mended, "\\u{:04x}", u32::from(character));
                rest = &rest[length..];
                continue;
            }
            _ => {}
        }
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    let mended = mended.into_bytes();
    (mended != json).then_some(mended)
}

/// Length of `\u0000`.
const ESCAPE: usize = 6;

/// The UTF-16 code unit that a text escapes at its beginning.
fn code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn broken_texts_become_readable_and_nothing_else_changes() {
        for (json, expected) in [
            (&br#"{"a":"Anna \ud83d"}"#[..], "{\"a\":\"Anna \u{fffd}\"}"),
            (br#"{"a":"\ude00\ud83d\ude00\ud83dx"}"#, "{\"a\":\"\u{fffd}\\ud83d\\ude00\u{fffd}x\"}"),
            (br#"["\ud83d\ud83d\ude00"]"#, "[\"\u{fffd}\\ud83d\\ude00\"]"),
            (b"[\"a\0b\tc\x1f\"\n]", "[\"a\\u0000b\\u0009c\\u001f\"\n]"),
            (b"[\"Telef\xf3nica\"]", "[\"Telef\u{fffd}nica\"]"),
            (b"[\xff]", "[\u{fffd}]"),
        ] {
            let mended = mended(json).unwrap();
            assert_eq!(String::from_utf8(mended).unwrap(), expected);
        }
        for json in [
            &br#"{"a":"\\ud83d \" \u00e9 \ud83d\ude00 \n", "b":[1,null]}"#[..],
            "{\"a\":\"ä 😀\u{7f}\u{85}\"}\n".as_bytes(),
            br#"{"a":"\ud83"#,
            br#"{"a":"\u+123"}"#,
            br#"{"a":"\"#,
            b"\t{\0}",
            b"",
        ] {
            assert_eq!(mended(json), None, "{:?}", String::from_utf8_lossy(json));
        }
    }

    proptest! {
        /// However broken, what comes out has no broken text any more.
        #[test]
        fn once_is_enough(json in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(once) = mended(&json) {
                prop_assert_eq!(mended(&once), None);
            }
        }

        #[test]
        fn escapes_of_any_kind_are_readable(units in proptest::collection::vec(any::<u16>(), 0..20)) {
            let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("[\"{text}\"]").into_bytes();
            let mended = mended(&json).unwrap_or(json);
            let read: Vec<Value> = serde_json::from_slice(&mended).unwrap();
            prop_assert_eq!(read[0].as_str().unwrap(), String::from_utf16_lossy(&units));
        }
    }
}
