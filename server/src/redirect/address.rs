//! The ad that an address means, however it was copied; pure.
//!
//! Programs that find links in a text take the full stop or the bracket behind them for a part of them, mail
//! programs and people add slashes. So an id under which nothing is registered is tried once more without what
//! stands around it.

use std::borrow::Cow;

use axum::http::{HeaderMap, header::ACCEPT};
use clickwire_protocol::ids::AdId;
use percent_encoding::percent_decode_str;

/// Ids that a text may mean, the likeliest first.
pub(super) fn ad_ids(text: &str) -> Vec<AdId> {
    let trimmed = text.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let other = (trimmed != text).then_some(trimmed);
    [Some(text), other].into_iter().flatten().filter_map(|text| AdId::new(text).ok()).collect()
}

/// The text in the place of the ad's id, if the path is a link's but for slashes; `Some(None)` if it is not valid
/// text.
pub(super) fn link(path: &str) -> Option<Option<Cow<'_, str>>> {
    let rest = path.trim_start_matches('/').strip_prefix('r')?;
    let id = match rest.strip_prefix('/') {
        Some(id) => id.trim_start_matches('/'),
        None if rest.is_empty() => "",
        None => return None,
    };
    Some(percent_decode_str(id).decode_utf8().ok())
}

/// Returns whether the client wants a page: browsers do, programs seldom say so.
pub(super) fn is_person(headers: &HeaderMap) -> bool {
    let wanted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = wanted.flat_map(|value| value.split(','));
    types.any(|wanted| {
        let wanted = wanted.split(';').next().unwrap_or_default().trim();
        wanted.eq_ignore_ascii_case("text/html") || wanted.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_stands_around_an_id_is_tried_without() {
        for (text, ids) in [
            ("ad_001", &["ad_001"][..]),
            ("ad_001.", &["ad_001.", "ad_001"]),
            ("ad_001/", &["ad_001"]),
            ("ad_001)", &["ad_001"]),
            ("<ad_001>,", &["ad_001"]),
            ("ad_001\u{200b} ", &["ad_001"]),
            ("\u{201c}ad_001\u{201d}", &["ad_001"]),
            ("_ad_001_", &["_ad_001_", "ad_001"]),
            ("ad_001/x", &[]),
            ("ad 001", &[]),
            ("...", &["..."]),
            (")", &[]),
            ("", &[]),
        ] {
            assert!(ad_ids(text).iter().map(AdId::as_str).eq(ids.iter().copied()), "{text}");
        }
    }

    #[test]
    fn links_are_found_whatever_slashes_they_have() {
        for (path, id) in [
            ("//r/ad_001", "ad_001"),
            ("/r//ad_001/", "ad_001/"),
            ("///r///ad_001", "ad_001"),
            ("/r/ad_001/", "ad_001/"),
            ("/r/ad%5F001%29/", "ad_001)/"),
            ("/r/", ""),
            ("/r", ""),
        ] {
            assert_eq!(link(path).flatten().as_deref(), Some(id), "{path}");
        }
        assert_eq!(link("/r/%ff/"), Some(None));
        for path in ["/", "/robots.txt", "/R/ad_001", "/a/r/ad_001", ""] {
            assert_eq!(link(path), None, "{path}");
        }
    }

    #[test]
    fn browsers_want_pages() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("TEXT/HTML; q=0.5", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(is_person(&headers), expected, "{accept}");
        }
        assert!(!is_person(&HeaderMap::new()));
    }
}
