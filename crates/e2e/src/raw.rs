//! Requests written by hand: with headers and bodies that no proper client sends.

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// The server's answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; null if it is no JSON.
    pub body: Value,
    head: String,
}

impl Answer {
    /// An answer whose header lines stand in `head`.
    pub(crate) fn new(status: u16, head: &str, body: &[u8]) -> Self {
        Self { status, body: serde_json::from_slice(body).unwrap_or(Value::Null), head: head.to_owned() }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request, such as `GET /livez`; `headers` are lines that end in CR LF.
pub async fn send(url: &str, request: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    exchange(url, request, &format!("content-length: {}\r\n{headers}", body.len()), body).await
}

/// Sends a request and waits for the answer's head alone: its body may have no end.
pub async fn head(url: &str, request: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let headers = format!("content-length: {}\r\n{headers}", body.len());
    let mut stream = BufReader::new(begin(url, request, &headers).await?);
    // A server may answer and close before it has read a body that it refuses.
    let written = stream.write_all(body).await;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(stream.read_line(&mut head).await? > 0, "no answer: {written:?} {head}");
    }
    Ok(Answer { status: status(&head), body: Value::Null, head })
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Posts a body.
pub async fn post(url: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    send(url, &format!("POST {path}"), headers, body).await
}

/// Posts a body in chunks of so many bytes, of a length that is not told before.
pub async fn post_chunked(
    url: &str,
    path: &str,
    headers: &str,
    body: &[u8],
    size_bytes: usize,
) -> Result<Answer> {
    let mut chunked = Vec::new();
    for chunk in body.chunks(size_bytes) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let request = format!("POST {path}");
    exchange(url, &request, &format!("transfer-encoding: chunked\r\n{headers}"), &chunked).await
}

async fn exchange(url: &str, request: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = begin(url, request, headers).await?;
    // A server may answer and close before it has read a body that it refuses.
    let written = stream.write_all(body).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(!answer.is_empty(), "no answer: {written:?} {read:?}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = status(head);
    Ok(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null), head: head.to_owned() })
}

/// Opens a connection and sends what stands before the body.
pub async fn begin(url: &str, request: &str, headers: &str) -> Result<TcpStream> {
    let authority = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!("{request} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}
