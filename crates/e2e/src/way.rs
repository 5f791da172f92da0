//! The four ways that a server is spoken to: HTTP/1.1 and HTTP/2, each with TLS and without.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request,
    body::Bytes,
    client::conn::{http1, http2},
    header::HOST,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, pki_types::CertificateDer,
        version,
    },
};
use tokio_util::either::Either;

use crate::raw::Answer;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// HTTP/1.1
    Http1,
    /// HTTP/2, which the client knows beforehand
    Http2,
    /// HTTP/1.1 over TLS
    Http1OverTls,
    /// HTTP/2 over TLS
    Http2OverTls,
}

/// Bytes in both directions, encrypted or not.
pub type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

impl Way {
    /// Without TLS.
    pub const PLAIN: [Self; 2] = [Self::Http1, Self::Http2];
    /// With TLS.
    pub const TLS: [Self; 2] = [Self::Http1OverTls, Self::Http2OverTls];

    /// Returns whether the way is HTTP/2.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2OverTls)
    }

    /// Returns whether the way is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Http1OverTls | Self::Http2OverTls)
    }

    /// A connection to `host:port` over which nothing of HTTP was said yet.
    pub async fn connect(self, authority: &str, trusted: Option<&Certificate>) -> Result<Stream> {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        if !self.is_tls() {
            return Ok(Stream::Left(stream));
        }
        let trusted = trusted.context("this way needs a certificate")?;
        let protocol: &[u8] = if self.is_http2() { b"h2" } else { b"http/1.1" };
        let stream = trusted.connect(stream, protocol, &[&version::TLS13, &version::TLS12]).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(protocol), "another protocol was agreed on");
        Ok(Stream::Right(Box::new(stream)))
    }
}

/// A server's certificate, which clients of it trust alone.
#[derive(Clone, Debug)]
pub struct Certificate(CertificateDer<'static>);

impl Certificate {
    /// A new one, written with its key to `certificate.pem` and `key.pem`.
    pub fn write(folder: &Path) -> Result<Self> {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names)?;
        fs::write(folder.join("key.pem"), signing_key.serialize_pem())?;
        fs::write(folder.join("certificate.pem"), cert.pem())?;
        Ok(Self(cert.der().clone()))
    }

    /// Its bytes, DER.
    pub fn der(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    /// A client's end of TLS.
    pub async fn connect(
        &self,
        stream: TcpStream,
        protocol: &[u8],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.clone())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(TlsConnector::from(Arc::new(config)).connect("localhost".try_into()?, stream).await?)
    }
}

/// A connection that requests go over.
pub struct Client {
    way: Way,
    authority: String,
    sender: Sender,
    _connection: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects to `host:port`.
    pub async fn connect(way: Way, authority: &str, trusted: Option<&Certificate>) -> Result<Self> {
        let stream = TokioIo::new(way.connect(authority, trusted).await?);
        let mut connection = JoinSet::new();
        // An error of the connection shows at the next request.
        let sender = if way.is_http2() {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
            connection.spawn(async move { drop(driver.await) });
            Sender::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(stream).await?;
            connection.spawn(async move { drop(driver.await) });
            Sender::Http1(sender)
        };
        Ok(Self { way, authority: authority.to_owned(), sender, _connection: connection })
    }

    /// The origin of the server's own page.
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.way.is_tls() { "https" } else { "http" }, self.authority)
    }

    /// Sends a request, such as `GET /livez`, as browsers do: for this host, by what the version of HTTP has
    /// for it.
    pub async fn send(&mut self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let authority = self.authority.clone();
        let host = [(HOST.as_str(), authority.as_str())];
        let host = if self.way.is_http2() { &[][..] } else { &host[..] };
        self.send_as_is(request, &[host, headers].concat(), body).await
    }

    /// Sends a request with these headers, and none beside them.
    pub async fn send_as_is(
        &mut self,
        request: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let (method, path) = request.split_once(' ').context("expected METHOD /path")?;
        let target = if self.way.is_http2() { format!("{}{path}", self.origin()) } else { path.to_owned() };
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer::new(parts.status.as_u16(), &lines(&parts.headers), &body))
    }
}

fn lines(headers: &HeaderMap) -> String {
    let line = |(name, value): (_, &hyper::header::HeaderValue)| {
        format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()))
    };
    headers.iter().map(line).collect()
}
