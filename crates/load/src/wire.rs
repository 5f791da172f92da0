//! HTTP/1.1 with as little as possible between a prepared request and the socket, so that whoever
//! measures a server measures the server.

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Header lines of an answer, at most.
const HEADERS_MAX: usize = 32;

/// Bytes of an answer, at most.
const ANSWER_MAX_BYTES: usize = 4 << 20;

/// One kept-alive connection.
pub(crate) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(authority: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(authority).await.with_context(|| format!("connecting to {authority}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(1 << 12) })
    }

    /// Sends a request as it is, waits for the whole answer, and returns its status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.received.clear();
        self.stream.write_all(request).await?;
        loop {
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the server closed the connection");
            if let Some((status, bytes)) = head(&self.received)?
                && self.received.len() >= bytes
            {
                return Ok(status);
            }
            ensure!(self.received.len() < ANSWER_MAX_BYTES, "the answer does not end");
        }
    }
}

/// Status and length in bytes of an answer, as soon as its head is there.
fn head(received: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = answer.parse(received).context("not HTTP")? else {
        return Ok(None);
    };
    let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = match length {
        Some(header) => std::str::from_utf8(header.value)?.parse()?,
        None => 0,
    };
    Ok(Some((answer.code.context("no status")?, head_bytes + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(head(&answer[..20]).unwrap(), None);
        assert_eq!(head(answer).unwrap(), Some((202, answer.len())));
        assert_eq!(head(b"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n").unwrap(), Some((302, 35)));
        assert!(head(b"nonsense\r\n\r\n").is_err());
    }
}
