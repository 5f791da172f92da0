//! The one way to the API: a request out, its answer or a [`Failure`] in.
//!
//! A question ends when nobody waits for it any more; a change that was sent is not taken back.

use std::{cell::Cell, rc::Rc};

use clickwire_protocol::{
    answer::{InvalidBody, ProblemBody, ProblemDetails},
    click::Rejection,
};
use gloo_net::http::RequestBuilder;
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen_futures::spawn_local;
use web_sys::{AbortController, RequestCache};
use yew::Callback;

use crate::{account::Credential, kept, words};

/// The code of a wrong password.
pub const WRONG_PASSWORD: &str = "sign_in_refused";

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks a question.
    Get,
    /// Makes a new thing, or does something to one.
    Post,
    /// Replaces a thing.
    Put,
    /// Deletes a thing.
    Delete,
}

/// A request to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method of the request.
    pub method: Method,
    /// Path and query.
    pub url: String,
    /// JSON.
    pub body: Option<String>,
    /// The request needs the server's own answer, not one that the browser keeps.
    pub is_fresh: bool,
}

impl Request {
    /// A question.
    pub fn get(url: &str) -> Self {
        Self { method: Method::Get, url: url.to_owned(), body: None, is_fresh: false }
    }

    /// Builds a question that needs the server's own answer, not one that the browser keeps.
    pub fn fresh(url: &str) -> Self {
        Self { is_fresh: true, ..Self::get(url) }
    }

    /// A change without a body.
    pub fn bare(method: Method, url: &str) -> Self {
        Self { method, url: url.to_owned(), body: None, is_fresh: false }
    }

    /// A change.
    pub fn with(method: Method, url: &str, body: &impl Serialize) -> Self {
        // What pages send are texts, numbers and lists of them, which are JSON in every case.
        Self { method, url: url.to_owned(), body: serde_json::to_string(body).ok(), is_fresh: false }
    }
}

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server can't be reached, or can't answer now.
    Away,
    /// The viewer is not signed in any more.
    SignedOut,
    /// The input is wrong.
    Invalid(Rejection),
    /// Any other refusal.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Code for programs.
        code: String,
        /// Message for people.
        message: String,
        /// Reason why a message can't be replayed.
        reason: Option<String>,
    },
    /// An answer of a version that this page does not know.
    Unreadable,
}

impl Failure {
    /// Reads the failure from an answer that is no success.
    pub fn read(status: u16, body: &str) -> Self {
        if let Ok(InvalidBody { error }) = serde_json::from_str(body) {
            return Self::Invalid(error);
        }
        match (status, serde_json::from_str(body)) {
            // A password that is asked for again and is wrong ends no session.
            (401, Ok(ProblemBody { error })) if error.code == WRONG_PASSWORD => Self::refused(status, error),
            (401, _) => Self::SignedOut,
            (_, Ok(ProblemBody { error })) => Self::refused(status, error),
            (500.., Err(_)) => Self::Away,
            (_, Err(_)) => Self::Unreadable,
        }
    }

    fn refused(status: u16, error: ProblemDetails) -> Self {
        let ProblemDetails { code, message, reason, .. } = error;
        Self::Refused { status, code: code.into(), message: message.into(), reason }
    }

    /// The HTTP status of what was refused.
    pub fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self { Some(*status) } else { None }
    }

    /// Returns the message for people.
    pub fn message(&self) -> String {
        match self {
            Self::Away => words::AWAY.to_string(),
            Self::SignedOut => words::SIGNED_OUT.to_string(),
            Self::Invalid(rejection) => {
                rejection.form_errors.first().cloned().unwrap_or_else(|| words::INVALID.to_string())
            }
            Self::Refused { message, .. } => message.clone(),
            Self::Unreadable => words::UNREADABLE.to_string(),
        }
    }

    /// Returns the error of a field.
    pub fn of_field(&self, name: &str) -> Option<String> {
        let Self::Invalid(rejection) = self else { return None };
        rejection.field_errors.get(name).map(|messages| messages.join(" "))
    }

    /// Returns the errors of fields that a form does not show.
    pub fn beside(&self, shown: &[&str]) -> Option<String> {
        let Self::Invalid(Rejection { form_errors, field_errors }) = self else {
            return Some(self.message());
        };
        let fields = field_errors.iter().filter(|(name, _)| !shown.contains(&name.as_str()));
        let fields = fields.map(|(name, messages)| format!("{name}: {}", messages.join(" ")));
        let all: Vec<String> = form_errors.iter().cloned().chain(fields).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// Returns whether asking again may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::SignedOut | Self::Invalid(_) | Self::Unreadable => false,
        }
    }
}

/// Reads an answer.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|_| Failure::Unreadable)
}

/// A question, or a stream, that is under way; dropping it ends it, and its answer goes to nobody.
pub struct Asking {
    is_wanted: Rc<Cell<bool>>,
    controller: Option<AbortController>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.is_wanted.set(false);
        if let Some(controller) = &self.controller {
            controller.abort();
        }
    }
}

