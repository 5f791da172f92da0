//! Untrusted input beside clicks, read as the server reads it, and properties that must hold for any such input: for
//! the fuzz targets of `server/fuzz`, and for the property tests here, which run with all others.

use std::{net::IpAddr, time::Duration};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE, FORWARDED},
};
use url::Url;

use crate::{
    http::visitor::{ForwardedHeader, Proxies},
    identity::{
        access::{api_key, bearer},
        password,
        session::Tokens,
        sign_in::SignIn,
        signing::Keys,
        store::canonical,
    },
    live::heard,
    redirect::{macros::ClickMacros, query::Query, target::Target, template::Template},
};

/// Any time will do.
const NOW_MS: i64 = 1_800_000_000_000;

fn header(name: HeaderName, value: &[u8]) -> Option<HeaderMap> {
    Some(HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).ok()?)]))
}

fn tokens() -> Tokens {
    let keys = Keys::new(&["a key of nobody".to_owned()], b"a secret of nobody", b"sessions");
    Tokens::new(keys, Duration::from_secs(900), Duration::from_secs(43_200), true)
}

/// `Cookie`: who is let in has sent what we have signed, to the letter.
pub fn cookie(value: &[u8]) {
    let Some(headers) = header(COOKIE, value) else { return };
    let tokens = tokens();
    if let Some(token) = tokens.sent(&headers, NOW_MS) {
        let signed = tokens.sign(&token);
        assert!(value.windows(signed.len()).any(|part| part == signed.as_bytes()));
    }
}

/// `Authorization`: a token is a part of it, without blanks around.
pub fn authorization(value: &[u8]) {
    let Some(headers) = header(AUTHORIZATION, value) else { return };
    let token = bearer(&headers);
    assert_eq!(token, api_key(&headers));
    if let Some(token) = token {
        assert!(token == token.trim() && value.len() > "bearer".len() + token.len());
        assert!(value[.."bearer".len()].eq_ignore_ascii_case(b"bearer"));
    }
}

/// The body of a sign-in: its login is found again as it is kept.
pub fn sign_in(body: &[u8]) {
    let Ok(SignIn { login, password }) = serde_json::from_slice(body) else { return };
    let kept = canonical(&login);
    assert_eq!(canonical(&kept), kept);
    if password::check(&password, &kept).is_ok() {
        assert!((password::MIN_CHARACTERS..=password::MAX_BYTES).contains(&password.len()));
    }
}

/// A live session's bytes: what is heard is a message that would be heard so again.
pub fn live(bytes: &[u8]) {
    for message in heard(bytes) {
        let text = serde_json::to_vec(&message).unwrap_or_default();
        assert_eq!(heard(&masked(&text)), [message]);
    }
}

