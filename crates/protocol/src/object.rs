//! JSON objects, read as objects and as nothing else, with what is wrong said under the field's name.
//!
//! serde reads a struct from an array, too, field by field in their order: `[100,60]` would be a rule's
//! parameters, whichever of both came first. Here an array is refused, at every depth where [`object`] is
//! asked for; so is NUL in any text, which PostgreSQL does not store.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use thiserror::Error;

/// The message about a text, a parameter or a body that holds NUL.
pub const NUL: &str = "NUL characters are not allowed.";

/// Characters of a field's path, and of what is said of it, at most.
const MAX_FIELD_CHARACTERS: usize = 100;
const MAX_MESSAGE_CHARACTERS: usize = 300;

/// The fault of a value that should have been an object.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Fault {
    /// The field, by its path; `None`: the whole.
    pub field: Option<String>,
    /// The message, for people.
    pub message: String,
}

/// An object out of JSON text.
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, Fault> {
    if escapes_nul(json) {
        // What is no JSON at all is told below.
        if let Some(path) = serde_json::from_slice(json).ok().and_then(|value| path_of_nul(&value)) {
            let field = (!path.is_empty()).then(|| shown(&path, MAX_FIELD_CHARACTERS));
            return Err(Fault { field, message: NUL.to_owned() });
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let mut track = serde_path_to_error::Track::new();
    let read = object(serde_path_to_error::Deserializer::new(&mut deserializer, &mut track))
        .and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error: serde_json::Error| fault(&track.path(), &error))
}

/// An object out of a value.
pub fn of_value<T: DeserializeOwned>(value: &Value) -> Result<T, Fault> {
    let mut track = serde_path_to_error::Track::new();
    object(serde_path_to_error::Deserializer::new(value, &mut track))
        .map_err(|error: serde_json::Error| fault(&track.path(), &error))
}

/// Reads a field that is an object: for `#[serde(deserialize_with)]`.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Fields(PhantomData))
}

/// The same of a field that may be absent or `null`.
pub fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Perhaps(PhantomData))
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

struct Perhaps<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Perhaps<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        object(deserializer).map(Some)
    }
}

/// serde's sentence, and the field that it is about: it knows the path to a value that is wrong, and says
/// the name of a field that is missing, or comes twice, in the sentence alone.
fn fault(path: &serde_path_to_error::Path, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let named = message.strip_prefix("missing field `").or_else(|| message.strip_prefix("duplicate field `"));
    let named = named.and_then(|rest| rest.split('`').next());
    let names = path.iter().filter_map(|segment| match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.as_str()),
        serde_path_to_error::Segment::Seq { .. }
        | serde_path_to_error::Segment::Enum { .. }
        | serde_path_to_error::Segment::Unknown => None,
    });
    let field = names.chain(named).collect::<Vec<_>>().join(".");
    let field = shown(&field, MAX_FIELD_CHARACTERS);
    Fault { field: (!field.is_empty()).then_some(field), message: shown(&message, MAX_MESSAGE_CHARACTERS) }
}

/// A client's text as it is told back to the client: cut, and without control characters.
fn shown(text: &str, max_characters: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max_characters).collect()
}

/// Returns whether JSON text holds the one way to write NUL in it, `\u0000`.
fn escapes_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(place) = rest.iter().position(|&byte| byte == b'\\') {
        let escape = &rest[place + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        // The character after a backslash begins no escape.
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

/// The path to a text, or a field's name, that holds NUL; empty for the value itself.
fn path_of_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(values) => values.iter().find_map(path_of_nul),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                return Some(String::new());
            }
            path_of_nul(value)
                .map(|path| if path.is_empty() { name.clone() } else { format!("{name}.{path}") })
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default, deserialize_with = "optional")]
        inner: Option<Inner>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn an_object_is_read_from_an_object_alone() {
        let whole = Outer { name: "a".into(), inner: Some(Inner { count: 1 }) };
        assert_eq!(read(br#" {"name": "a", "inner": {"count": 1}} "#), Ok(whole));
        assert_eq!(read(br#"{"name": "a", "inner": null}"#), Ok(Outer { name: "a".into(), inner: None }));
        for (json, field) in [
            (r#"["a", null]"#, None),
            (r#"{"name": "a", "inner": [1]}"#, Some("inner")),
            (r#"{"name": "a", "inner": 1}"#, Some("inner")),
            (r#"{"name": "a", "inner": {"count": [1]}}"#, Some("inner.count")),
            (r#"{"name": "a", "inner": {}}"#, Some("inner.count")),
            (r#"{"name": "a", "inner": {"count": 18446744073709551616}}"#, Some("inner.count")),
            (r#"{"name": "a", "inner": {"count": 1, "more": 1}}"#, Some("inner.more")),
            (r#"{"name": "a", "name": "b"}"#, Some("name")),
            (r#"{"inner": {"count": 1}}"#, Some("name")),
            (r#"{"a\nb": 1}"#, Some("ab")),
            (r#"{"name": "a"} {}"#, None),
            (r#"{"name": "a\u0000"}"#, Some("name")),
            (r#"{"name": "a", "inner": {"\u0000": 1}}"#, Some("inner")),
            ("", None),
        ] {
            let fault = read::<Outer>(json.as_bytes()).unwrap_err();
            assert_eq!(fault.field.as_deref(), field, "{json}: {fault}");
        }
    }

    #[test]
    fn a_backslash_before_a_backslash_escapes_nothing_else() {
        assert!(
            escapes_nul(br#""\u0000""#) && escapes_nul(br#""\\\u0000""#) && escapes_nul(br#""\n\u0000""#)
        );
        assert!(!escapes_nul(br#""\\u0000""#) && !escapes_nul(br#""\u00001"#.split_at(3).1));
        assert!(!escapes_nul(br"\"));
        let text = read::<Outer>(br#"{"name": "\\u0000"}"#).unwrap().name;
        assert_eq!(text, r"\u0000");
    }
}
