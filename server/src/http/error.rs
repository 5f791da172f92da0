//! What a caller is told when something goes wrong: one enum, one mapping to HTTP.
//!
//! Bad input is answered with everything that is wrong with it,
//! `{"error":{"formErrors":[…],"fieldErrors":{…}}}`; everything else with a stable code and a
//! sentence, `{"error":{"code":…,"message":…}}`. The cause of a 5xx is logged here, once, and never
//! shown.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection},
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use clickwire_protocol::{answer::Refusal, click::Rejection, object::NUL};
use serde::Serialize;
use thiserror::Error as ThisError;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::{encoding::UNDERSTOOD, rate_limit::Left};

/// What comes again finds a service back, or the first post answered, after so long.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";

/// Why a request was not done.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error("invalid input")]
    Invalid(Rejection),
    #[error("missing or unknown token")]
    Unauthorized,
    #[error("not allowed")]
    Forbidden,
    /// Another site's page has made a browser send it.
    #[error("from another site's page")]
    CrossSite,
    /// There is no such login, or the password is another.
    #[error("login or password is wrong")]
    SignInRefused,
    /// Too many passwords are being compared.
    #[error("too many sign-ins at once")]
    SignInBusy,
    #[error("not found")]
    NotFound,
    #[error("method not allowed")]
    MethodNotAllowed,
    #[error("the body is too large")]
    TooLarge,
    /// The client takes too long to send its request.
    #[error("the request took too long")]
    TooLong,
    /// An allowance is spent.
    #[error("too many requests: {left:?}")]
    TooMany { left: Left, retry_after: Duration },
    /// A tenant's share of what questions are answered with is in use.
    #[error("too many questions of one tenant at once")]
    TooManyAtOnce,
    /// Whether a key is valid can't be told yet.
    #[error("keys were not read yet")]
    KeysUnread,
    /// A batch, or something in it, is beyond a limit.
    #[error("the batch is too large: {0}")]
    BatchTooLarge(&'static str),
    #[error("wrong content type")]
    UnsupportedMediaType,
    #[error("wrong content type of a batch")]
    BatchMediaType,
    /// A body is encoded as nobody here decodes it.
    #[error("unknown content encoding")]
    UnsupportedEncoding,
    /// As many batches are in hand as may be.
    #[error("too many batches")]
    TooManyBatches,
    /// An `Idempotency-Key` came again with another body.
    #[error("the idempotency key is another post's")]
    KeyReused,
    /// The first post with this `Idempotency-Key` is not answered yet.
    #[error("the first post with the idempotency key is in flight")]
    KeyInFlight,
    /// The broker did not acknowledge the click with this id; it may have it all the same.
    #[error("broker: {cause}")]
    Broker { click_id: Uuid, cause: String },
    /// The broker did not do something else than take a click.
    #[error("broker: {0}")]
    BrokerAway(String),
    /// A dead letter's message would only come back.
    #[error("replay: {0}")]
    NotReplayable(String),
    /// A question about counts is more than the database answers in time.
    #[error("the query took too long")]
    TooSlow,
    /// Another transaction is changing, for longer than a write waits, what is to be changed.
    #[error("database: {0}")]
    Locked(sqlx::Error),
    #[error("database: {0}")]
    Database(sqlx::Error),
    /// What is asked for does not fit what is there.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// Neither Redis nor the database says where an ad leads.
    #[error("ads: {0}")]
    AdsAway(String),
    /// It is done, but screens or other servers may not know.
    #[error("redis: {0}")]
    RedisAway(String),
    /// Not a WebSocket handshake.
    #[error("upgrade: {0}")]
    Upgrade(String),
    /// No more live sessions fit.
    #[error("too many live sessions")]
    Full,
    /// Too many bytes of answers lie here that the client, or all of them, have not read.
    #[error("too much is unread")]
    Unread,
    /// A handler has panicked; where is in the log.
    #[error("panicked")]
    Panicked,
}

/// What bad input is answered with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Invalid {
    error: Rejection,
}

/// What anything else that goes wrong is answered with.
#[derive(Serialize, ToSchema)]
pub(crate) struct Problem {
    error: Told,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
struct Told {
    /// For programs.
    code: &'static str,
    /// For people.
    message: &'static str,
    /// To send a click again under that was not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    click_id: Option<Uuid>,
    /// Why a message can't be replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Error {
    /// Bad input in one field.
    pub(crate) fn field(name: &str, message: &str) -> Self {
        let field_errors = [(name.to_owned(), vec![message.to_owned()])].into();
        Self::Invalid(Rejection { form_errors: Vec::new(), field_errors })
    }

