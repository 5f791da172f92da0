//! The query that a click on a link comes with, and the part of it that goes on to the advertiser; pure.
//!
//! Pairs are handed on as they came, never decoded and encoded again: a click id means something to its
//! network only to the letter. What is ours wins: the target's own names and the template's.

use std::{borrow::Cow, fmt, str::FromStr};

use clickwire_protocol::attribution::{self, Params};
use thiserror::Error;
use url::form_urlencoded;

/// Pairs of a query that are looked at, at most.
const MAX_PAIRS: usize = 100;

/// Bytes that are handed on, at most: many servers take no address beyond 8 KiB.
const MAX_FORWARDED_BYTES: usize = 4_096;

/// Longest name in a policy, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// Parameters that name the page to which a transparent tracker's link leads.
const LANDING: [&str; 2] = ["url", "lpurl"];

/// A parameter that is for a transparent tracker alone, and not for the pages behind it.
const TRANSPARENT: &str = "force_transparent";

/// The query of a link that was followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query<'a>(Vec<Pair<'a>>);

#[derive(Clone, Debug)]
struct Pair<'a> {
    /// The pair as it came.
    raw: &'a str,
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

impl<'a> Query<'a> {
    pub(crate) fn read(query: Option<&'a str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|raw| !raw.is_empty()).take(MAX_PAIRS);
        let read = pairs.filter_map(|raw| {
            let (name, value) = form_urlencoded::parse(raw.as_bytes()).next()?;
            Some(Pair { raw, name, value })
        });
        Self(read.collect())
    }

    /// The first value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.name == name).map(|pair| &*pair.value)
    }

    /// The parameters that are kept with the click.
    pub(super) fn kept(&self) -> Params {
        let mut params = Params::new();
        self.0.iter().for_each(|pair| attribution::keep(&mut params, &pair.name, &pair.value));
        params
    }

    /// The page that a transparent tracker is told to lead to.
    pub(super) fn landing(&self) -> Option<&str> {
        LANDING.into_iter().find_map(|name| self.value(name)).filter(|url| !url.is_empty())
    }

    /// The pairs that go on, as they came. `has_landed`: the link leads to the page that it names.
    pub(super) fn forwarded(
        &self,
        policy: &Forwarded,
        has_landed: bool,
        is_ours: impl Fn(&str) -> bool,
    ) -> Vec<&'a str> {
        let mut left = MAX_FORWARDED_BYTES;
        let is_told = |name: &str| has_landed && (LANDING.contains(&name) || name == TRANSPARENT);
        let pairs = self.0.iter().filter(|pair| {
            policy.takes(&pair.name)
                && !is_ours(&pair.name)
                && !is_told(&pair.name)
                && left.checked_sub(pair.raw.len() + 1).is_some_and(|rest| {
                    left = rest;
                    true
                })
        });
        pairs.map(|pair| pair.raw).collect()
    }
}

/// The parameters that go on to an advertiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded(Vec<Name>);

/// A name, or the beginning of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    begins: String,
    is_whole: bool,
}

/// The reason why a text names no parameter, as a message for its author.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("Expected names of letters, digits and - . _ ~, beginnings that end in *, or * for every name.")]
pub(crate) struct NoName;

impl Forwarded {
    /// Reads names that were checked when they were registered; a text that is no name takes nothing.
    pub(super) fn stored(names: &[String]) -> Self {
        Self(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn takes(&self, name: &str) -> bool {
        self.0.iter().any(|known| {
            if known.is_whole { known.begins == name } else { name.starts_with(known.begins.as_str()) }
        })
    }
}

impl FromStr for Name {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let (begins, is_whole) = text.strip_suffix('*').map_or((text, true), |begins| (begins, false));
        let is_plain = begins.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
        let is_name = is_plain && begins.len() <= MAX_NAME_BYTES && !(is_whole && begins.is_empty());
        is_name.then(|| Self { begins: begins.to_owned(), is_whole }).ok_or(NoName)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.begins, if self.is_whole { "" } else { "*" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(names: &[&str], query: &'static str, ours: &[&str]) -> String {
        let policy = Forwarded::stored(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        Query::read(Some(query)).forwarded(&policy, false, |name| ours.contains(&name)).join("&")
    }

    #[test]
    fn all_of_it_goes_on_as_it_came_or_what_is_listed_or_nothing() {
        let query = "gclid=TeSter-123&&utm_source=a+b%20c&utm_medium=%C3%A4&gclid=2&empty&=x&%67clid=3";
        for (names, expected) in [
            (&["*"][..], "gclid=TeSter-123&utm_source=a+b%20c&utm_medium=%C3%A4&gclid=2&empty&=x&%67clid=3"),
            (&["gclid"], "gclid=TeSter-123&gclid=2&%67clid=3"),
            (&["utm_*", "empty"], "utm_source=a+b%20c&utm_medium=%C3%A4&empty"),
            (&[], ""),
        ] {
            assert_eq!(forwarded(names, query, &[]), expected, "{names:?}");
        }
        assert_eq!(
            forwarded(&["*"], "a=1&%61=2&b=3&cw_click_id=x", &["a", "cw_click_id"]),
            "b=3",
            "ours wins"
        );
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let long: &'static str = format!("a={}&gclid=1", "x".repeat(MAX_FORWARDED_BYTES)).leak();
        assert_eq!(forwarded(&["*"], long, &[]), "gclid=1");
        let many: &'static str = "a=1&".repeat(MAX_PAIRS + 7).leak();
        assert_eq!(forwarded(&["*"], many, &[]).split('&').count(), MAX_PAIRS);
    }

    #[test]
    fn a_transparent_tracker_is_told_where_to_lead() {
        let query = Query::read(Some("force_transparent=true&url=https%3A%2F%2Fa.example%2F%3Fb&gclid=1"));
        assert_eq!(query.landing(), Some("https://a.example/?b"));
        let all = Forwarded::stored(&["*".to_owned()]);
        assert_eq!(query.forwarded(&all, true, |_| false), ["gclid=1"]);
        assert_eq!(query.forwarded(&all, false, |_| false).len(), 3);
        assert_eq!(Query::read(Some("lpurl=x")).landing(), Some("x"));
        assert_eq!(Query::read(Some("url=")).landing(), None);
        assert_eq!(Query::read(None).landing(), None);
    }

    #[test]
    fn names_are_plain() {
        for text in ["*", "gclid", "utm_*", "a.b-c~d"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        for text in ["", "**", "a b", "a*b", "ä", &"a".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(text.parse::<Name>(), Err(NoName), "{text}");
        }
    }
}
