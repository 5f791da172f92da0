//! The dashboard's files, embedded in the program.
//!
//! They lie there compressed, under names that say their content, so a browser keeps them for ever
//! and asks only for the index again.

use std::borrow::Cow;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use clickwire_protocol::pages::{ADDRESSES, Bundle};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::http::serve::unsent::Fixed;

/// Policy of the resources that the page may load and use. No inline script; styles only as attributes, which carry
/// widths and positions.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
    style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:; font-src 'self'; \
    connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
    frame-ancestors 'none'";

const INDEX: &str = "index.html";
const STAFF_INDEX: &str = "staff.html";

/// Files whose names do not say their content.
const UNHASHED: [&str; 4] = [INDEX, STAFF_INDEX, "sw.js", "clickwire.webmanifest"];

#[derive(RustEmbed)]
#[folder = "../dashboard/dist"]
struct Dist;

/// The page at its addresses and its files beside it; no other address is taken.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let index = ADDRESSES.iter().fold(Router::new(), |router, (address, bundle)| {
        let name = match bundle {
            Bundle::Clicks => INDEX,
            Bundle::Staff => STAFF_INDEX,
        };
        router.route(address, get(move |headers: HeaderMap| async move { answer(name, &headers, Dist::get) }))
    });
    // Compressed forms have no address of their own.
    let files = Dist::iter().filter(|name| !is_index(name) && content_type(name).is_some());
    files.fold(index, |router, name| {
        let address = format!("/{name}");
        router.route(&address, get(|headers: HeaderMap| async move { answer(&name, &headers, Dist::get) }))
    })
}

/// Returns whether a file is a page's document, which has addresses of its own.
fn is_index(name: &str) -> bool {
    [INDEX, STAFF_INDEX].contains(&name)
}

fn answer(name: &str, request: &HeaderMap, embedded: impl Fn(&str) -> Option<EmbeddedFile>) -> Response {
    let Some(plain) = embedded(name) else {
        return if is_index(name) { not_built() } else { StatusCode::NOT_FOUND.into_response() };
    };
    let (encoding, file) = [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .filter(|(encoding, _)| accepts(request, encoding))
        .find_map(|(encoding, suffix)| Some((Some(encoding), embedded(&format!("{name}{suffix}"))?)))
        .unwrap_or((None, plain));
    let etag = etag(&file);
    let mut response = if is_known(request, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let body = match file.data {
            Cow::Borrowed(bytes) => Body::from(bytes),
            Cow::Owned(bytes) => Body::from(bytes),
        };
        let mut response = Response::new(body);
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let caching = if UNHASHED.contains(&name) { "no-cache" } else { "public, max-age=31536000, immutable" };
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_TYPE, content_type(name).unwrap_or("application/octet-stream")),
        (header::CACHE_CONTROL, caching),
        (header::VARY, "Accept-Encoding"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.extensions_mut().insert(Fixed);
    response
}

fn not_built() -> Response {
    let message = "The dashboard is not built: run `cargo xtask dashboard`\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], message)
        .into_response()
}

/// Types of the files that have an address.
fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "wasm" => Some("application/wasm"),
        "png" => Some("image/png"),
        "webmanifest" => Some("application/manifest+json"),
        "json" => Some("application/json"),
        _ => None,
    }
}

/// Strong: the hash of the very bytes that are sent, so each encoding has its own.
fn etag(file: &EmbeddedFile) -> String {
    let hash: String = file.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hash}\"")
}

/// RFC 9110, section 13.1.2: the comparison is weak.
pub(crate) fn is_known(request: &HeaderMap, etag: &str) -> bool {
    request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == etag)
    })
}

