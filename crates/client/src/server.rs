//! The address of a server, and the key or token for it.

use std::{sync::Arc, time::Duration};

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use tower_service::Service as _;

use crate::{Connection, Error};

/// The longest wait for an answer, unless another limit is set.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes in both directions, encrypted or not.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The address of a server, and the key or token for it. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    url: Arc<Uri>,
    token: Arc<str>,
    connector: Option<HttpsConnector<HttpConnector>>,
    patience: Duration,
}

impl Server {
    /// A server at `http://host:port` or `https://host`, and a key or token. Over TLS the certificates are trusted
    /// that the system trusts.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn new(url: &str, token: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Url(format!("{url}: {what}"));
        let parsed: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong("not a URL"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) {
            return Err(wrong("must begin with http:// or https://"));
        }
        if parsed.host().is_none_or(str::is_empty)
            || !matches!(parsed.path(), "" | "/")
            || parsed.query().is_some()
        {
            return Err(wrong(
                "must be a host, with a port if it is not the usual one, and nothing behind it",
            ));
        }
        if hyper::header::HeaderValue::try_from(token).is_err() {
            return Err(Error::Url("the token has characters that no token has".to_owned()));
        }
        Ok(Self { url: Arc::new(parsed), token: token.into(), connector: None, patience: PATIENCE })
    }

    /// Trusts these certificates (DER) and no others.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn trusting(mut self, certificates: impl IntoIterator<Item = Vec<u8>>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            let added = roots.add(CertificateDer::from(certificate));
            added.map_err(|error| Error::Tls(error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        self.connector = Some(connector.build());
        Ok(self)
    }

    /// Waits for an answer, or for the next piece of one, so long and no longer; 30 s without it.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The same server, opened by another key or token.
    ///
    /// # Errors
    /// [`Error::Url`], if the token can't be sent.
    pub fn opened_by(&self, token: &str) -> Result<Self, Error> {
        let other = Self::new(&self.url.to_string(), token)?;
        Ok(Self { token: other.token, ..self.clone() })
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.url.authority().map_or("", |authority| authority.as_str())
    }

    /// The key or token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A new connection, which is made when it is first needed.
    pub fn connection(&self) -> Connection {
        Connection::new(self.clone())
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// Bytes to the server and back.
    pub(crate) async fn connect(&self) -> Result<Stream, Error> {
        let mut connector = match &self.connector {
            Some(connector) => connector.clone(),
            None if self.is_tls() => {
                let trusted = HttpsConnectorBuilder::new().with_native_roots();
                let trusted = trusted.map_err(|error| Error::Tls(error.to_string()))?;
                trusted.https_or_http().enable_http1().build()
            }
            None => {
                let tcp = TcpStream::connect(self.host_and_port())
                    .await
                    .map_err(|error| Error::Away(error.into()))?;
                tcp.set_nodelay(true).map_err(|error| Error::Away(error.into()))?;
                return Ok(MaybeHttpsStream::Http(TokioIo::new(tcp)));
            }
        };
        let url = (*self.url).clone();
        let connected = timeout(self.patience, connector.call(url)).await.map_err(|_| Error::TooLate)?;
        connected.map_err(Error::Away)
    }

    fn host_and_port(&self) -> (String, u16) {
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        (host, self.url.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 }))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_nothing_more() {
        for url in
            ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "https://clicks.example", "http://[::1]:8080"]
        {
            assert!(Server::new(url, "t").is_ok(), "{url}");
        }
        for url in
            ["127.0.0.1:8080", "ftp://host", "http://", "http://host/api", "http://host/?a=b", "nonsense \n"]
        {
            assert!(matches!(Server::new(url, "t"), Err(Error::Url(_))), "{url}");
        }
        assert!(matches!(Server::new("http://host", "a\nb"), Err(Error::Url(_))));
        let server = Server::new("http://[::1]", "secret").unwrap();
        assert_eq!(server.host_and_port(), ("::1".to_owned(), 80));
        assert!(!format!("{server:?}").contains("secret"));
    }
}
