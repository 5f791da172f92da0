//! The host that a request is for, told the same way whatever the version of HTTP.
//!
//! HTTP/1 has it in `Host`, or in the whole URL of its request line; HTTP/2 in `:authority`, beside which a
//! `Host` may come. After [`settle`], `Host` says it, and nothing else has to be read. What names
//! no host, two, or none that could be one is refused: a proxy and we would take it for different ones.

use axum::{
    extract::Request,
    http::{
        HeaderValue, Version,
        header::HOST,
        uri::{Authority, Scheme},
    },
};
use clickwire_protocol::click::Rejection;

use crate::http::error::Error;

/// Makes `Host` name what the request is for (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
pub(crate) fn settle(request: &mut Request) -> Result<(), Error> {
    let mut lines = request.headers().get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(refused("There are two Host headers."));
    }
    let named = line.map(authority).transpose()?;
    let target = request.uri().authority();
    if !target.is_none_or(is_whole) {
        return Err(refused("The request's target names no host and port."));
    }
    let is_http2 = request.version() >= Version::HTTP_2;
    match (&named, target) {
        (None, _) if request.version() == Version::HTTP_11 => {
            return Err(refused("HTTP/1.1 wants a Host header."));
        }
        (None, None) if is_http2 => return Err(refused("There is neither :authority nor a Host header.")),
        (Some(named), Some(target)) if is_http2 => {
            let scheme = request.uri().scheme();
            if !named.as_ref().is_some_and(|named| is_same(named, target, scheme)) {
                return Err(refused("The Host header and :authority differ."));
            }
        }
        _ => {}
    }
    // With a whole URL, HTTP/1.1 has it there, and `Host` is not believed (RFC 9112, section 3.2.2).
    if let Some(value) = target.and_then(|target| HeaderValue::from_str(target.as_str()).ok()) {
        request.headers_mut().insert(HOST, value);
    }
    Ok(())
}

/// Returns whether two name the same host and port; a port that is not named is the scheme's.
pub(crate) fn is_same(one: &Authority, other: &Authority, scheme: Option<&Scheme>) -> bool {
    let default = match scheme {
        Some(scheme) if *scheme == Scheme::HTTPS => Some(443),
        Some(scheme) if *scheme == Scheme::HTTP => Some(80),
        Some(_) | None => None,
    };
    let port = |authority: &Authority| authority.port_u16().or(default);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

/// Returns the authority that `Host` names; `None` for a target that has none.
fn authority(value: &HeaderValue) -> Result<Option<Authority>, Error> {
    if value.is_empty() {
        return Ok(None);
    }
    let authority = Authority::try_from(value.as_bytes()).ok().filter(is_whole);
    authority.map(Some).ok_or_else(|| refused("The Host header names no host and port."))
}

/// A host with a port or without, and nothing else: no user, no port beyond 65535.
fn is_whole(authority: &Authority) -> bool {
    match authority.as_str().strip_prefix(authority.host()) {
        Some("" | ":") => !authority.host().is_empty(),
        Some(rest) => rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
        None => false,
    }
}

fn refused(reason: &str) -> Error {
    Error::Invalid(Rejection::form(reason))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn settled(version: Version, target: &str, hosts: &[&str]) -> Option<String> {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let mut request = request.body(Body::empty()).unwrap();
        settle(&mut request).ok()?;
        assert!(request.headers().get_all(HOST).iter().count() <= 1);
        let host = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
        Some(host.unwrap_or_default())
    }

    #[test]
    fn every_version_says_for_which_host_a_request_is() {
        let (one, old, two) = (Version::HTTP_11, Version::HTTP_10, Version::HTTP_2);
        for (version, target, hosts, expected) in [
            (one, "/", &["clicks.example"][..], Some("clicks.example")),
            (one, "/", &["[2001:db8::1]:8080"], Some("[2001:db8::1]:8080")),
            (one, "/", &[""], Some("")),
            (one, "/", &[], None),
            (one, "/", &["clicks.example", "clicks.example"], None),
            (one, "/", &["a.example", "b.example"], None),
            (one, "/", &["a.example, b.example"], None),
            (one, "/", &["anna@clicks.example"], None),
            (one, "/", &["1@1"], None),
            (one, "/", &["clicks.example:99999"], None),
            (one, "/", &["clicks.example/path"], None),
            // RFC 9112, section 3.2.2
            (one, "http://a.example/", &["b.example"], Some("a.example")),
            (one, "http://a.example/", &[], None),
            (old, "/", &[], Some("")),
            (old, "/", &["clicks.example"], Some("clicks.example")),
            (old, "/", &["a.example", "b.example"], None),
            (two, "https://clicks.example/", &[], Some("clicks.example")),
            (two, "https://clicks.example/", &["CLICKS.example:443"], Some("clicks.example")),
            (two, "http://clicks.example:80/", &["clicks.example"], Some("clicks.example:80")),
            (two, "https://clicks.example/", &["clicks.example:80"], None),
            (two, "https://clicks.example/", &["evil.example"], None),
            (two, "https://clicks.example/", &[""], None),
            (two, "https://anna@clicks.example/", &[], None),
            (two, "/", &["clicks.example"], Some("clicks.example")),
            (two, "/", &["a.example", "b.example"], None),
            (two, "/", &[], None),
        ] {
            assert_eq!(
                settled(version, target, hosts).as_deref(),
                expected,
                "{version:?} {target} {hosts:?}"
            );
        }
    }
}