impl Asking {
    /// Begins a request. Returns a handle that ends it when dropped, the request to send, and a flag that says whether
    /// its answer is still wanted.
    pub(crate) fn begin(builder: RequestBuilder) -> (Self, RequestBuilder, Rc<Cell<bool>>) {
        let (is_wanted, controller) = (Rc::new(Cell::new(true)), AbortController::new().ok());
        let signal = controller.as_ref().map(AbortController::signal);
        (Self { is_wanted: is_wanted.clone(), controller }, builder.abort_signal(signal.as_ref()), is_wanted)
    }
}

/// Asks, and passes the answer's text to `then`, unless the returned handle is dropped before.
pub fn ask(request: Request, credential: &Credential, then: Callback<Result<String, Failure>>) -> Asking {
    let (asking, builder, is_wanted) = Asking::begin(builder(&request, credential));
    spawn_local(async move {
        let answer = send(builder, request.body).await;
        if is_wanted.get() {
            then.emit(answer);
        }
    });
    asking
}

/// The answer to a request. A change is done once it is sent, also if nobody waits any more.
pub async fn answer(request: Request, credential: Credential) -> Result<String, Failure> {
    let builder = builder(&request, &credential);
    send(builder, request.body).await
}

/// Posts a request as a program does: with a key.
pub async fn post_with_key(request: Request, key: &str) -> Result<String, Failure> {
    let builder = bare(&request).header("X-Api-Key", key);
    send(builder, request.body).await
}

fn bare(request: &Request) -> RequestBuilder {
    let builder = RequestBuilder::new(&request.url);
    let builder = if request.is_fresh { builder.cache(RequestCache::NoStore) } else { builder };
    builder.method(match request.method {
        Method::Get => gloo_net::http::Method::GET,
        Method::Post => gloo_net::http::Method::POST,
        Method::Put => gloo_net::http::Method::PUT,
        Method::Delete => gloo_net::http::Method::DELETE,
    })
}

/// Builds a request with the viewer's token, if there is one: without its body.
pub(crate) fn builder(request: &Request, credential: &Credential) -> RequestBuilder {
    let builder = bare(request);
    match credential.token() {
        Some(token) => builder.header("Authorization", &format!("Bearer {token}")),
        None => builder,
    }
}

async fn send(builder: RequestBuilder, body: Option<String>) -> Result<String, Failure> {
    let request = match body {
        Some(body) => builder.header("Content-Type", "application/json").body(body),
        None => builder.build(),
    };
    let response = request.map_err(|_| Failure::Unreadable)?.send().await.map_err(|_| Failure::Away)?;
    let is_session = response.url().ends_with(crate::account::SESSION);
    kept::note(response.headers().get(kept::HEADER).as_deref(), is_session);
    let text = response.text().await.map_err(|_| Failure::Away)?;
    if response.ok() { Ok(text) } else { Err(Failure::read(response.status(), &text)) }
}

/// A URL with a query; values that are not there are left out.
pub fn url<'a>(path: &str, parameters: impl IntoIterator<Item = (&'a str, Option<String>)>) -> String {
    let mut url = path.to_owned();
    let mut separator = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            url.push(separator);
            url.push_str(name);
            url.push('=');
            url.push_str(&crate::query::encode(&value));
            separator = '&';
        }
    }
    url
}

/// Errors by the name of their field, for tests.
#[cfg(test)]
pub(crate) fn invalid(fields: &[(&str, &str)]) -> Failure {
    let field_errors =
        fields.iter().map(|&(name, message)| (name.to_owned(), vec![message.to_owned()])).collect();
    Failure::Invalid(Rejection { form_errors: Vec::new(), field_errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_no_success_says_what_people_are_told() {
        let invalid = r#"{"error":{"formErrors":[],"fieldErrors":{"name":["Must not be empty."]}}}"#;
        let problem = r#"{"error":{"code":"conflict","message":"Something belongs to it."}}"#;
        let wrong = r#"{"error":{"code":"sign_in_refused","message":"Wrong password."}}"#;
        for (status, body, message, is_passing) in [
            (400, invalid, words::INVALID.get(), false),
            (409, problem, "Something belongs to it.", false),
            (503, problem, "Something belongs to it.", true),
            (401, problem, words::SIGNED_OUT.get(), false),
            (401, wrong, "Wrong password.", false),
            (502, "<html>Bad gateway</html>", words::AWAY.get(), true),
            (404, "<html>Not found</html>", words::UNREADABLE.get(), false),
        ] {
            let failure = Failure::read(status, body);
            assert_eq!(failure.message(), message, "{status}");
            assert_eq!(failure.is_passing(), is_passing, "{status}");
        }
        let failure = Failure::read(400, invalid);
        assert_eq!(failure.of_field("name").as_deref(), Some("Must not be empty."));
        assert_eq!(failure.of_field("id"), None);
        assert_eq!(failure.beside(&["name"]), None, "the form shows it at the field");
        assert_eq!(failure.beside(&["id"]).as_deref(), Some("name: Must not be empty."));
    }

    #[test]
    fn a_url_has_what_there_is() {
        let parameters = [("a", Some("x y".to_owned())), ("b", None), ("c", Some("1".to_owned()))];
        assert_eq!(url("/api", parameters), "/api?a=x%20y&c=1");
        assert_eq!(url("/api", []), "/api");
    }
}