/// RFC 9110, section 12.5.3: named, or covered by `*`, and not with a weight of zero.
fn accepts(request: &HeaderMap, encoding: &str) -> bool {
    let weight = |wanted: &str| {
        let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut codings = values.flat_map(|value| value.split(','));
        codings.find_map(|coding| {
            let (name, parameter) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let weight = || parameter.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            name.trim().eq_ignore_ascii_case(wanted).then(|| weight().unwrap_or(0.0))
        })
    };
    weight(encoding).or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 8] = [
        "index.html",
        "index.html.br",
        "index.html.gz",
        "staff.html",
        "app-0123.js",
        "app-0123.js.gz",
        "sw.js",
        "clickwire.webmanifest",
    ];

    /// A built dashboard: each file holds its own name.
    fn built(name: &str) -> Option<EmbeddedFile> {
        let name = NAMES.into_iter().find(|known| *known == name)?;
        let mut hash = [0; 32];
        hash[..name.len()].copy_from_slice(name.as_bytes());
        let metadata = rust_embed::Metadata::__rust_embed_new(hash, None, None);
        Some(EmbeddedFile { data: Cow::Borrowed(name.as_bytes()), metadata })
    }

    fn request(headers: &[(HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn get(name: &str, headers: &[(HeaderName, &str)]) -> Response {
        answer(name, &request(headers), built)
    }

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_best_encoding_that_is_accepted_and_there_is_sent() {
        for (name, accepted, encoding, sent) in [
            ("index.html", "gzip, deflate, br, zstd", Some("br"), "index.html.br"),
            ("index.html", "gzip", Some("gzip"), "index.html.gz"),
            ("index.html", "br;q=0, gzip;q=0.5", Some("gzip"), "index.html.gz"),
            ("index.html", "*", Some("br"), "index.html.br"),
            ("index.html", "identity", None, "index.html"),
            ("index.html", "", None, "index.html"),
            ("app-0123.js", "br, gzip", Some("gzip"), "app-0123.js.gz"),
        ] {
            let response = get(name, &[(header::ACCEPT_ENCODING, accepted)]);
            let header = response
                .headers()
                .get(header::CONTENT_ENCODING)
                .map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header.as_deref(), encoding, "{name}, {accepted}");
            assert_eq!(response.headers()[header::VARY], "Accept-Encoding");
            assert_eq!(body(response).await, sent, "{name}, {accepted}");
        }
    }

    #[tokio::test]
    async fn what_the_browser_has_is_not_sent_again() {
        let gzip = (header::ACCEPT_ENCODING, "gzip");
        let etag = get("index.html", std::slice::from_ref(&gzip)).headers()[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(etag.starts_with('"'), "strong");
        let weak = format!("W/{etag}, \"other\"");
        for known in [etag.as_str(), weak.as_str(), "*"] {
            let response = get("index.html", &[gzip.clone(), (header::IF_NONE_MATCH, known)]);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(response.headers()[header::ETAG], etag.as_str());
            assert_eq!(body(response).await, "");
        }
        let response = get("index.html", &[(header::IF_NONE_MATCH, etag.as_str())]);
        assert_eq!(response.status(), StatusCode::OK, "another encoding is another entity");
    }

    #[test]
    fn hashed_names_are_kept_for_ever_and_the_index_is_not() {
        let index = get("index.html", &[]);
        assert_eq!(index.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(index.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = index.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval'; style-src"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
        for name in ["staff.html", "sw.js", "clickwire.webmanifest"] {
            assert_eq!(get(name, &[]).headers()[header::CACHE_CONTROL], "no-cache", "{name}");
        }
        let script = get("app-0123.js", &[]);
        assert_eq!(script.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(content_type("words-de-0123.json"), Some("application/json"), "a language's words");
    }

    #[tokio::test]
    async fn a_dashboard_that_is_not_built_says_how_to_build_it() {
        let response = answer(INDEX, &HeaderMap::new(), |_| None);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(body(response).await.contains("cargo xtask dashboard"));
        assert_eq!(get("nonsense.js", &[]).status(), StatusCode::NOT_FOUND);
    }
}
