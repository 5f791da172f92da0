//! HTTP as it is on the wire, for requests that no client library would send.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines by their names in lower case; of several with one name the last.
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

/// Sends one request over a connection of its own. `request` is its method and path; header lines
/// end with `\r\n` each, those for host, length and the connection's end are added.
pub async fn send(server_url: &str, request: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let authority = server_url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await?;
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    // A server may answer and close before it has read a body that it refuses.
    let written = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    ensure!(!bytes.is_empty(), "no answer: {written:?} {read:?}");
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(Answer { status: status.context("an answer without a status")?, headers, text: body.to_owned() })
}
