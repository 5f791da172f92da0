//! JSON laid out for people, without any change of what it says: numbers, the order of names and names that come
//! twice stay as they came.

use serde::de::IgnoredAny;
use serde_json::Value;

/// One level, in spaces.
const INDENT: usize = 2;

/// Returns the same JSON over several lines; `None`: the text is no JSON.
pub fn laid_out(text: &str) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let (mut out, mut level, mut is_string, mut is_escaped) = (String::new(), 0_usize, false, false);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if is_string {
            out.push(c);
            (is_string, is_escaped) = (c != '"' || is_escaped, c == '\\' && !is_escaped);
            continue;
        }
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                while rest.next_if(char::is_ascii_whitespace).is_some() {}
                out.push(c);
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        level += 1;
                        begin_line(&mut out, level);
                    }
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                begin_line(&mut out, level);
                out.push(c);
            }
            ',' => {
                out.push(c);
                begin_line(&mut out, level);
            }
            ':' => out.push_str(": "),
            other => {
                is_string = other == '"';
                out.push(other);
            }
        }
    }
    Some(out)
}

fn begin_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', level * INDENT));
}

/// A text in a JSON object, if the text is one and has it.
pub fn text_in(text: &str, name: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_says_the_same() {
        let text = r#"{"b":[1.50,{}, [ ]],"a":"x \"{,}\" \\","a":123456789012345678901234567890}"#;
        let expected = "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x \\\"{,}\\\" \\\\\",\n  \"a\": 123456789012345678901234567890\n}";
        assert_eq!(laid_out(text).as_deref(), Some(expected));
        assert_eq!(laid_out(expected).as_deref(), Some(expected), "once laid out it stays");
        assert_eq!(laid_out("7").as_deref(), Some("7"));
        for text in ["", "{", "cut o", "{\"a\":}"] {
            assert_eq!(laid_out(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_in_an_object_is_found() {
        assert_eq!(text_in(r#"{"a": "x"}"#, "a").as_deref(), Some("x"));
        for text in ["{", "[]", r#"{"a": 1}"#, "{}"] {
            assert_eq!(text_in(text, "a"), None, "{text}");
        }
    }
}
