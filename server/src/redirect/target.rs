//! Where an ad leads, and what is appended to it; pure.
//!
//! Only what is checked here is ever redirected to: `http` or `https`, a host, no credentials. Appending
//! changes nothing but the query, and of that only the end.

use std::{fmt, str::FromStr};

use thiserror::Error;
use url::{ParseError, Url};

/// Longest target, in bytes.
const MAX_TARGET_BYTES: usize = 2_048;

/// Longest template, in bytes.
const MAX_TEMPLATE_BYTES: usize = 512;

/// An ad's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(Url);

/// Why a text is no target. Messages are for whoever wrote it.
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
}

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        // What the parser silently takes out of a URL must not come in.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NoTarget::Characters);
        }
        let url = Url::parse(text)?;
        // A host these two always have: without one they can't be parsed.
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
        Ok(Self(url))
    }
}

impl Target {
    /// As browsers write it: ASCII.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Where a click is sent: the target with a template's pairs after its own query.
    pub(crate) fn with(&self, template: &Template, click: &Told<'_>) -> Url {
        let mut url = self.0.clone();
        if !template.0.is_empty() {
            let mut query = url.query_pairs_mut();
            for (name, value) in &template.0 {
                query.append_pair(&click.fill(name), &click.fill(value));
            }
        }
        url
    }
}

/// What an advertiser is told of a click.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) click_id: &'a str,
    pub(crate) ad_id: &'a str,
    pub(crate) campaign_id: &'a str,
}

impl Told<'_> {
    fn fill(&self, text: &str) -> String {
        // What is filled in has no braces.
        text.replace("{click_id}", self.click_id)
            .replace("{ad_id}", self.ad_id)
            .replace("{campaign_id}", self.campaign_id)
    }
}

/// How an advertiser wants to be told: pairs `name=value` joined by `&`, in which `{click_id}`,
/// `{ad_id}` and `{campaign_id}` are replaced. Nothing in it needs to be encoded. Empty: nothing is
/// told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<(String, String)>);

/// Why a text is no template. Messages are for whoever wrote it.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum NoTemplate {
    #[error("At most {MAX_TEMPLATE_BYTES} bytes.")]
    Long,
    #[error("Expected pairs name=value, joined by &.")]
    Pair,
    #[error(
        "Beside {{click_id}}, {{ad_id}} and {{campaign_id}}, only letters, digits and - . _ ~ are allowed."
    )]
    Characters,
}

impl FromStr for Template {
    type Err = NoTemplate;

    fn from_str(text: &str) -> Result<Self, NoTemplate> {
        if text.len() > MAX_TEMPLATE_BYTES {
            return Err(NoTemplate::Long);
        }
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split('&').map(pair).collect::<Result<_, _>>().map(Self)
    }
}

fn pair(text: &str) -> Result<(String, String), NoTemplate> {
    let (name, value) = text.split_once('=').ok_or(NoTemplate::Pair)?;
    if name.is_empty() {
        return Err(NoTemplate::Pair);
    }
    // RFC 3986, section 2.3: what means the same wherever it stands.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    let nothing = Told { click_id: "", ad_id: "", campaign_id: "" };
    if [name, value].iter().all(|text| nothing.fill(text).chars().all(is_plain)) {
        Ok((name.to_owned(), value.to_owned()))
    } else {
        Err(NoTemplate::Characters)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { "" } else { "&" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOLD: Told<'_> = Told { click_id: "0189-a.b_c", ad_id: "ad:1", campaign_id: "camp_1" };

    fn with(target: &str, template: &str) -> String {
        let target: Target = target.parse().unwrap();
        target.with(&template.parse().unwrap(), &TOLD).into()
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
        assert_eq!(bücher.as_str(), "https://xn--bcher-kva.example/%C3%A4");
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

    #[test]
    fn templates_are_pairs_of_plain_text() {
        for text in ["", "a=", "cw_click_id={click_id}", "sub{ad_id}=x-{campaign_id}.{click_id}~&b=c_d"] {
            assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
        }
        for text in [
            "a",
            "=b",
            "a=b&",
            "&",
            "a=b c",
            "a=%20",
            "a=b#c",
            "a=b=c",
            "a={price}",
            "a={click_id",
            "a=\r\n",
            "ä=b",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
        assert_eq!(
            format!("a={}", "b".repeat(MAX_TEMPLATE_BYTES)).parse::<Template>(),
            Err(NoTemplate::Long)
        );
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
            let url = target.with(&template, &Told { click_id: &click_id, ad_id: &ad_id, campaign_id: "c" });
            // As the browser will read it.
            let seen = Url::parse(url.as_str()).unwrap();
            prop_assert_eq!(&seen, &url);
            prop_assert!(url.as_str().bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            let parts = |url: &Url| {
                let parts = [Some(url.scheme()), url.host_str(), Some(url.path()), url.fragment(), Some(url.username())];
                (parts.map(|part| part.map(str::to_owned)), url.port(), url.password().map(str::to_owned))
            };
            prop_assert_eq!(parts(&seen), parts(&target.0));
            let (before, after) = (target.0.query().unwrap_or_default(), seen.query().unwrap_or_default());
            prop_assert!(after.starts_with(before));
            let added: Vec<_> = seen.query_pairs().skip(target.0.query_pairs().count()).collect();
            prop_assert_eq!(added.len(), template.0.len());
        }

        #[test]
        fn whatever_is_taken_for_a_target_is_one(text in "(https?:)?[\\PC\\\\/@?#:%]{0,60}") {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert!(target.as_str().starts_with("http://") || target.as_str().starts_with("https://"));
                prop_assert!(target.0.host_str().is_some_and(|host| !host.is_empty()));
                prop_assert!(target.as_str().parse::<Target>().is_ok(), "what is kept can be read again");
            }
        }
    }
}
