//! Errors: the reasons why something was not done.

use std::time::Duration;

use clickwire_protocol::{
    answer::{InvalidBody, ProblemBody},
    click::Rejection,
};
use hyper::{StatusCode, header::RETRY_AFTER, http::response::Parts};
use rand::RngExt as _;
use uuid::Uuid;

/// The reason why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's address or the token is malformed.
    #[error("{0}")]
    Url(String),
    /// Certificates can't be used.
    #[error("certificates: {0}")]
    Tls(String),
    /// The data to be sent can't be written as JSON or a URL.
    #[error("can't be sent: {0}")]
    Unsendable(String),
    /// The server is away: nothing was sent.
    #[error("the server is away: {0}")]
    Away(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke: what was asked may have been done or not.
    #[error("the connection broke: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer came in time: what was asked may have been done or not.
    #[error("no answer in time")]
    TooLate,
    /// The input is wrong (400): everything that is wrong with it, by field.
    #[error("invalid input: {}", said(.0))]
    Invalid(Rejection),
    /// The server has refused, and says why.
    #[error("{status}: {message} ({code})")]
    Refused {
        /// The status, such as 401, 403, 429 or 503.
        status: StatusCode,
        /// The code, for programs; docs/integrate/errors.md has all of them.
        code: String,
        /// The message, for people.
        message: String,
        /// The wait after which it is worth trying again.
        retry_after: Option<Duration>,
        /// The id to post a click again under that was not acknowledged.
        click_id: Option<Uuid>,
    },
    /// The answer is not what the API has, or longer than is read.
    #[error("{status}: an answer that can't be read: {what}")]
    Unreadable {
        /// The answer's status.
        status: StatusCode,
        /// The fault of the answer.
        what: String,
    },
    /// The live session was refused or closed for good.
    #[error("closed for good: {code} {reason}")]
    Closed {
        /// The close code of the WebSocket: `clickwire_protocol::live::close`.
        code: u16,
        /// The message, for people.
        reason: String,
    },
    /// The view was refused.
    #[error("the view is refused: {message} ({code})")]
    View {
        /// The code, for programs.
        code: String,
        /// The field that is wrong, if it is one.
        field: Option<String>,
        /// The message, for people.
        message: String,
    },
}

impl Error {
    /// The status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Invalid(_) => Some(StatusCode::BAD_REQUEST),
            Self::Refused { status, .. } | Self::Unreadable { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Returns whether the same may work later: the server was away, the answer was lost, or it asks to come again.
    ///
    /// A click without an id of its own must not be posted again after [`Error::Broken`] or [`Error::TooLate`].
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away(_) | Self::Broken(_) | Self::TooLate => true,
            Self::Refused { status, retry_after, .. } => {
                retry_after.is_some() || *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Unreadable { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// The wait that the server asks for.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }

    /// The wait that the server asks for, and up to half as long again: it asks everybody for the same.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let asked = self.retry_after()?;
        Some(asked.saturating_add((asked / 2).mul_f64(rand::rng().random_range(0.0..1.0))))
    }

    /// The error that an answer's head and body tell of.
    pub(crate) fn told(head: &Parts, body: &[u8]) -> Self {
        let status = head.status;
        if let Ok(InvalidBody { error }) = serde_json::from_slice(body) {
            return Self::Invalid(error);
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match serde_json::from_slice::<ProblemBody>(body) {
            Ok(ProblemBody { error }) => Self::Refused {
                status,
                code: error.code.into_owned(),
                message: match error.reason {
                    Some(reason) => format!("{} {reason}", error.message),
                    None => error.message.into_owned(),
                },
                retry_after: retry_after.map(Duration::from_secs),
                click_id: error.click_id,
            },
            Err(error) => Self::Unreadable { status, what: error.to_string() },
        }
    }
}

fn said(rejection: &Rejection) -> String {
    let fields = rejection.field_errors.iter();
    let fields = fields.map(|(name, messages)| format!("{name}: {}", messages.join(" ")));
    rejection.form_errors.iter().cloned().chain(fields).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use hyper::Response;

    use super::*;

    fn told(status: u16, retry_after: Option<&str>, body: &str) -> Error {
        let mut response = Response::builder().status(status);
        if let Some(seconds) = retry_after {
            response = response.header(RETRY_AFTER, seconds);
        }
        Error::told(&response.body(()).unwrap().into_parts().0, body.as_bytes())
    }

    #[test]
    fn who_is_told_to_wait_as_long_as_others_does_not_come_back_with_them() {
        let body = r#"{"error":{"code":"too_many_at_once","message":"Come again."}}"#;
        let waits: Vec<_> = (0..32).map(|_| told(503, Some("4"), body).wait().unwrap()).collect();
        let asked = Duration::from_secs(4);
        assert!(waits.iter().all(|wait| (asked..=asked * 3 / 2).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
        assert_eq!(told(503, None, body).wait(), None);
        assert_eq!(
            told(503, Some(&u64::MAX.to_string()), body).wait().map(|wait| wait.as_secs()),
            Some(u64::MAX)
        );
    }

    #[test]
    fn an_answer_becomes_the_error_that_it_tells_of() {
        let invalid = told(400, None, r#"{"error":{"formErrors":[],"fieldErrors":{"ad_id":["Required."]}}}"#);
        assert_eq!(invalid.to_string(), "invalid input: ad_id: Required.");
        assert!(!invalid.is_passing() && invalid.status() == Some(StatusCode::BAD_REQUEST));

        let body = r#"{"error":{"code":"too_many_requests","message":"Send fewer."}}"#;
        let limited = told(429, Some("7"), body);
        assert_eq!(limited.retry_after(), Some(Duration::from_secs(7)));
        assert!(limited.is_passing());

        let unknown = told(401, None, r#"{"error":{"code":"unauthorized","message":"Sign in."}}"#);
        assert_eq!(unknown.to_string(), "401 Unauthorized: Sign in. (unauthorized)");
        assert!(!unknown.is_passing());

        // A proxy on the way has answered.
        assert!(told(502, None, "<html>").is_passing());
        assert!(!told(404, None, "<html>").is_passing());
    }
}
