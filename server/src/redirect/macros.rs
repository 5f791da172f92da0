//! Macros in targets and templates: `{name}`, replaced for each click; pure.
//!
//! Values are percent-encoded down to RFC 3986's unreserved characters, which is right in a path, a query and a
//! fragment: a value adds no part to the URL, whoever has written it. A macro of another name is refused when it is
//! registered. One that was registered before that rule is filled in with the parameter of that name, or nothing.

use std::{borrow::Cow, fmt};

use clickwire_protocol::attribution;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;

use super::query::Query;

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The meaning of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Macro {
    ClickId,
    AdId,
    CampaignId,
    AdvertiserId,
    Country,
    DeviceType,
    Os,
    Timestamp,
    /// A parameter of the link's query.
    Param(String),
}

/// Macros whose name is fixed.
const NAMES: [(&str, Macro); 8] = [
    ("click_id", Macro::ClickId),
    ("ad_id", Macro::AdId),
    ("campaign_id", Macro::CampaignId),
    ("advertiser_id", Macro::AdvertiserId),
    ("country", Macro::Country),
    ("device_type", Macro::DeviceType),
    ("os", Macro::Os),
    ("timestamp", Macro::Timestamp),
];

impl Macro {
    fn named(name: &str) -> Option<Self> {
        let fixed = NAMES.into_iter().find(|&(known, _)| known == name).map(|(_, fixed)| fixed);
        fixed.or_else(|| attribution::is_kept(name).then(|| Self::Param(name.to_owned())))
    }

    fn name(&self) -> &str {
        match self {
            Self::Param(name) => name,
            fixed => NAMES.iter().find(|(_, known)| known == fixed).map_or("", |&(name, _)| name),
        }
    }
}

/// The reason why a text is no pattern, as a message for its author.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum NoPattern {
    #[error(
        "Unknown macro {{{0}}}. There are {{click_id}}, {{ad_id}}, {{campaign_id}}, {{advertiser_id}}, {{country}}, \
         {{device_type}}, {{os}}, {{timestamp}}, {{sub1}} to {{sub10}}, {{utm_…}}, {{gclid}}, {{wbraid}}, {{gbraid}}, \
         {{msclkid}}, {{fbclid}} and {{ttclid}}."
    )]
    Unknown(String),
    #[error("A brace that belongs to no macro must be written %7B or %7D.")]
    Brace,
}

/// The values that a click fills in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClickMacros<'a> {
    /// The signed click id. Empty for a click that is not counted.
    pub(crate) click_id: &'a str,
    pub(crate) ad_id: &'a str,
    pub(crate) campaign_id: &'a str,
    pub(crate) advertiser_id: &'a str,
    pub(crate) country: &'a str,
    pub(crate) device_type: &'a str,
    /// The operating system; empty if it is not known.
    pub(crate) os: &'a str,
    /// Unix time in seconds.
    pub(crate) timestamp: i64,
    pub(crate) query: &'a Query<'a>,
}

impl ClickMacros<'_> {
    fn value(&self, of: &Macro) -> Cow<'_, str> {
        Cow::Borrowed(match of {
            Macro::ClickId => self.click_id,
            Macro::AdId => self.ad_id,
            Macro::CampaignId => self.campaign_id,
            Macro::AdvertiserId => self.advertiser_id,
            Macro::Country => self.country,
            Macro::DeviceType => self.device_type,
            Macro::Os => self.os,
            Macro::Timestamp => return Cow::Owned(self.timestamp.to_string()),
            Macro::Param(name) => self.query.value(name).unwrap_or_default(),
        })
    }
}

/// The part of a URL in which a pattern stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Path,
    QueryOrFragment,
}

/// A text with macros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

impl Pattern {
    /// A text in which nothing is replaced.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![Piece::Text(text.to_owned())])
    }

    /// Reads a pattern that is to be registered.
    pub(super) fn parse(text: &str) -> Result<Self, NoPattern> {
        let mut pieces = Vec::new();
        for (text, name) in split(text) {
            if text.contains(['{', '}']) {
                return Err(NoPattern::Brace);
            }
            pieces.push(Piece::Text(text.to_owned()));
            if let Some(name) = name {
                let known = Macro::named(name).ok_or_else(|| NoPattern::Unknown(name.to_owned()))?;
                pieces.push(Piece::Macro(known));
            }
        }
        Ok(Self(pieces))
    }

    /// Reads a pattern that was registered at any time.
    pub(super) fn stored(text: &str) -> Self {
        let mut pieces = Vec::new();
        for (text, name) in split(text) {
            pieces.push(Piece::Text(text.to_owned()));
            pieces.extend(name.map(|name| {
                Piece::Macro(Macro::named(name).unwrap_or_else(|| Macro::Param(name.to_owned())))
            }));
        }
        Self(pieces)
    }

    /// The texts between the macros.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Macro(_) => None,
        })
    }

    /// The same with other texts between the macros.
    pub(super) fn with_texts(mut self, other: impl Fn(&str) -> String) -> Self {
        for piece in &mut self.0 {
            if let Piece::Text(text) = piece {
                *text = other(text);
            }
        }
        self
    }

    /// Appends the text with everything filled in.
    pub(super) fn fill(&self, part: Part, click: &ClickMacros<'_>, to: &mut String) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Macro(of) => {
                    let value = click.value(of);
                    // Encoded or not, browsers read dots alone as steps in the path.
                    if part != Part::Path || value.bytes().any(|byte| byte != b'.') {
                        to.extend(utf8_percent_encode(&value, RESERVED));
                    }
                }
            }
        }
    }
}

/// The pattern as it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Macro(of) => write!(f, "{{{}}}", of.name()),
        })
    }
}

/// Texts, and the name of the macro behind each but the last. A brace that belongs to no macro is text.
fn split(text: &str) -> Vec<(&str, Option<&str>)> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let (mut parts, mut begun, mut at) = (Vec::new(), 0, 0);
    while let Some(open) = text[at..].find('{').map(|open| at + open) {
        let name = text[open + 1..].split_once('}').map(|(name, _)| name).filter(is_name);
        at = open + 1;
        if let Some(name) = name {
            parts.push((&text[begun..open], Some(name)));
            at += name.len() + 1;
            begun = at;
        }
    }
    parts.push((&text[begun..], None));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn macros_are_known_by_name() {
        for text in
            ["", "a", "{click_id}", "x-{sub1}{sub10}.{utm_source}", "{timestamp}{os}{country}{device_type}"]
        {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), text);
        }
        for name in ["price", "clickid", "sub11", "CLICK_ID", "url"] {
            assert_eq!(Pattern::parse(&format!("a{{{name}}}")), Err(NoPattern::Unknown(name.to_owned())));
        }
        for text in ["{", "}", "{}", "{click_id", "click_id}", "{ click_id }", "{{click_id}}", "{\"a\":1}"] {
            assert_eq!(Pattern::parse(text), Err(NoPattern::Brace), "{text}");
            assert_eq!(Pattern::stored(text).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_stored_is_read_and_shown_as_it_was(text in "([a-z{}]|\\{click_id\\}|\\PC){0,40}") {
            prop_assert_eq!(Pattern::stored(&text).to_string(), text.clone());
            if let Ok(parsed) = Pattern::parse(&text) {
                prop_assert_eq!(parsed, Pattern::stored(&text));
            }
        }
    }
}
