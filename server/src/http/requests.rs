//! The frame of every request: an id, a host that it is for, a time limit, metrics, and an answer even if its handler
//! panics. The answer's headers forbid storing it, and let browsers use it for its purpose only.

use std::{panic::AssertUnwindSafe, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Version, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::http::{
    error::Error,
    host,
    serve::unsent::{Fixed, UnderWay},
};

/// Names a request in our logs and in those of whoever sent it.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from the client, in bytes.
const ID_MAX_BYTES: usize = 64;

/// Settings that are the same for all requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Time from the request's head to the answer's, its body included.
    pub(crate) within: Duration,
    /// Browsers come over TLS, and are to come over nothing else (RFC 6797).
    pub(crate) is_secure: bool,
}

/// Answers within a limit, which a body that never ends reaches; logs inside it name the request.
pub(crate) async fn observe(State(seen): State<Seen>, mut request: Request, next: Next) -> Response {
    let (started, version) = (Instant::now(), request.version());
    let id = request.headers().get(REQUEST_ID).and_then(known).unwrap_or_else(|| Uuid::now_v7().to_string());
    // Not the path as it was asked for: strangers write it, and there is no end of them.
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let span = tracing::error_span!("request", request_id = id, method = %request.method(), route);
    let under_way = request.extensions_mut().remove::<UnderWay>();
    let answered = async {
        if let Err(error) = host::settle(&mut request) {
            let mut response = error.into_response();
            // Where a proxy and we disagree, what comes after may be another's.
            if version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
        // The program's panic hook has counted and logged it.
        let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match timeout(seen.within, answered).await {
            Ok(answered) => answered.unwrap_or_else(|_| Error::Panicked.into_response()),
            Err(_) => Error::TooLong.into_response(),
        };
        match under_way {
            Some(under_way) => under_way.answer(response).unwrap_or_else(|| Error::Unread.into_response()),
            None => response,
        }
    };
    let mut response = answered.instrument(span).await;
    let is_kept = response.extensions().get::<Fixed>().is_some();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    // What is answered is somebody's, or of this moment. Files of the page say otherwise.
    if !is_kept {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // Nothing is to be taken for a page or a script that does not say that it is one, or told to others.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Redirects say otherwise: an advertiser may know where its visitors come from.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    if seen.is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    let status = response.status().as_u16().to_string();
    metrics::histogram!("clickwire_http_request_seconds", "route" => route.clone()).record(started.elapsed());
    metrics::counter!("clickwire_http_requests_total", "route" => route, "status" => status).increment(1);
    response
}

/// An id as log lines and headers can hold it.
fn known(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let is_id = !text.is_empty()
        && text.len() <= ID_MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_id.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_over_if_it_is_one() {
        for (value, expected) in [
            ("7f3c-1", Some("7f3c-1")),
            ("", None),
            ("two words", None),
            ("\"quoted\"", None),
            (&"a".repeat(ID_MAX_BYTES + 1), None),
        ] {
            assert_eq!(known(&HeaderValue::from_str(value).unwrap()).as_deref(), expected, "{value}");
        }
    }
}
