//! Requests for a redirect without a click: browsers that fetch ahead or show previews
//! say so in headers, and a `HEAD` request opens no page.
//!
//! Fetchers of link previews for chat programs say so in their user agent only: the aggregator judges those.

use axum::http::{HeaderMap, Method};

/// Headers, and the beginnings of their values when nobody has clicked.
const SIGNS: [(&str, &str); 5] = [
    // https://wicg.github.io/nav-speculation/prefetch.html#sec-purpose-header; also `prefetch;prerender`
    ("sec-purpose", "prefetch"),
    // Chrome and Safari before that
    ("purpose", "prefetch"),
    ("purpose", "preview"),
    // Firefox before that
    ("x-moz", "prefetch"),
    // Safari's top sites
    ("x-purpose", "preview"),
];

/// Returns whether the request comes without a click.
pub(super) fn is_ahead(method: &Method, headers: &HeaderMap) -> bool {
    let says = |name: &str, sign: &str| {
        headers.get_all(name).iter().any(|value| {
            let begins = value.as_bytes().trim_ascii_start().get(..sign.len());
            begins.is_some_and(|begins| begins.eq_ignore_ascii_case(sign.as_bytes()))
        })
    };
    method == Method::HEAD || SIGNS.into_iter().any(|(name, sign)| says(name, sign))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn prefetches_previews_and_head_are_told_from_clicks() {
        for (name, value, expected) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch;anonymous-client-ip", true),
            ("purpose", "prefetch", true),
            ("purpose", "Preview", true),
            ("x-moz", "prefetch", true),
            ("x-purpose", "preview", true),
            ("x-purpose", " preview", true),
            ("purpose", "navigation", false),
            ("sec-purpose", "", false),
            ("sec-purpose", "pre", false),
            ("accept", "prefetch", false),
        ] {
            let headers: HeaderMap =
                [(HeaderName::from_static(name), HeaderValue::from_static(value))].into_iter().collect();
            assert_eq!(is_ahead(&Method::GET, &headers), expected, "{name}: {value}");
        }
        assert!(is_ahead(&Method::HEAD, &HeaderMap::new()));
        assert!(!is_ahead(&Method::GET, &HeaderMap::new()));
    }
}
