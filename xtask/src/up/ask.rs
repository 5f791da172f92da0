//! Asking a program over HTTP, without an HTTP library.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clickwire_services::{Listener, listener};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const ANSWER_MAX_BYTES: u64 = 1 << 20;

/// Returns whether a process is ready: it is the one that listens on this port of 127.0.0.1, and `GET /readyz`
/// answers 200. An error says who else listens there.
pub(crate) fn is_ready_process(port: u16, pid: u32) -> Result<bool> {
    match listener(port, pid).context("cannot find out who listens")? {
        Listener::Process => Ok(is_ready(port)),
        Listener::Nobody => Ok(false),
        Listener::Stranger(owner) => bail!("port {port} is taken: {owner} listens on it"),
    }
}

/// Returns whether `GET /readyz` on this port of 127.0.0.1 answers 200.
fn is_ready(port: u16) -> bool {
    get(port, "/readyz").is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// Returns the answer to a `GET` of a path on this port of 127.0.0.1: status line, headers and body.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    // In one piece: a server that has answered and gone before the rest came would reset the connection.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn answering(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    /// Ours is alive and has not found out yet that its port is taken; the other's answer is not its own.
    #[test]
    fn a_strangers_answer_is_not_ours() {
        let port = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let mut ours = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let refused = is_ready_process(port, ours.id()).unwrap_err().to_string();
        assert!(refused.contains(&format!("port {port}")), "{refused}");
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        assert!(is_ready_process(port, std::process::id()).unwrap());
        ours.kill().unwrap();
        ours.wait().unwrap();
    }

    #[test]
    fn only_200_is_ready() {
        assert!(is_ready(answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")));
        assert!(!is_ready(answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")));
    }
}
