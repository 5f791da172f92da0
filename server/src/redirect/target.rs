//! The target of an ad, and what is appended to it; pure.
//!
//! A redirect leads only to what is checked here: `http` or `https`, a host, no credentials. What is filled in and
//! appended changes neither scheme nor host nor port, and adds no step to the path.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use thiserror::Error;
use url::{ParseError, Position, Url, form_urlencoded};

use super::{
    macros::{ClickMacros, NoPattern, Part, Pattern},
    template::Template,
};

/// Longest target, in bytes.
const MAX_TARGET_BYTES: usize = 2_048;

/// Characters to encode in a query (<https://url.spec.whatwg.org/#special-query-percent-encode-set>).
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'\'');

/// An ad's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Scheme, host and port.
    base: String,
    host: String,
    port: Option<u16>,
    path: Pattern,
    query: Option<Pattern>,
    fragment: Option<Pattern>,
    /// Names in the query.
    names: Vec<String>,
}

/// The reason why a text is no target, as a message for its author.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum NoTarget {
    #[error("At most {MAX_TARGET_BYTES} bytes.")]
    Long,
    #[error("Spaces and control characters are not allowed.")]
    Characters,
    #[error("Expected a URL: {0}.")]
    Url(#[from] ParseError),
    #[error("Expected http:// or https://.")]
    Scheme,
    #[error("Credentials are not allowed.")]
    Credentials,
    #[error("Macros are not allowed in the host.")]
    Host,
    #[error("{0}")]
    Pattern(#[from] NoPattern),
}

/// Reads a target that is to be registered.
impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        // What is wrong with the host is said first: it may have no macro.
        let target = Self::stored(text)?;
        if target.base.contains(['{', '}']) {
            return Err(NoTarget::Host);
        }
        Pattern::parse(text)?;
        match Pattern::parse(&with_braces(text)) {
            Err(unknown @ NoPattern::Unknown(_)) => Err(unknown.into()),
            Ok(_) | Err(NoPattern::Brace) => Ok(target),
        }
    }
}

impl Target {
    /// Reads a target that was registered at any time.
    pub(super) fn stored(text: &str) -> Result<Self, NoTarget> {
        Self::read(text, Pattern::stored)
    }

    /// A page in which nothing is replaced.
    pub(super) fn plain(text: &str) -> Result<Self, NoTarget> {
        Self::read(text, Pattern::plain)
    }

    fn read(text: &str, pattern: impl Fn(&str) -> Pattern) -> Result<Self, NoTarget> {
        // What the parser silently takes out of a URL must not come in.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NoTarget::Characters);
        }
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NoTarget::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NoTarget::Credentials);
        }
        // As it is kept, which may be longer than as it was written.
        if url.as_str().len() > MAX_TARGET_BYTES {
            return Err(NoTarget::Long);
        }
        Ok(Self {
            base: url[..Position::BeforePath].to_owned(),
            // These two schemes always have one: without it they can't be parsed.
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port(),
            path: pattern(&with_braces(url.path())).with_texts(without_braces),
            query: url.query().map(&pattern),
            fragment: url.fragment().map(&pattern),
            names: names(url.query().unwrap_or_default()),
        })
    }

    /// The host as URLs have it; the port, if it is not the scheme's usual one.
    pub(super) fn host(&self) -> (&str, Option<u16>) {
        (&self.host, self.port)
    }

    /// The port, named or not.
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.base.starts_with("https:") { 443 } else { 80 })
    }

    /// Returns whether the target's own query has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// The URL that a click is sent to: the target with everything filled in, behind its own query a template's pairs,
    /// and behind these what is handed on, as it came.
    pub(crate) fn with(
        &self,
        template: Option<&Template>,
        click: &ClickMacros<'_>,
        handed_on: &[&str],
    ) -> String {
        let (mut url, mut path) = (self.base.clone(), String::new());
        self.path.fill(Part::Path, click, &mut path);
        // What stands around an empty value may be dots alone, which the target itself can't have.
        let segments: Vec<&str> =
            path.split('/').map(|segment| if is_step(segment) { "" } else { segment }).collect();
        url.push_str(&segments.join("/"));
        let mut query = String::new();
        if let Some(own) = &self.query {
            own.fill(Part::QueryOrFragment, click, &mut query);
        }
        let separate = |query: &mut String| {
            if !query.is_empty() && !query.ends_with('&') {
                query.push('&');
            }
        };
        for (name, value) in template.into_iter().flat_map(Template::pairs) {
            separate(&mut query);
            name.fill(Part::QueryOrFragment, click, &mut query);
            query.push('=');
            value.fill(Part::QueryOrFragment, click, &mut query);
        }
        for raw in handed_on {
            separate(&mut query);
            query.extend(utf8_percent_encode(raw, QUERY));
        }
        if self.query.is_some() || !query.is_empty() {
            url.push('?');
            url.push_str(&query);
        }
        if let Some(fragment) = &self.fragment {
            url.push('#');
            fragment.fill(Part::QueryOrFragment, click, &mut url);
        }
        url
    }
}