/// A text frame as a client sends it (RFC 6455, section 5.2).
fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend(length.unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    let mask = [7, 0, 255, 128];
    frame.extend(mask);
    frame.extend(text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// `X-Forwarded-For` and `Forwarded`: who is no proxy is not believed, and a proxy names no other proxy.
pub fn forwarded(value: &[u8]) {
    let [proxy, stranger] = [[10, 0, 0, 1], [192, 0, 2, 1]].map(IpAddr::from);
    for (kind, name) in [
        (ForwardedHeader::XForwardedFor, HeaderName::from_static("x-forwarded-for")),
        (ForwardedHeader::Forwarded, FORWARDED),
    ] {
        let Some(headers) = header(name, value) else { return };
        let proxies = Proxies::new("10.0.0.0/30".parse().into_iter().collect(), kind);
        assert_eq!(proxies.client(stranger, &headers), stranger);
        let client = proxies.client(proxy, &headers);
        assert_eq!(client, client.to_canonical());
    }
}

/// A target, a line feed and a template, as an administrator registers them: a click leads to the target's
/// own host, by the web.
pub fn target(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (target, template) = text.split_once('\n').unwrap_or((text, ""));
    let (Ok(target), Ok(template)) = (target.parse::<Target>(), template.parse::<Template>()) else { return };
    let query = Query::default();
    let click = ClickMacros {
        click_id: "0190.sig",
        ad_id: "ad",
        campaign_id: "camp",
        advertiser_id: "adv",
        country: "DE",
        device_type: "tv",
        os: "",
        timestamp: 0,
        query: &query,
    };
    let location = target.with(Some(&template), &click, &[]);
    let registered = Url::parse(&target.to_string());
    let Ok(url) = Url::parse(&location) else { panic!("{location}") };
    assert_eq!(url.as_str(), location, "browsers read it as it is written");
    assert!(matches!(url.scheme(), "http" | "https"));
    assert!(registered.is_ok_and(|registered| registered.origin() == url.origin()));
    assert!(HeaderValue::from_str(&location).is_ok(), "it can be sent as `Location`");
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A client's frame: of any kind, whole or cut, masked or not.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let message = prop_oneof![
            Just(br#"{"type":"ping"}"#.to_vec()),
            Just(br#"{"type":"auth","token":"abc"}"#.to_vec()),
            Just(
                br#"{"type":"subscribe","id":1,"view":{"kind":"alerts"},"since":{"epoch":"e","seq":7}}"#
                    .to_vec()
            ),
            vec(any::<u8>(), 0..200),
        ];
        (message, any::<bool>(), any::<u8>(), 0..300_usize).prop_map(|(message, is_text, first, cut)| {
            let mut frame = masked(&message);
            if !is_text {
                frame[0] = first;
                frame.truncate(cut);
            }
            frame
        })
    }

    proptest! {
        #[test]
        fn headers_are_read_whatever_they_are(value in vec(any::<u8>(), 0..200)) {
            cookie(&value);
            authorization(&value);
            forwarded(&value);
        }

        #[test]
        fn what_looks_like_a_header_is_read(
            cookies in "(__Host-clickwire=[A-Za-z0-9_=-]{0,70}\\.[A-Za-z0-9_-]{0,50}; ?){0,3}",
            token in "[Bb]earer {0,3}[ -~]{0,40}",
            hops in "((for=)?\"?(10\\.0\\.0\\.[12]|\\[?::ffff:[0-9.:]{0,12}\\]?|[0-9.:a-f]{0,20})\"?[,;] ?){0,5}",
        ) {
            cookie(cookies.as_bytes());
            authorization(token.as_bytes());
            forwarded(hops.as_bytes());
        }

        #[test]
        fn sign_ins_are_read(login in "\\PC{0,80}", password in "\\PC{0,300}", body in "[{}\":,a-z]{0,60}") {
            sign_in(serde_json::json!({"login": login, "password": password}).to_string().as_bytes());
            sign_in(body.as_bytes());
        }

        #[test]
        fn sockets_hear_messages_or_end(frames in vec(frame(), 0..6)) {
            live(&frames.concat());
        }

        #[test]
        fn targets_lead_to_their_own_host(text in "https?://[\\PC@/:?#]{0,40}\n([a-z{}_]{1,12}=[!-~]{0,12}&?){0,3}") {
            target(text.as_bytes());
        }
    }

    #[test]
    fn all_that_was_sent_is_heard() {
        let ping = masked(br#"{"type":"ping"}"#);
        assert_eq!(heard(&[ping.clone(), ping].concat()).len(), 2);
    }

    #[test]
    fn a_signed_cookie_is_let_in() {
        let tokens = tokens();
        let token = crate::identity::session::Token::begin(uuid::Uuid::from_u128(1), 0, NOW_MS);
        let line = format!("a=b; __Host-clickwire={}", tokens.sign(&token));
        assert_eq!(tokens.sent(&header(COOKIE, line.as_bytes()).unwrap(), NOW_MS), Some(token));
        cookie(line.as_bytes());
    }
}
