//! The other end of a request: address and browser.
//!
//! Behind a proxy the connection's address is the proxy's, and the client's stands in a header that
//! anybody can write. It is believed from proxies that the operator has named, and read from its end,
//! where the nearest proxy has written: the first address that is no proxy's is the client's.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts, rejection::ExtensionRejection},
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{FORWARDED, USER_AGENT},
        request::Parts,
    },
};
use clap::ValueEnum;
use clickwire_protocol::click::{MAX_USER_AGENT_BYTES, cleaned};

use crate::http::{networks::Networks, state::HttpState};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client that a request came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    /// The user agent; empty if it named none.
    pub(crate) user_agent: String,
}

/// The header in which proxies hand on whom they speak for. Only one is read: a proxy that writes one
/// lets the other through as a stranger has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For: client, proxy`
    #[value(name = "x-forwarded-for")]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239)
    #[value(name = "forwarded")]
    Forwarded,
}

/// Proxies that are believed.
#[derive(Debug)]
pub(crate) struct Proxies {
    trusted: Networks,
    header: ForwardedHeader,
}

impl Proxies {
    pub(crate) fn new(trusted: Networks, header: ForwardedHeader) -> Self {
        Self { trusted, header }
    }

    /// The address of the client behind `peer`.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        let mut client = peer.to_canonical();
        for line in headers.get_all(name).iter().rev() {
            // What can't be read ends the chain: further left may stand anything.
            let Ok(line) = line.to_str() else { return client };
            // An empty element says nothing (RFC 9110, section 5.6.1.2).
            for hop in line.rsplit(',').filter(|hop| !hop.trim().is_empty()) {
                if !self.trusted.contain(client) {
                    return client;
                }
                let address = match self.header {
                    ForwardedHeader::XForwardedFor => address(hop.trim()),
                    ForwardedHeader::Forwarded => forwarded_for(hop),
                };
                let Some(address) = address else { return client };
                client = address.to_canonical();
            }
        }
        client
    }
}

/// `for=` of one element of `Forwarded`. Names in place of addresses (`unknown`, `_hidden`) are none.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let value = element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    })?;
    address(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address with or without port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    bare().or_else(with_port).or_else(in_brackets)
}

impl<S> FromRequestParts<S> for Visitor
where
    S: Send + Sync,
    Arc<HttpState>: FromRef<S>,
{
    type Rejection = ExtensionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ExtensionRejection> {
        let ConnectInfo(peer) = ConnectInfo::<SocketAddr>::from_request_parts(parts, state).await?;
        let address = Arc::<HttpState>::from_ref(state).proxies.client(peer.ip(), &parts.headers);
        Ok(Self { address, user_agent: user_agent(&parts.headers) })
    }
}

/// Returns the user agent as far as it can be kept. A header is of any bytes (RFC 9110, section 5.5), and some browsers
/// write names of networks into it that are not ASCII.
fn user_agent(headers: &HeaderMap) -> String {
    let value = headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
    cleaned(&String::from_utf8_lossy(value), MAX_USER_AGENT_BYTES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_user_agent_need_not_be_ascii() {
        let kept = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_bytes(bytes).unwrap());
            user_agent(&headers)
        };
        assert_eq!(user_agent(&HeaderMap::new()), "");
        assert_eq!(
            kept("Mozilla/5.0 [FBCR/Telef\u{f3}nica]".as_bytes()),
            "Mozilla/5.0 [FBCR/Telef\u{f3}nica]"
        );
        assert_eq!(kept(b"Mozilla/5.0 [FBCR/Telef\xf3nica]"), "Mozilla/5.0 [FBCR/Telef\u{fffd}nica]");
        assert_eq!(kept(b"a\tb"), "ab");
        assert_eq!(kept(&[b'a'; 2 * MAX_USER_AGENT_BYTES]).len(), MAX_USER_AGENT_BYTES);
        assert_eq!(kept(&"\u{f3}".repeat(MAX_USER_AGENT_BYTES).into_bytes()).len(), MAX_USER_AGENT_BYTES);
    }

    fn proxies(trusted: &[&str], header: ForwardedHeader) -> Proxies {
        Proxies::new(trusted.iter().map(|text| text.parse().unwrap()).collect(), header)
    }

    fn client(proxies: &Proxies, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn nobody_is_believed_unless_named() {
        let nobody = proxies(&[], ForwardedHeader::XForwardedFor);
        assert_eq!(client(&nobody, "198.51.100.1", "x-forwarded-for", &["192.0.2.1"]), "198.51.100.1");
    }

    #[test]
    fn the_nearest_address_that_is_no_proxys_is_the_clients() {
        let proxies = proxies(&["10.0.0.0/8", "2001:db8::/64"], ForwardedHeader::XForwardedFor);
        for (peer, lines, expected) in [
            ("10.0.0.1", &["192.0.2.1"][..], "192.0.2.1"),
            ("::ffff:10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            // Whatever the client wrote stands to the left of its address.
            ("10.0.0.1", &["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.1", &["203.0.113.9", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("2001:db8::7", &["[2001:db8:1::1]:443"], "2001:db8:1::1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1,"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1, , 10.0.0.2, ,"], "192.0.2.1"),
            ("10.0.0.1", &["192.0.2.1", "", " ,"], "192.0.2.1"),
            ("10.0.0.1", &[","], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("192.0.2.200", &["192.0.2.1"], "192.0.2.200"),
        ] {
            assert_eq!(client(&proxies, peer, "x-forwarded-for", lines), expected, "{peer} {lines:?}");
        }
        assert_eq!(
            client(&proxies, "10.0.0.1", "forwarded", &["for=192.0.2.1"]),
            "10.0.0.1",
            "the other header"
        );
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let proxies = proxies(&["10.0.0.0/8"], ForwardedHeader::Forwarded);
        for (line, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=192.0.2.43, for=\"10.1.1.1\"", "192.0.2.43"),
            ("for=192.0.2.43,, ,for=10.1.1.1,", "192.0.2.43"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=10.2.2.2", "10.2.2.2"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(client(&proxies, "10.0.0.1", "forwarded", &[line]), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_never_changes_its_address(written in "[ -~]{0,60}") {
            let proxies = proxies(&["10.0.0.0/8"], ForwardedHeader::XForwardedFor);
            let lines = [written.as_str(), "192.0.2.1"];
            prop_assert_eq!(client(&proxies, "10.0.0.1", "x-forwarded-for", &lines), "192.0.2.1");
        }
    }
}
