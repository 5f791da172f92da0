//! The origin of a click, as its link's query and the browser say: kept with the click, for the
//! advertiser to tell campaigns and its own networks' clicks apart. It describes a click and bills nothing.

use std::collections::BTreeMap;

use crate::click::cleaned;

/// Parameters of one click, at most.
pub const MAX_PARAMS: usize = 32;
/// Longest value that is kept, in bytes. A longer one is left out: part of a click id names nothing.
pub const MAX_VALUE_BYTES: usize = 512;
/// All names and values of one click together, in bytes.
pub const MAX_PARAMS_BYTES: usize = 4_096;
/// Longest referrer that is kept, in bytes.
pub const MAX_REFERRER_BYTES: usize = 512;

/// Longest name behind `utm_`, in bytes.
const MAX_UTM_BYTES: usize = 32;

/// Click ids of Google, Microsoft, Meta and TikTok.
const CLICK_IDS: [&str; 6] = ["gclid", "wbraid", "gbraid", "msclkid", "fbclid", "ttclid"];

/// Numbers behind `sub`, which affiliate networks use for their own ids.
const SUBS: std::ops::RangeInclusive<u8> = 1..=10;

/// Parameters by name.
pub type Params = BTreeMap<String, String>;

/// Returns whether a parameter of this name is kept with a click: a network's click id, `utm_…`, `sub1` to `sub10`.
pub fn is_kept(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    match name.strip_prefix("utm_") {
        Some(rest) => (1..=MAX_UTM_BYTES).contains(&rest.len()) && rest.bytes().all(is_plain),
        None => {
            let number = name.strip_prefix("sub").filter(|number| !number.starts_with(['0', '+']));
            CLICK_IDS.contains(&name)
                || number.and_then(|number| number.parse().ok()).is_some_and(|number| SUBS.contains(&number))
        }
    }
}

/// Keeps a parameter, if it is one that is kept and there is room. Of two with one name the first counts.
pub fn keep(params: &mut Params, name: &str, value: &str) {
    if !is_kept(name) || params.contains_key(name) || value.len() > 4 * MAX_VALUE_BYTES {
        return;
    }
    let value = cleaned(value, 4 * MAX_VALUE_BYTES);
    let bytes: usize = params.iter().map(|(name, value)| name.len() + value.len()).sum();
    let fits = value.len() <= MAX_VALUE_BYTES && bytes + name.len() + value.len() <= MAX_PARAMS_BYTES;
    if !value.is_empty() && fits && params.len() < MAX_PARAMS {
        params.insert(name.to_owned(), value);
    }
}

/// The page that a click came from, without what may tell about the person: credentials, query and
/// fragment. `None` if it is no address of a page.
pub fn referrer(text: &str) -> Option<String> {
    let (scheme, rest) = text.trim().split_once("://")?;
    let is_scheme =
        !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '\\']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_page = is_scheme && !host.is_empty();
    is_page.then(|| cleaned(&format!("{scheme}://{host}{path}"), MAX_REFERRER_BYTES))
}

/// Returns the fault of parameters that came another way than by [`keep`], if there is one.
pub(crate) fn fault(params: &Params) -> Option<String> {
    let mut kept = Params::new();
    params.iter().for_each(|(name, value)| keep(&mut kept, name, value));
    (kept != *params).then(|| "Expected parameters as they are kept.".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_click_ids_campaigns_and_subs_are_kept() {
        for name in [
            "gclid",
            "wbraid",
            "gbraid",
            "msclkid",
            "fbclid",
            "ttclid",
            "utm_source",
            "utm_id",
            "sub1",
            "sub10",
        ] {
            assert!(is_kept(name), "{name}");
        }
        for name in [
            "", "GCLID", "gclid2", "utm_", "utm_a b", "utm_É", "sub", "sub0", "sub01", "sub+1", "sub11",
            "email",
        ] {
            assert!(!is_kept(name), "{name}");
        }
        let mut params = Params::new();
        for (name, value) in [
            ("gclid", "first"),
            ("gclid", "second"),
            ("fbclid", ""),
            ("sub1", "a\u{0}b\n"),
            ("sub2", &"x".repeat(MAX_VALUE_BYTES + 1)),
            ("email", "a@b.example"),
        ] {
            keep(&mut params, name, value);
        }
        assert_eq!(
            params,
            [("gclid", "first"), ("sub1", "ab")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
        );
    }

    #[test]
    fn of_a_referrer_the_page_is_kept() {
        for (text, kept) in [
            ("https://news.example/a/b?email=x@y#top", Some("https://news.example/a/b")),
            ("https://user:secret@news.example:8443/", Some("https://news.example:8443/")),
            ("https://a@b@news.example", Some("https://news.example")),
            ("https://news.example\\@evil", Some("https://news.example\\@evil")),
            ("android-app://com.example.app", Some("android-app://com.example.app")),
            ("about:blank", None),
            ("https://", None),
            ("https://?q=1", None),
            ("://a", None),
            ("", None),
        ] {
            assert_eq!(referrer(text).as_deref(), kept, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded(
            pairs in proptest::collection::vec(("(utm_[a-z]{0,40}|sub[0-9]{1,2}|gclid|\\PC{0,9})", "\\PC{0,600}"), 0..60),
            page in "(https?://)?\\PC{0,700}",
        ) {
            let mut params = Params::new();
            pairs.iter().for_each(|(name, value)| keep(&mut params, name, value));
            prop_assert!(params.len() <= MAX_PARAMS);
            prop_assert!(params.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>() <= MAX_PARAMS_BYTES);
            prop_assert_eq!(fault(&params), None);
            if let Some(kept) = referrer(&page) {
                prop_assert!(kept.len() <= MAX_REFERRER_BYTES && !kept.contains(['?', '#']));
            }
        }
    }
}
