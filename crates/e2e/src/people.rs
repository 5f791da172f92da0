//! People in front of browsers, as a server sees them.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    Stack,
    raw::{self, Answer},
};

/// A person who has signed in.
#[derive(Clone, Debug)]
pub struct Person {
    /// The server's address.
    pub url: String,
    /// `name=value`, as the browser sends it.
    pub cookie: String,
}

impl Person {
    /// Tries to sign in, on a page of the server's own.
    pub async fn attempt(url: &str, login: &str, password: &str) -> Result<Answer> {
        let body = json!({"login": login, "password": password}).to_string();
        let headers = format!("content-type: application/json\r\norigin: {url}\r\n");
        raw::post(url, "/api/v1/session", &headers, body.as_bytes()).await
    }

    /// Signs in.
    pub async fn sign_in(url: &str, login: &str, password: &str) -> Result<Self> {
        let answer = Self::attempt(url, login, password).await?;
        ensure!(answer.status == 200, "{login} can't sign in: {answer:?}");
        Self::of(url, &answer)
    }

    /// The person who got this answer.
    pub fn of(url: &str, answer: &Answer) -> Result<Self> {
        let cookie = set_cookie(answer).with_context(|| format!("no cookie in {answer:?}"))?;
        Ok(Self { url: url.to_owned(), cookie: cookie.to_owned() })
    }

    /// Returns the headers that the browser sends from a page of the server's own.
    pub fn headers(&self) -> String {
        format!("cookie: {}\r\norigin: {}\r\ncontent-type: application/json\r\n", self.cookie, self.url)
    }

    /// Sends a request, such as `GET /api/v1/session`, with a JSON body or none.
    pub async fn send(&self, request: &str, body: &str) -> Result<Answer> {
        raw::send(&self.url, request, &self.headers(), body.as_bytes()).await
    }
}

/// The cookie that an answer sets, without its attributes.
pub fn set_cookie(answer: &Answer) -> Option<&str> {
    answer.header("set-cookie")?.split(';').next()
}

impl Stack {
    /// Makes an account where the programs run, and returns its password.
    pub async fn account(&self, login: &str, role: &str, advertisers: &[&str]) -> Result<String> {
        let mut arguments = vec!["accounts", "create", "--login", login, "--name", login, "--role", role];
        arguments.extend(advertisers.iter().flat_map(|advertiser| ["--advertiser", advertiser]));
        let account = self.administer(&arguments).await?;
        Ok(account["password"].as_str().context("no password")?.to_owned())
    }
}
