//! The viewer's token: out of the link, into the tab's memory, nowhere else. The fragment never
//! reaches a server or its logs; `sessionStorage` ends with the tab.

use web_sys::{Storage, window};

const KEY: &str = "clickwire.token";

/// The token in a URL's fragment: `#token=…`.
pub fn in_fragment(fragment: &str) -> Option<&str> {
    fragment
        .trim_start_matches('#')
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .filter(|token| !token.is_empty())
}

/// Returns whether the address has a token.
pub fn is_in_address() -> bool {
    let hash = window().and_then(|window| window.location().hash().ok());
    hash.is_some_and(|hash| in_fragment(&hash).is_some())
}

/// The token of this tab. One in the address is kept, and removed from there.
pub fn find() -> Option<String> {
    let window = window()?;
    let location = window.location();
    let hash = location.hash().unwrap_or_default();
    if let Some(token) = in_fragment(&hash) {
        let token = js_sys::decode_uri_component(token).map_or_else(|_| token.to_owned(), String::from);
        keep(&token);
        let path = location.pathname().unwrap_or_default() + &location.search().unwrap_or_default();
        if let Ok(history) = window.history()
            && history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&path)).is_err()
        {
            // Then it stays in the address: ugly, and it works.
        }
        return Some(token);
    }
    storage()?.get_item(KEY).ok()?
}

/// Keeps a token for this tab.
pub fn keep(token: &str) {
    // Without storage (a browser may refuse it) the token lives as long as the page.
    storage().and_then(|storage| storage.set_item(KEY, token).ok());
}

/// Forgets the token of this tab.
pub fn forget() {
    storage().and_then(|storage| storage.remove_item(KEY).ok());
}

fn storage() -> Option<Storage> {
    window()?.session_storage().ok()?
}

#[cfg(test)]
mod tests {
    use super::in_fragment;

    #[test]
    fn a_fragment_may_hold_a_token() {
        assert_eq!(in_fragment("#token=abc"), Some("abc"));
        assert_eq!(in_fragment("#x=1&token=a%20b"), Some("a%20b"));
        for none in ["", "#", "#token=", "#mytoken=abc"] {
            assert_eq!(in_fragment(none), None, "{none}");
        }
    }
}
