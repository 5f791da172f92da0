//! Reading what a client says, and naming the field of what can't be read: a subscription that is wrong in
//! one field is refused by its number, and the session goes on.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{ClientMessage, Topic, View};
use crate::{
    feed::Position,
    object::{self, Fault},
};

/// A message that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The subscription that it was to begin, if that is known.
    pub id: Option<u32>,
    /// The fault of the message.
    pub fault: Fault,
}

impl ClientMessage {
    /// A message out of a text frame.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        object::read(text.as_bytes()).map_err(|fault| Unreadable::new(text, fault))
    }
}

impl Unreadable {
    fn new(text: &str, fault: Fault) -> Self {
        let subscription = serde_json::from_str::<Map<String, Value>>(text)
            .ok()
            .filter(|message| message.get("type").is_some_and(|kind| kind == "subscribe"));
        let Some(message) = subscription else { return Self { id: None, fault } };
        let id = message.get("id").and_then(|id| u32::deserialize(id).ok());
        // serde keeps a tagged message's fields aside before it reads them, and their path is lost.
        let fault = wrong_in(&message).unwrap_or(fault);
        Self { id, fault }
    }
}

/// The first field of a subscription that is wrong in itself.
fn wrong_in(message: &Map<String, Value>) -> Option<Fault> {
    let view = message.get("view").and_then(wrong_in_view);
    let number = |name| plain::<Option<u32>>(message, name);
    let since = message.get("since").filter(|since| !since.is_null());
    let since = since.and_then(|since| object::of_value::<Position>(since).err()).map(|fault| Fault {
        field: Some(fault.field.map_or_else(|| "since".to_owned(), |field| format!("since.{field}"))),
        ..fault
    });
    view.or(since)
        .or_else(|| number("min_interval_ms"))
        .or_else(|| number("every_ms"))
        .or_else(|| plain::<u32>(message, "id"))
}

fn wrong_in_view(view: &Value) -> Option<Fault> {
    let whole = object::of_value::<Topic>(view).err()?;
    let clicks = view.as_object().filter(|view| view.get("kind").is_some_and(|kind| kind == "clicks"));
    let within = clicks.and_then(|view| {
        let fields = view.iter().filter(|(name, _)| *name != "kind");
        let fields = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
        object::of_value::<View>(&Value::Object(fields)).err()
    });
    Some(within.unwrap_or_else(|| Fault { field: Some("view".to_owned()), ..whole }))
}

fn plain<T: DeserializeOwned>(message: &Map<String, Value>, name: &str) -> Option<Fault> {
    let value = message.get(name).cloned().unwrap_or(Value::Null);
    let error = serde_json::from_value::<T>(value).err()?;
    Some(Fault { field: Some(name.to_owned()), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_is_wrong_is_named_and_the_subscription() {
        let clicks = |rest: &str| {
            format!(r#"{{"type":"subscribe","id":7,"view":{{"kind":"clicks","advertiser_id":"a",{rest}}}}}"#)
        };
        for (text, id, field) in [
            (clicks(r#""filters":{}"#), Some(7), Some("window_minutes")),
            (clicks(r#""window_minutes":"60""#), Some(7), Some("window_minutes")),
            (clicks(r#""window_minutes":-1"#), Some(7), Some("window_minutes")),
            (clicks(r#""window_minutes":60,"x":1"#), Some(7), Some("x")),
            (clicks(r#""window_minutes":60,"filters":["c"]"#), Some(7), Some("filters")),
            (
                clicks(r#""window_minutes":60,"filters":{"device_type":"Fridge"}"#),
                Some(7),
                Some("filters.device_type"),
            ),
            (
                clicks(r#""window_minutes":60,"filters":{"country":"\u0000"}"#),
                Some(7),
                Some("view.filters.country"),
            ),
            (clicks(r#""window_minutes":60,"group_by":["os"]"#), Some(7), Some("group_by")),
            (r#"{"type":"subscribe","id":7,"view":["alerts"]}"#.into(), Some(7), Some("view")),
            (
                r#"{"type":"subscribe","id":7,"view":{"kind":"alerts"},"since":["e",1]}"#.into(),
                Some(7),
                Some("since"),
            ),
            (
                r#"{"type":"subscribe","id":7,"view":{"kind":"alerts"},"since":{"epoch":"e"}}"#.into(),
                Some(7),
                Some("since.seq"),
            ),
            (
                r#"{"type":"subscribe","id":7,"view":{"kind":"alerts"},"min_interval_ms":-1}"#.into(),
                Some(7),
                Some("min_interval_ms"),
            ),
            (
                r#"{"type":"subscribe","id":7,"view":{"kind":"alerts"},"every_ms":-1}"#.into(),
                Some(7),
                Some("every_ms"),
            ),
            (r#"{"type":"subscribe","id":-7,"view":{"kind":"alerts"}}"#.into(), None, Some("id")),
            (r#"{"type":"unsubscribe"}"#.into(), None, Some("id")),
            (r#"["ping"]"#.into(), None, None),
            (r#"["auth","a token"]"#.into(), None, None),
            ("nonsense".into(), None, None),
        ] {
            let unreadable = ClientMessage::read(&text).unwrap_err();
            assert_eq!(
                (unreadable.id, unreadable.fault.field.as_deref()),
                (id, field),
                "{text}: {unreadable:?}"
            );
        }
    }

    #[test]
    fn the_old_name_of_the_interval_is_read() {
        let read = |name: &str| {
            let text = format!(r#"{{"type":"subscribe","id":1,"view":{{"kind":"alerts"}},"{name}":100}}"#);
            ClientMessage::read(&text).unwrap()
        };
        assert_eq!(read("every_ms"), read("min_interval_ms"));
    }

    #[test]
    fn what_is_sent_is_read() {
        for message in [
            ClientMessage::Auth { token: None },
            ClientMessage::Ping {},
            ClientMessage::Subscribe {
                id: 1,
                view: super::super::Topic::Alerts {},
                since: Some(Position { epoch: "e".into(), seq: 1 }),
                min_interval_ms: Some(100),
            },
        ] {
            let text = serde_json::to_string(&message).unwrap();
            assert_eq!(ClientMessage::read(&text), Ok(message), "{text}");
        }
    }
}
