//! Pages beside its target that an ad's link may lead to: on hosts that are registered for it; pure.
//!
//! Google's transparent trackers are told the landing page in the link's own query (`url` or `lpurl`). A
//! stranger can write that query, so the page is followed only on a registered host and port; else the link
//! leads to its target, as if nothing had been said.

use std::{fmt, str::FromStr};

use thiserror::Error;
use url::Url;

use super::target::Target;

/// The name of the target's own host.
const OWN: &str = "self";

/// Longest host, in bytes (RFC 1035, section 2.3.4), and a port.
const MAX_BYTES: usize = 255 + 6;

/// A host that an ad may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LandingHost {
    /// The target's.
    Own,
    /// Another, as URLs have it, with the port if one is named; without it the scheme's usual one.
    Named(String, Option<u16>),
}

/// The reason why a text names no host, as a message for its author.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("Expected hosts such as shop.example or shop.example:8443, or self for the target's own.")]
pub(crate) struct NoHost;

impl LandingHost {
    /// Reads hosts that were checked when they were registered; a text that is no host allows nothing.
    pub(super) fn stored(hosts: &[String]) -> Vec<Self> {
        hosts.iter().filter_map(|host| host.parse().ok()).collect()
    }

    fn allows(&self, own: &Target, page: &Target) -> bool {
        let (host, port) = page.host();
        match self {
            Self::Own => own.host() == (host, port),
            Self::Named(named, None) => named == host && port.is_none(),
            Self::Named(named, Some(its_port)) => named == host && *its_port == page.port(),
        }
    }
}

/// The page that a query names, if an ad with this target and these hosts may lead to it.
pub(super) fn page(text: &str, own: &Target, hosts: &[LandingHost]) -> Option<Target> {
    let page = Target::plain(text).ok()?;
    hosts.iter().any(|host| host.allows(own, &page)).then_some(page)
}

impl FromStr for LandingHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        if text == OWN {
            return Ok(Self::Own);
        }
        let is_plain = |c: char| c.is_alphanumeric() || "-.:[]".contains(c);
        if text.len() > MAX_BYTES || !text.chars().all(is_plain) {
            return Err(NoHost);
        }
        let url = Url::parse(&format!("https://{text}/")).map_err(|_| NoHost)?;
        let host = url.host_str().ok_or(NoHost)?;
        // A port that is the usual one of either scheme is named all the same.
        let port = url.port().or_else(|| Url::parse(&format!("http://{text}/")).ok()?.port());
        Ok(Self::Named(host.to_owned(), port))
    }
}

impl fmt::Display for LandingHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str(OWN),
            Self::Named(host, None) => f.write_str(host),
            Self::Named(host, Some(port)) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leads(text: &str, hosts: &[&str]) -> Option<String> {
        let own = "https://shop.example/lp?a=1".parse().unwrap();
        let hosts: Vec<LandingHost> = hosts.iter().map(|host| host.parse().unwrap()).collect();
        page(text, &own, &hosts).map(|page| page.to_string())
    }

    #[test]
    fn a_page_is_followed_on_a_registered_host_only() {
        for (text, hosts, expected) in [
            ("https://shop.example/other?x=1#y", &["self"][..], Some("https://shop.example/other?x=1#y")),
            ("http://shop.example/other", &["self"], Some("http://shop.example/other")),
            ("https://SHOP.example", &["self"], Some("https://shop.example/")),
            ("https://shop.example/other", &[], None),
            ("https://shop.example/other", &["b.example"], None),
            ("https://b.example/", &["self", "b.example"], Some("https://b.example/")),
            ("https://bücher.example/", &["BÜCHER.example"], Some("https://xn--bcher-kva.example/")),
            ("https://b.example:8443/", &["b.example"], None),
            ("https://b.example:8443/", &["b.example:8443"], Some("https://b.example:8443/")),
            ("https://b.example/", &["b.example:443"], Some("https://b.example/")),
            ("http://b.example/", &["b.example:443"], None),
            ("http://b.example/", &["b.example:80"], Some("http://b.example/")),
            ("https://b.example/", &["b.example:80"], None),
            ("http://b.example:443/", &["b.example:443"], Some("http://b.example:443/")),
            // Nothing that only looks like it.
            ("https://shop.example.evil.example/", &["self"], None),
            ("https://evil.example/shop.example", &["self"], None),
            ("https://shop.example@evil.example/", &["self"], None),
            ("https://evil.example\\@shop.example/", &["self"], None),
            ("https://user:secret@shop.example/", &["self"], None),
            ("https://shop.example:444/", &["self"], None),
            ("https://shop.example./", &["self"], None),
            ("//shop.example/", &["self"], None),
            ("/other", &["self"], None),
            ("javascript://shop.example/%0aalert(1)", &["self"], None),
            ("data:text/html,x", &["self"], None),
            ("ftp://shop.example/", &["self"], None),
            (" https://shop.example/", &["self"], None),
            ("https://shop.example/a\r\nset-cookie: a=b", &["self"], None),
            ("https://shop.example/{click_id}", &["self"], Some("https://shop.example/%7Bclick_id%7D")),
        ] {
            assert_eq!(leads(text, hosts).as_deref(), expected, "{text} {hosts:?}");
        }
        for text in ["", "a b", "a/b", "a@b", "https://a", "a:b", "a?b", "a#b", "*.example", "a:99999"] {
            assert_eq!(text.parse::<LandingHost>(), Err(NoHost), "{text}");
        }
        for text in [
            "self",
            "shop.example",
            "shop.example:8443",
            "shop.example:443",
            "shop.example:80",
            "[2001:db8::1]",
        ] {
            assert_eq!(text.parse::<LandingHost>().unwrap().to_string(), text);
        }
    }

    proptest! {
        /// A stranger's text never leads the browser that follows it to another host than the target's own.
        #[test]
        fn no_query_leads_to_another_host(
            text in "(https?:[/\\\\]{0,3}|//)?([a-z@:.\\\\/?#%]|shop\\.example|evil\\.example|\\PC){0,12}"
        ) {
            if let Some(page) = leads(&text, &["self"]) {
                let seen = Url::parse(&page).unwrap();
                prop_assert!(matches!(seen.scheme(), "http" | "https"));
                prop_assert_eq!((seen.host_str(), seen.port()), (Some("shop.example"), None));
                prop_assert!(seen.username().is_empty() && seen.password().is_none());
            }
        }
    }
}