    /// Bad input in those fields that something is said of; none if nothing is.
    pub(crate) fn fields<'a>(said: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Result<(), Self> {
        let wrong = said.into_iter().filter_map(|(name, message)| Some((name.to_owned(), vec![message?])));
        let rejection = Rejection { form_errors: Vec::new(), field_errors: wrong.collect() };
        if rejection.field_errors.is_empty() { Ok(()) } else { Err(Self::Invalid(rejection)) }
    }

    /// SQLSTATE of a query that the server's time limit ended.
    const QUERY_CANCELED: &str = "57014";

    /// SQLSTATE of a statement that waited longer than `lock_timeout` for a lock.
    const LOCK_NOT_AVAILABLE: &str = "55P03";

    /// SQLSTATEs of a text with NUL in it, in a text column and in JSON: doors refuse it before, under the
    /// field's name.
    const NUL: [&str; 2] = ["22021", "22P05"];

    /// Why a question about counts was not answered: one that takes too long can be asked for less.
    pub(crate) fn of_question(error: sqlx::Error) -> Self {
        if state(&error).as_deref() == Some(Self::QUERY_CANCELED) { Self::TooSlow } else { error.into() }
    }

    /// What is said of one click in the answer to its batch.
    pub(crate) fn of_click(self) -> Refusal {
        let (_, code, message) = self.public();
        let click_id = match self {
            Self::Invalid(rejection) => return Refusal::Invalid(rejection),
            Self::Broker { click_id, .. } => Some(click_id),
            _ => None,
        };
        Refusal::Other { code: code.into(), message: message.into(), click_id }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.public().0
    }

    /// For programs.
    pub(crate) fn code(&self) -> &'static str {
        self.public().1
    }

    /// For people.
    pub(crate) fn message(&self) -> &'static str {
        self.public().2
    }

    /// What RFC 9110 wants beside the status.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let again = HeaderValue::from_static(RETRY_AFTER_SECONDS);
        match (self, self.status()) {
            // A whole second at least: sooner it would only be refused again.
            (Self::TooMany { retry_after, .. }, _) => {
                Some((RETRY_AFTER, HeaderValue::from(retry_after.as_secs() + 1)))
            }
            (Self::KeyInFlight | Self::TooManyAtOnce, _) | (_, StatusCode::SERVICE_UNAVAILABLE) => {
                Some((RETRY_AFTER, again))
            }
            (_, StatusCode::UNAUTHORIZED) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            (_, StatusCode::UPGRADE_REQUIRED) => Some((UPGRADE, HeaderValue::from_static("websocket"))),
            _ => None,
        }
    }

    fn public(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid", "Invalid input."),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Sign in, or send a known token as `Authorization: Bearer …`.",
            ),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "forbidden", "This account or token does not open that.")
            }
            Self::CrossSite => {
                (StatusCode::FORBIDDEN, "cross_site", "This was sent by a page of another site.")
            }
            Self::SignInRefused => {
                (StatusCode::UNAUTHORIZED, "sign_in_refused", "The login or the password is wrong.")
            }
            Self::SignInBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many people sign in just now. Try again.")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing here."),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes another method.")
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body may have 16 KiB at most.")
            }
            Self::TooLong => {
                (StatusCode::REQUEST_TIMEOUT, "too_long", "The request did not arrive, or get done, in time.")
            }
            Self::TooMany { .. } => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Send fewer requests. The headers RateLimit and Retry-After say when to come again.",
            ),
            Self::TooManyAtOnce => (
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_at_once",
                "Too many questions of yours are being answered. Wait for answers before you ask more.",
            ),
            Self::KeysUnread => (
                StatusCode::SERVICE_UNAVAILABLE,
                "keys_unavailable",
                "Keys and accounts can't be looked up now. Try again.",
            ),
            Self::BatchTooLarge(message) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", message),
            Self::BatchMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send a JSON array with `Content-Type: application/json`, or a click a line with `Content-Type: application/x-ndjson`.",
            ),
            Self::TooManyBatches => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_many_batches", "Too many batches at once. Try again.")
            }
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key came with another body before. Use a new one.",
            ),
            Self::KeyInFlight => (
                StatusCode::CONFLICT,
                "idempotency_key_in_flight",
                "The first post with this Idempotency-Key is not answered yet. Try again.",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "Send the body with `Content-Type: application/json`.",
            ),
            Self::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_encoding",
                "Send the body as it is, or with `Content-Encoding: gzip`, `br` or `zstd`.",
            ),
            Self::Broker { .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "broker_unavailable",
                "It is not certain that the click was taken. Send it again, with this click_id.",
            ),
            Self::BrokerAway(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "broker_unavailable",
                "The broker can't do this now. Try again.",
            ),
            Self::NotReplayable(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "not_replayable",
                "This message can't be counted. Send an edited one as `payload`.",
            ),
            Self::TooSlow => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "too_slow",
                "This takes too long: ask for a shorter time, a coarser granularity or fewer groups.",
            ),
            Self::Locked(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "locked",
                "Something else is being done with it. Nothing was changed. Try again.",
            ),
            Self::Database(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "The database can't answer now. Try again.",
            ),
            Self::Conflict(message) => (StatusCode::CONFLICT, "conflict", message),
            Self::RedisAway(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "redis_unavailable",
                "It is done, but dashboards and other servers may not know yet. Send it again to tell them.",
            ),
            Self::AdsAway(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ads_unavailable",
                "This link can't be looked up now. Try again.",
            ),
            Self::Upgrade(_) => {
                (StatusCode::UPGRADE_REQUIRED, "upgrade_required", "Connect with a WebSocket client.")
            }
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "full", "Too many live sessions. Try again."),
            Self::Unread => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unread",
                "Too much that was asked for has not been read yet. Read it, then try again.",
            ),
            Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "This is a mistake of the server's. It has been recorded.",
            ),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match state(&error).as_deref() {
            Some(Self::LOCK_NOT_AVAILABLE) => Self::Locked(error),
            Some(code) if Self::NUL.contains(&code) => Self::Invalid(Rejection::form(NUL)),
            Some(_) | None => Self::Database(error),
        }
    }
}