/// The target as browsers write it, ASCII, but for the braces of macros.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.base, self.path)?;
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if let Some(fragment) = &self.fragment {
            write!(f, "#{fragment}")?;
        }
        Ok(())
    }
}

/// Braces, and the way in which the parser encodes them in a path.
const BRACES: [(&str, &str); 2] = [("{", "%7B"), ("}", "%7D")];

fn with_braces(path: &str) -> String {
    BRACES.iter().fold(path.to_owned(), |path, (brace, encoded)| path.replace(encoded, brace))
}

fn without_braces(path: &str) -> String {
    BRACES.iter().fold(path.to_owned(), |path, (brace, encoded)| path.replace(brace, encoded))
}

/// Returns whether browsers read a segment of a path as a step (<https://url.spec.whatwg.org/#single-dot-path-segment>).
fn is_step(segment: &str) -> bool {
    segment.len() <= "%2e%2e".len()
        && matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..")
}

fn names(query: &str) -> Vec<String> {
    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    use crate::redirect::query::Query;

    fn click<'a>(click_id: &'a str, ad_id: &'a str, query: &'a Query<'a>) -> ClickMacros<'a> {
        ClickMacros {
            click_id,
            ad_id,
            campaign_id: "camp_1",
            advertiser_id: "adv_1",
            country: "DE",
            device_type: "mobile",
            os: "Windows 10",
            timestamp: 1_800_000_000,
            query,
        }
    }

    fn filled(target: &Target, template: &str, query: &str, handed_on: &[&str]) -> String {
        let query = Query::read(Some(query));
        target.with(Some(&template.parse().unwrap()), &click("0189-a.b_c", "ad:1", &query), handed_on)
    }

    fn with(target: &str, template: &str) -> String {
        filled(&target.parse().unwrap(), template, "", &[])
    }

    #[test]
    fn macros_are_filled_in_wherever_they_stand() {
        for (target, expected) in [
            (
                "https://app.example/lp/{click_id}?aff_sub={click_id}&c={campaign_id}",
                "https://app.example/lp/0189-a.b_c?aff_sub=0189-a.b_c&c=camp_1",
            ),
            (
                "https://a.example/{sub1}/x?s={sub1}#{sub1}",
                "https://a.example/a%2F%3F%23%26%20%C3%A4/x?s=a%2F%3F%23%26%20%C3%A4#a%2F%3F%23%26%20%C3%A4",
            ),
            (
                "https://a.example/?{ad_id}={advertiser_id}&{country}.{device_type}.{os}&t={timestamp}&g={gclid}",
                "https://a.example/?ad%3A1=adv_1&DE.mobile.Windows%2010&t=1800000000&g=",
            ),
            // Dots alone would be steps in the path.
            ("https://a.example/a/{sub2}/{sub2}{sub3}?{sub2}", "https://a.example/a//?.."),
            ("https://a.example/a/.{sub2}./.{gclid}%2E/%2e{gclid}/b", "https://a.example/a////b"),
            ("https://a.example/%7Bad_id%7D/%7B%22%7D", "https://a.example/ad%3A1/%7B%22%7D"),
        ] {
            let query = "sub1=a%2F%3F%23%26+%C3%A4&sub2=..&sub3=.";
            assert_eq!(filled(&Target::stored(target).unwrap(), "", query, &[]), expected, "{target}");
        }
        let target: Target = "https://app.example/lp/{click_id}?a={sub1}#{os}".parse().unwrap();
        assert_eq!(target.to_string(), "https://app.example/lp/{click_id}?a={sub1}#{os}");
        // What was registered before such a thing was refused leads on, and nothing literal with it.
        for text in
            ["https://a.example/?p={price}", "https://a.example/{price}", "https://a.example/%7Bprice%7D"]
        {
            assert!(
                matches!(text.parse::<Target>(), Err(NoTarget::Pattern(NoPattern::Unknown(_)))),
                "{text}"
            );
        }
        let old = Target::stored("https://a.example/{click_i?p={price}&q={").unwrap();
        assert_eq!(filled(&old, "", "", &[]), "https://a.example/%7Bclick_i?p=&q={");
        for text in [
            "https://{sub1}.example/",
            "https://a.example:{sub1}/",
            "{sub1}://a.example/",
            "https://{sub1}@a.example/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
            if let Ok(old) = Target::stored(text) {
                assert_eq!(filled(&old, "", "sub1=evil", &[]), text, "nothing is filled in");
            }
        }
    }

    #[test]
    fn what_is_handed_on_comes_before_the_fragment() {
        let usual = "cw_click_id={click_id}";
        let target = "https://example.com/lp?a=1#top".parse().unwrap();
        assert_eq!(
            filled(&target, usual, "", &["gclid=TeSter-123", "q=%C3%A4+b#'\"<ä"]),
            "https://example.com/lp?a=1&cw_click_id=0189-a.b_c&gclid=TeSter-123&q=%C3%A4+b%23%27%22%3C%C3%A4#top"
        );
        let target = "https://example.com/".parse().unwrap();
        assert_eq!(filled(&target, "", "", &["gclid=1"]), "https://example.com/?gclid=1");
        assert!(Template::from_str(usual).unwrap().has("cw_click_id"));
    }

    #[test]
    fn pairs_go_after_the_query_and_before_the_fragment() {
        let usual = "cw_click_id={click_id}";
        for (target, template, expected) in [
            ("https://example.com", usual, "https://example.com/?cw_click_id=0189-a.b_c"),
            (
                "https://example.com/p?a=%20b&c#top",
                usual,
                "https://example.com/p?a=%20b&c&cw_click_id=0189-a.b_c#top",
            ),
            ("http://example.com:8080/?", usual, "http://example.com:8080/?cw_click_id=0189-a.b_c"),
            ("https://example.com/#/app?x=1", usual, "https://example.com/?cw_click_id=0189-a.b_c#/app?x=1"),
            ("https://example.com/?a#", "", "https://example.com/?a#"),
            (
                "https://example.com/",
                "c={campaign_id}.{ad_id}&ref=cw&empty=",
                "https://example.com/?c=camp_1.ad%3A1&ref=cw&empty=",
            ),
        ] {
            assert_eq!(with(target, template), expected);
        }
    }

    #[test]
    fn only_web_pages_are_targets() {
        for text in ["https://example.com/a?b=c#d", "http://[2001:db8::1]:8080/", "https://bücher.example/ä"]
        {
            assert!(text.parse::<Target>().is_ok(), "{text}");
        }
        let bücher: Target = "HTTPS://Bücher.example/ä".parse().unwrap();
        assert_eq!(bücher.to_string(), "https://xn--bcher-kva.example/%C3%A4");
        for text in [
            "",
            "example.com",
            "//example.com/",
            "/relative",
            "https://",
            "https:///",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.com/",
            "https://user@example.com/",
            "https://:secret@example.com/",
            "https://example.com/a b",
            "java\nscript:alert(1)",
            "https://example.com/\r\nset-cookie: a=b",
            " https://example.com/",
            "https://exa\u{0}mple.com/",
            "https://example.com:99999/",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
        let long = format!("https://example.com/{}", "ä".repeat(MAX_TARGET_BYTES / 3));
        assert_eq!(long.parse::<Target>(), Err(NoTarget::Long), "counted as it is kept");
    }

    proptest! {
        #[test]
        fn nothing_but_the_end_of_the_query_changes(
            target in "https?://[a-z]{1,9}\\.example(:[1-9][0-9]{1,3})?(/[!-~]{0,20})?(\\?[!-~]{0,20})?(#[!-~]{0,20})?",
            names in proptest::collection::vec("[a-zA-Z0-9._~{}-]{0,12}(\\{click_id\\}|\\{ad_id\\})?=[ -~]{0,12}", 0..4),
            click_id in "\\PC{0,40}", ad_id in "\\PC{0,40}",
        ) {
            let (Ok(target), Ok(template)) = (target.parse::<Target>(), names.join("&").parse::<Template>()) else {
                return Ok(());
            };
            let query = Query::default();
            let url = target.with(Some(&template), &click(&click_id, &ad_id, &query), &["x=1"]);
            let registered = Url::parse(&target.to_string()).unwrap();
            // As the browser will read it.
            let seen = Url::parse(&url).unwrap();
            prop_assert_eq!(seen.as_str(), &url);
            prop_assert!(url.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            let parts = |url: &Url| {
                let parts = [Some(url.scheme()), url.host_str(), Some(url.path()), url.fragment(), Some(url.username())];
                (parts.map(|part| part.map(str::to_owned)), url.port(), url.password().map(str::to_owned))
            };
            prop_assert_eq!(parts(&seen), parts(&registered));
            let (before, after) = (registered.query().unwrap_or_default(), seen.query().unwrap_or_default());
            prop_assert!(after.starts_with(before));
            let added: Vec<_> = seen.query_pairs().skip(registered.query_pairs().count()).collect();
            prop_assert_eq!(added.len(), template.pairs().len() + 1);
        }

        /// A stranger's query fills in no more than its place.
        #[test]
        fn what_is_filled_in_stays_in_its_place(value in "([.%/\\\\?#&=@: ]|\\PC){0,12}", handed_on in "\\PC{0,20}") {
            let target = Target::stored("https://a.example/x/{sub1}/y{sub1}?p={sub1}&q#{sub1}").unwrap();
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("sub1", &value).finish();
            let query = Query::read(Some(&query));
            let url = target.with(None, &click("id", "ad", &query), &[&handed_on]);
            let seen = Url::parse(&url).unwrap();
            prop_assert_eq!(seen.as_str(), &url);
            prop_assert_eq!((seen.host_str(), seen.port(), seen.username()), (Some("a.example"), None, ""));
            prop_assert_eq!(seen.path_segments().map(Iterator::count), Some(3));
            prop_assert!(seen.path().starts_with("/x/"));
            let dots_in_path = !value.is_empty() && value.bytes().all(|byte| byte == b'.');
            let shown = seen.query_pairs().next().map(|(_, value)| value.into_owned());
            prop_assert!(dots_in_path || shown == Some(value));
        }

        #[test]
        fn whatever_is_taken_for_a_target_is_one(text in "(https?:)?[\\PC\\\\/@?#:%]{0,60}") {
            if let Ok(target) = text.parse::<Target>() {
                let kept = target.to_string();
                prop_assert!(kept.starts_with("http://") || kept.starts_with("https://"));
                prop_assert!(!target.host.is_empty());
                prop_assert_eq!(Target::stored(&kept), Ok(target), "what is kept can be read again");
            }
        }
    }
}
