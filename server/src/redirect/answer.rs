//! The answer to a browser: a redirect, or a page that says why there is none. Neither may be cached: every click
//! comes here.

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha2::{Digest as _, Sha256};

use crate::http::error::Error;

const STYLE: &str = "\
:root { color-scheme: light dark }\n\
body { margin: 0; min-height: 100vh; display: grid; place-items: center; \
background: light-dark(#f4f6f9, #0b0f15); color: light-dark(#121a24, #e9eef4); \
font: 16px/1.5 ui-sans-serif, system-ui, sans-serif }\n\
main { max-width: 26rem; margin: 1rem; padding: 1.75rem 2rem; border-radius: 12px; \
background: light-dark(#ffffff, #121922); border: 1px solid light-dark(#e0e5ec, #222d39) }\n\
h1 { margin: 0 0 .5rem; font-size: 1.25rem }\n\
p { margin: 0; color: light-dark(#556274, #9aa8b8) }\n\
a { color: light-dark(#1f5fd6, #6ea0ff) }\n";

/// Sends a browser on. The advertiser may know from which site, but not from which page of it.
pub(super) fn redirect(url: &str) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    let headers = response.headers_mut();
    // A URL as the parser writes it is ASCII without control characters.
    if let Ok(location) = HeaderValue::from_str(url) {
        headers.insert(LOCATION, location);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    response
}

/// Says why there is no redirect, with the error's own status.
pub(super) fn page(error: Error) -> Response {
    let (title, text) = match error {
        Error::NotFound => ("This link leads nowhere", "The ad that it belonged to is not here any more."),
        _ => ("One moment, please", "This link can't be followed right now. <a href=\"\">Try again</a>"),
    };
    page_of(error, title, text)
}

/// Says to a person that nothing has this address.
pub(super) fn nothing_here() -> Response {
    page_of(Error::NotFound, "There is nothing here", "Perhaps the address has a letter too many.")
}

fn page_of(error: Error, title: &str, text: &str) -> Response {
    let mut response = error.into_response();
    *response.body_mut() = Body::from(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{title}</h1>\n<p>{text}</p>\n</main>\n</html>\n",
    ));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        BASE64_STANDARD.encode(Sha256::digest(STYLE)),
    );
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
