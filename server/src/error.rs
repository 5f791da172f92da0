//! What a caller is told when something goes wrong: one enum, one mapping to HTTP.
//!
//! Bad input is answered with everything that is wrong with it,
//! `{"error":{"formErrors":[…],"fieldErrors":{…}}}`; everything else with a stable code and a
//! sentence, `{"error":{"code":…,"message":…}}`. The cause of a 5xx is logged here, once, and never
//! shown.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use clickwire_protocol::click::Rejection;
use serde_json::json;
use thiserror::Error as ThisError;

/// Why a request was not done.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("invalid input")]
    Invalid(Rejection),
    #[error("missing or unknown token")]
    Unauthorized,
    #[error("not allowed")]
    Forbidden,
    #[error("not found")]
    NotFound,
    #[error("method not allowed")]
    MethodNotAllowed,
    #[error("the body is too large")]
    TooLarge,
    #[error("wrong content type")]
    UnsupportedMediaType,
    /// The broker does not take clicks now.
    #[error("broker: {0}")]
    Broker(String),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// Not a WebSocket handshake.
    #[error("upgrade: {0}")]
    Upgrade(String),
    /// No more live sessions fit.
    #[error("too many live sessions")]
    Full,
}

impl Error {
    /// Bad input in one field.
    pub(crate) fn field(name: &str, message: &str) -> Self {
        let field_errors = [(name.to_owned(), vec![message.to_owned()])].into();
        Self::Invalid(Rejection { form_errors: Vec::new(), field_errors })
    }

    fn public(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "Invalid input."),
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "Send a known token as `Authorization: Bearer …`.")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This token does not open that."),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing here."),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes another method.")
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body may have 16 KiB at most.")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send the body with `Content-Type: application/json`.",
            ),
            Self::Broker(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "broker_unavailable",
                "The click was not taken. Send it again, with the same click_id.",
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "The database can't answer now. Try again.",
            ),
            Self::Upgrade(_) => {
                (StatusCode::UPGRADE_REQUIRED, "upgrade_required", "Connect with a WebSocket client.")
            }
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "full", "Too many live sessions. Try again."),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, message) = self.public();
        if status.is_server_error() {
            tracing::warn!(code, error = %self, "request failed");
        }
        let body = match self {
            Self::Invalid(rejection) => json!({ "error": rejection }),
            _ => json!({"error": {"code": code, "message": message}}),
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
