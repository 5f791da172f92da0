//! Posts by pages of other sites (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! A landing page may post its clicks with a key that does not speak for users. Any page may: a post is let in
//! by the key in its header and by nothing that a browser adds by itself, so a page can do no more here than a
//! program can. No other address is opened to pages, and none with credentials.

use axum::{
    extract::Request,
    http::{
        HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
        },
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};

/// Paths that pages may post to.
const OPEN: [&str; 2] = ["/api/v1/clicks", "/api/v1/clicks/batch"];

/// Answers what browsers ask before they post, and lets pages read the answers to posts.
pub(crate) async fn posts(request: Request, next: Next) -> Response {
    let is_pages = request.headers().contains_key(ORIGIN) && OPEN.contains(&request.uri().path());
    if !is_pages {
        return next.run(request).await;
    }
    let asks_before =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_before {
        let told = [
            (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (
                ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-encoding, content-type, idempotency-key, x-api-key, x-request-id",
            ),
            // Two hours, as long as browsers believe it.
            (ACCESS_CONTROL_MAX_AGE, "7200"),
        ];
        (StatusCode::NO_CONTENT, told).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "idempotency-replayed, ratelimit, ratelimit-policy, retry-after, x-request-id",
        ),
    );
    response
}
