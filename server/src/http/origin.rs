//! Pages that may use this server from a browser: our own, and those of origins that are allowed.
//!
//! A browser names the page's origin with every write and every WebSocket (Fetch Standard, section 3.2; RFC
//! 6455, section 10.2), and current ones say how it is related to us (Fetch Metadata). Programs say
//! neither. Which origin is ours the request's own host says ([`crate::http::host`]).

use axum::http::{HeaderMap, HeaderName, Uri, header};

use crate::http::host;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether a request comes from no page at all, or from one that may send it.
pub(crate) fn is_allowed(headers: &HeaderMap, others: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = headers.get(header::ORIGIN) else {
        return matches!(text(SEC_FETCH_SITE), None | Some("none" | "same-origin"));
    };
    if others.iter().any(|other| other.as_bytes() == origin.as_bytes()) {
        return true;
    }
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let page = origin.as_ref().and_then(Uri::authority);
    let ours = text(header::HOST).and_then(|host| host.parse().ok());
    let scheme = origin.as_ref().and_then(Uri::scheme);
    page.zip(ours.as_ref()).is_some_and(|(page, ours)| host::is_same(page, ours, scheme))
}

/// Returns whether a request certainly comes from a page that may send it: a cookie alone does not allow a write, which
/// another site's page could make a browser send (cross-site request forgery).
pub(crate) fn is_certain(headers: &HeaderMap, others: &[String]) -> bool {
    let says_so = headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
    says_so && is_allowed(headers, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_of_another_origin_may_not() {
        for (origin, host, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("https://clicks.example", "clicks.example", true),
            ("https://clicks.example", "Clicks.Example:443", true),
            ("https://clicks.example", "clicks.example:80", false),
            ("https://clicks.example", "", false),
            ("https://evil.example", "clicks.example", false),
            ("http://127.0.0.1:9999", "127.0.0.1:8080", false),
            ("https://partner.example", "clicks.example", true),
            ("http://partner.example", "clicks.example", false),
            ("null", "clicks.example", false),
        ] {
            let headers = headers(&[("host", host), ("origin", origin)]);
            let others = ["https://partner.example".to_owned()];
            assert_eq!(is_allowed(&headers, &others), expected, "{origin:?}");
            assert_eq!(is_certain(&headers, &others), expected, "{origin:?}");
        }
    }

    #[test]
    fn who_names_no_origin_is_a_program_or_told_by_fetch_metadata() {
        let host = ("host", "clicks.example");
        for (site, allowed, certain) in [
            (None, true, false),
            (Some("same-origin"), true, true),
            (Some("none"), true, true),
            (Some("same-site"), false, false),
            (Some("cross-site"), false, false),
        ] {
            let headers = headers(
                &[&[host][..], &site.map(|site| ("sec-fetch-site", site)).into_iter().collect::<Vec<_>>()]
                    .concat(),
            );
            assert_eq!(
                (is_allowed(&headers, &[]), is_certain(&headers, &[])),
                (allowed, certain),
                "{site:?}"
            );
        }
    }
}