/// The SQLSTATE of what the database says is wrong.
fn state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::UnsupportedMediaType,
            JsonRejection::BytesRejection(rejection) => rejection.into(),
            rejection => Self::Invalid(Rejection::form(rejection.body_text())),
        }
    }
}

impl From<BytesRejection> for Error {
    fn from(rejection: BytesRejection) -> Self {
        match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Self::TooLarge,
            // Chunks that are none, say, or a body that breaks off.
            _ => Self::Invalid(Rejection::form("The body can't be read to its end.")),
        }
    }
}

impl From<clickwire_dead_letters::Error> for Error {
    fn from(error: clickwire_dead_letters::Error) -> Self {
        use clickwire_dead_letters::Error as Cause;
        match error {
            Cause::NotFound => Self::NotFound,
            Cause::Refused(refusal) => Self::NotReplayable(refusal.to_string()),
            Cause::Busy | Cause::Done => {
                Self::Conflict("Somebody has dealt with this dead letter, or is about to.")
            }
            Cause::ReasonMissing(_) => {
                Self::field("reason", "Required where the message does not say whose click it is.")
            }
            Cause::Database(error) => error.into(),
            Cause::Publish(_) | Cause::Stream(_) | Cause::Read(_) | Cause::Delete(_) => {
                Self::BrokerAway(error.to_string())
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, message) = self.public();
        metrics::counter!("clickwire_refused_total", "code" => code).increment(1);
        if status.is_server_error() && !matches!(self, Self::Panicked) {
            tracing::warn!(code, error = %self, "request failed");
        }
        let header = self.header();
        let left = if let Self::TooMany { left, .. } = &self { Some(*left) } else { None };
        // RFC 9110, section 15.5.16: by this the sender knows that it is not the media type.
        let is_encoding = matches!(self, Self::UnsupportedEncoding);
        let told = |click_id, reason| {
            Json(Problem { error: Told { code, message, click_id, reason } }).into_response()
        };
        let body = match self {
            Self::Invalid(error) => Json(Invalid { error }).into_response(),
            Self::Broker { click_id, .. } => told(Some(click_id), None),
            Self::NotReplayable(reason) => told(None, Some(reason)),
            _ => told(None, None),
        };
        let mut response = (status, body).into_response();
        if is_encoding {
            response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(UNDERSTOOD));
        }
        if let Some(left) = left {
            left.write(response.headers_mut());
        }
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
