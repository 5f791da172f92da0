//! Errors as callers see them: every wing's errors become an [`Error`], which alone makes an answer of them.
//!
//! Bad input is answered with everything that is wrong with it,
//! `{"error":{"formErrors":[…],"fieldErrors":{…}}}`; everything else with a stable code and a
//! sentence, `{"error":{"code":…,"message":…}}`. The cause of a 5xx is logged here, once, and never
//! shown.
//!
//! A wing has errors of its own, such as [`IntakeError`](crate::intake::error::IntakeError); each says as a
//! [`Problem`] what its caller is told.

use std::time::Duration;

use axum::{
    Json,
    extract::rejection::{BytesRejection, FailedToBufferBody, JsonRejection},
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};
use clickwire_protocol::{
    answer::{InvalidBody, ProblemBody, ProblemDetails, Refusal},
    click::Rejection,
};
use thiserror::Error as ThisError;
use uuid::Uuid;

use crate::http::{encoding::UNDERSTOOD, rate_limit::Left};

/// Seconds after which a request comes again: by then, a service is back or the first post is answered.
pub(crate) const RETRY_AFTER_SECONDS: &str = "1";

/// The common part of all errors of one kind: the status, a code for programs, a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) StatusCode, pub(crate) &'static str, pub(crate) &'static str);

/// An error of a wing.
pub(crate) trait Problem: std::error::Error + Send + Sync + 'static {
    /// Returns the status, code and sentence for its caller.
    fn kind(&self) -> Kind;

    /// Returns whether the caller shall come again soon, though the status does not say so.
    fn is_passing(&self) -> bool {
        false
    }

    /// The click that was not acknowledged, to be sent again under this id.
    fn click_id(&self) -> Option<Uuid> {
        None
    }

    /// More about this one error.
    fn reason(&self) -> Option<String> {
        None
    }
}

/// The reason why a request was not done.
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
    /// A share is in use.
    #[error("too many requests of one tenant at once")]
    TooManyAtOnce,
    #[error("wrong content type")]
    UnsupportedMediaType,
    /// A body is encoded as nobody here decodes it.
    #[error("unknown content encoding")]
    UnsupportedEncoding,
    /// The request conflicts with the present state.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// Too many bytes of answers lie here that the client, or all of them, have not read.
    #[error("too much is unread")]
    Unread,
    /// A handler has panicked; where is in the log.
    #[error("panicked")]
    Panicked,
    /// An error of a wing.
    #[error("{0}")]
    Wing(Box<dyn Problem>),
}

impl<P: Problem> From<P> for Error {
    fn from(problem: P) -> Self {
        Self::Wing(Box::new(problem))
    }
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

    /// Returns the refusal of one click in the answer to its batch.
    pub(crate) fn of_click(self) -> Refusal {
        let Kind(_, code, message) = self.kind();
        match self {
            Self::Invalid(rejection) => Refusal::Invalid(rejection),
            error => Refusal::Other {
                code: code.into(),
                message: message.into(),
                click_id: error.problem().and_then(Problem::click_id),
            },
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.kind().0
    }

    /// Returns the code for programs.
    pub(crate) fn code(&self) -> &'static str {
        self.kind().1
    }

