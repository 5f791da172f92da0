//! The browser's session over HTTP: it is in a cookie that only the browser reads.

use gloo_net::http::{Request, Response};
use serde::{Deserialize, Serialize};

use crate::{kept, words};

/// Path of the session in the API.
pub(crate) const SESSION: &str = "/api/v1/session";

/// Interval at which an open page asks for a younger token, in milliseconds. The server gives one when it is time.
pub const RENEW_EVERY_MS: u32 = 60_000;

/// The credential for the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A token out of a link.
    Token(String),
    /// The browser's cookie.
    Cookie,
}

impl Credential {
    /// The token, if it is one.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(token),
            Self::Cookie => None,
        }
    }
}

/// The server's answer about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The viewer is signed in.
    Somebody,
    /// The viewer is not signed in.
    Nobody,
    /// Login or password is wrong.
    Wrong,
    /// Sign-in was tried too often.
    TooOften,
    /// The server can't be reached, or can't tell now.
    Away,
}

impl Answer {
    /// Returns the message for people, if there is one.
    pub fn message(self) -> Option<&'static str> {
        match self {
            Self::Somebody | Self::Nobody => None,
            Self::Wrong => Some(words::SIGN_IN_WRONG.get()),
            Self::TooOften => Some(words::SIGN_IN_TOO_OFTEN.get()),
            Self::Away => Some(words::SIGN_IN_AWAY.get()),
        }
    }
}

#[derive(Serialize)]
struct SignIn<'a> {
    login: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct Problem {
    error: Code,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

/// Signs in.
pub async fn sign_in(login: &str, password: &str) -> Answer {
    match Request::post(SESSION).json(&SignIn { login, password }) {
        Ok(request) => {
            // Before it: what is asked after the answer is this person's, and is kept.
            kept::forget();
            let answer = answer(request.send().await).await;
            if answer == Answer::Somebody {
                note(true);
            }
            answer
        }
        Err(_) => Answer::Away,
    }
}

/// Key of this browser's note that it has a session, whose cookie no script can see.
const NOTE: &str = "clickwire.signed-in";

/// Returns whether the viewer may be signed in; a browser that refuses storage can't tell.
fn may_be_signed_in() -> bool {
    let storage = web_sys::window().and_then(|window| window.local_storage().ok()?);
    storage.is_none_or(|storage| storage.get_item(NOTE).is_ok_and(|note| note.is_some()))
}

fn note(is_signed_in: bool) {
    let Some(storage) = web_sys::window().and_then(|window| window.local_storage().ok()?) else { return };
    let noted = if is_signed_in { storage.set_item(NOTE, "1") } else { storage.remove_item(NOTE) };
    // Full storage: the next visit begins with the sign-in.
    noted.ok();
}

/// Asks who is signed in; the cookie gets younger by it. A browser in which nobody has signed in is not asked for: the
/// server could only refuse.
pub async fn show() -> Answer {
    if !may_be_signed_in() {
        return Answer::Nobody;
    }
    let answer = answer(Request::get(SESSION).send().await).await;
    if answer == Answer::Nobody {
        forget();
    }
    answer
}

/// Forgets what this browser knows of a session that is over.
pub fn forget() {
    note(false);
    kept::forget();
}

/// Signs out.
pub async fn sign_out() {
    forget();
    // If it does not arrive the session ends by itself when its token's time is up.
    Request::delete(SESSION).send().await.ok();
}

async fn answer(response: Result<Response, gloo_net::Error>) -> Answer {
    let Ok(response) = response else { return Answer::Away };
    match response.status() {
        200..=299 => Answer::Somebody,
        // Nothing that can be read is no password's fault.
        400 => Answer::Wrong,
        401 => match response.json::<Problem>().await {
            Ok(problem) if problem.error.code == "sign_in_refused" => Answer::Wrong,
            Ok(_) | Err(_) => Answer::Nobody,
        },
        429 => Answer::TooOften,
        _ => Answer::Away,
    }
}
