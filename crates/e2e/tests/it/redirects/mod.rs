//! Redirect links: who clicks goes on to the advertiser with an id that can be verified, and is counted
//! once; and who only looks is not billed.
//!
//! - [`clicks`]: what is made of clicks and of ids that are posted
//! - [`carried`]: what a link carries on
//! - [`registry`]: ads that are changed, and links that lead nowhere
//! - [`test_clicks`]: links that are tried out
//! - [`outages`]: what works without the services

mod carried;
mod clicks;
mod outages;
pub(crate) mod registry;
mod test_clicks;

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use clickwire_e2e::{Stack, eventually};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

use super::fraud::PERSON;

const PATIENCE: Duration = Duration::from_secs(20);

/// The key that click ids are signed with.
const KEY: &str = "click-id-key-of-the-tests";

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").context("no answer")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Ok(Self { status, headers, body: body.to_owned() })
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Returns the location up to the click id, and the click id in it.
    fn target(&self) -> Result<(&str, &str)> {
        let shown = || format!("{} {:?} {}", self.status, self.headers, self.body);
        let location = self.headers.get("location").with_context(shown)?;
        let (before, id) = location.split_once("cw_click_id=").with_context(shown)?;
        Ok((before, id.split(['&', '#']).next().unwrap_or_default()))
    }

    /// The UUID in the click id.
    fn click_id(&self) -> Result<Uuid> {
        let (_, id) = self.target()?;
        Ok(id.split('.').next().unwrap_or_default().parse()?)
    }
}

/// Sends a request as a browser would, or with other headers.
async fn ask(server_url: &str, method: &str, path: &str, headers: &str) -> Result<Answer> {
    let authority = server_url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await?;
    let agent = if headers.contains("user-agent") { "" } else { &format!("user-agent: {PERSON}\r\n") };
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{agent}{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Answer::read(&answer)
}

/// Follows the link of an ad.
async fn click(stack: &Stack, ad_id: &str) -> Result<Answer> {
    ask(stack.server_url(), "GET", &format!("/r/{ad_id}"), "").await
}

/// Clicks on an ad's link, which leads on.
pub(crate) async fn follow(stack: &Stack, ad_id: &str) -> Result<()> {
    let answer = click(stack, ad_id).await?;
    ensure!(answer.status == 302, "{} {}", answer.status, answer.body);
    Ok(())
}

/// A click id as redirects sign it, written down once more.
fn signed(key: &str, id: Uuid, ad_id: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    mac.update(id.as_bytes());
    mac.update(ad_id.as_bytes());
    Ok(format!("{id}.{}", BASE64_URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..16])))
}

/// Posts a click on an ad as a landing page would; returns the answer.
async fn post(stack: &Stack, click_id: &str, ad_id: &str, more: &Value) -> Result<Value> {
    let mut body = json!({"click_id": click_id, "advertiser_id": "adv_001", "campaign_id": "camp_001",
        "ad_id": ad_id, "user_agent": PERSON});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let (status, answer) = stack.poster()?.post("/api/v1/clicks", body.to_string().into_bytes()).await?;
    anyhow::ensure!(status.as_u16() == 202, "{status}: {}", String::from_utf8_lossy(&answer));
    Ok(serde_json::from_slice(&answer)?)
}

/// Returns a click's disposition, and the rule that gave it.
async fn verdict(stack: &Stack, click_id: Uuid) -> Result<(String, Option<String>)> {
    eventually(&format!("{click_id} is counted"), PATIENCE, async || {
        sqlx::query_as("SELECT disposition::text, rule FROM clicks WHERE click_id = $1")
            .bind(click_id)
            .fetch_optional(stack.database())
            .await
            .ok()?
    })
    .await
}

/// Messages that were ever published.
async fn published(stack: &Stack) -> Result<u64> {
    let mut stream = stack.broker().await?.get_stream(stack.names().stream()).await?;
    Ok(stream.info().await?.state.last_sequence)
}