    /// Returns the sentence for people.
    pub(crate) fn message(&self) -> &'static str {
        self.kind().2
    }

    /// Returns the header that RFC 9110 defines for the status, if any.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let again = || Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)));
        match (self, self.status()) {
            // A whole second at least: sooner it would only be refused again.
            (Self::TooMany { retry_after, .. }, _) => {
                Some((RETRY_AFTER, HeaderValue::from(retry_after.as_secs() + 1)))
            }
            (Self::TooManyAtOnce, _) | (_, StatusCode::SERVICE_UNAVAILABLE) => again(),
            (Self::Wing(problem), _) if problem.is_passing() => again(),
            (_, StatusCode::UNAUTHORIZED) => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            (_, StatusCode::UPGRADE_REQUIRED) => Some((UPGRADE, HeaderValue::from_static("websocket"))),
            _ => None,
        }
    }

    /// The error of a wing that this is, if it is one of that kind.
    pub(crate) fn of_wing<P: Problem>(&self) -> Option<&P> {
        let problem: &(dyn std::error::Error + 'static) = self.problem()?;
        problem.downcast_ref()
    }

    /// Counts it, and logs the cause of what is the server's fault: once, where it is answered.
    pub(crate) fn record(&self) {
        let code = self.code();
        metrics::counter!("clickwire_refused_total", "code" => code).increment(1);
        if self.status().is_server_error() && !matches!(self, Self::Panicked) {
            tracing::warn!(code, error = %self, "request failed");
        }
    }

    fn problem(&self) -> Option<&dyn Problem> {
        if let Self::Wing(problem) = self { Some(&**problem) } else { None }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Invalid(_) => INVALID,
            Self::Unauthorized => UNAUTHORIZED,
            Self::Forbidden => FORBIDDEN,
            Self::CrossSite => CROSS_SITE,
            Self::NotFound => NOT_FOUND,
            Self::MethodNotAllowed => METHOD_NOT_ALLOWED,
            Self::TooLarge => TOO_LARGE,
            Self::TooLong => TOO_LONG,
            Self::TooMany { .. } => TOO_MANY,
            Self::TooManyAtOnce => TOO_MANY_AT_ONCE,
            Self::UnsupportedMediaType => UNSUPPORTED_MEDIA_TYPE,
            Self::UnsupportedEncoding => UNSUPPORTED_ENCODING,
            Self::Conflict(message) => Kind(StatusCode::CONFLICT, "conflict", message),
            Self::Unread => UNREAD,
            Self::Panicked => PANICKED,
            Self::Wing(problem) => problem.kind(),
        }
    }
}

const INVALID: Kind = Kind(StatusCode::BAD_REQUEST, "invalid", "Invalid input.");
const UNAUTHORIZED: Kind = Kind(
    StatusCode::UNAUTHORIZED,
    "unauthorized",
    "Sign in, or send a known token as `Authorization: Bearer …`.",
);
const FORBIDDEN: Kind = Kind(StatusCode::FORBIDDEN, "forbidden", "This account or token does not open that.");
const CROSS_SITE: Kind =
    Kind(StatusCode::FORBIDDEN, "cross_site", "This was sent by a page of another site.");
const NOT_FOUND: Kind = Kind(StatusCode::NOT_FOUND, "not_found", "There is nothing here.");
const METHOD_NOT_ALLOWED: Kind =
    Kind(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes another method.");
const TOO_LARGE: Kind = Kind(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The body may have 16 KiB at most.");
const TOO_LONG: Kind =
    Kind(StatusCode::REQUEST_TIMEOUT, "too_long", "The request did not arrive, or get done, in time.");
const TOO_MANY: Kind = Kind(
    StatusCode::TOO_MANY_REQUESTS,
    "too_many_requests",
    "Send fewer requests. The headers RateLimit and Retry-After say when to come again.",
);
const TOO_MANY_AT_ONCE: Kind = Kind(
    StatusCode::TOO_MANY_REQUESTS,
    "too_many_at_once",
    "Too many questions of yours are being answered. Wait for answers before you ask more.",
);
const UNSUPPORTED_MEDIA_TYPE: Kind = Kind(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "unsupported_media_type",
    "Send the body with `Content-Type: application/json`.",
);
const UNSUPPORTED_ENCODING: Kind = Kind(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "unsupported_content_encoding",
    "Send the body as it is, or with `Content-Encoding: gzip`, `br` or `zstd`.",
);
const UNREAD: Kind = Kind(
    StatusCode::SERVICE_UNAVAILABLE,
    "unread",
    "Too much that was asked for has not been read yet. Read it, then try again.",
);
const PANICKED: Kind = Kind(
    StatusCode::INTERNAL_SERVER_ERROR,
    "internal",
    "This is a mistake of the server's. It has been recorded.",
);

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

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.record();
        let Kind(status, code, message) = self.kind();
        let header = self.header();
        let left = if let Self::TooMany { left, .. } = &self { Some(*left) } else { None };
        // RFC 9110, section 15.5.16: by this the sender knows that it is not the media type.
        let is_encoding = matches!(self, Self::UnsupportedEncoding);
        let body = match self {
            Self::Invalid(error) => Json(InvalidBody { error }).into_response(),
            error => {
                let (click_id, reason) =
                    error.problem().map_or((None, None), |problem| (problem.click_id(), problem.reason()));
                Json(ProblemBody {
                    error: ProblemDetails { code: code.into(), message: message.into(), click_id, reason },
                })
                .into_response()
            }
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
