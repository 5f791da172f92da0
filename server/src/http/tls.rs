//! TLS by the server itself, where no proxy before it does that.
//!
//! Certificate and key are read again when their files change, so that a renewed certificate needs no
//! restart; connections that are open keep the old one. Versions and cipher suites are rustls's own choice:
//! TLS 1.2 and 1.3.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};
use tokio_util::{either::Either, sync::CancellationToken};

/// Time between two checks of the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Protocols above TLS, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A client's connection, with TLS or without.
pub(crate) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The certificate that clients are shown, and its files.
pub(crate) struct Tls {
    files: Files,
    current: RwLock<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// Contents of the files.
    read: Pem,
}

#[derive(PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn read(files: Files) -> Result<Self> {
        let read = files.read()?;
        let config = Arc::new(read.config().context("the certificate and its key")?);
        Ok(Self { files, current: RwLock::new(Current { config, read }) })
    }

    /// Agrees on keys with a client.
    pub(crate) async fn accept(&self, stream: TcpStream, within: Duration) -> io::Result<Stream> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config);
        let accepted = timeout(within, TlsAcceptor::from(config).accept(stream)).await;
        Ok(Stream::Right(Box::new(accepted.map_err(|_| io::ErrorKind::TimedOut)??)))
    }

    /// Follows the files until `stop`. While they can't be used, what was read before is.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut look = interval(LOOK_EVERY);
        let mut was_refused = false;
        loop {
            tokio::select! { _ = look.tick() => {}, () = stop.cancelled() => return }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            match looked.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(false) => was_refused = false,
                Ok(true) => {
                    was_refused = false;
                    tracing::info!("another certificate is in use");
                }
                Err(error) if !was_refused => {
                    was_refused = true;
                    tracing::error!(
                        error = format!("{error:#}"),
                        "a certificate can't be used; the last one still is"
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Reads the files, and returns whether there was something new.
    fn look(&self) -> Result<bool> {
        let read = self.files.read()?;
        if self.current.read().unwrap_or_else(PoisonError::into_inner).read == read {
            return Ok(false);
        }
        let config = Arc::new(read.config()?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { config, read };
        Ok(true)
    }
}

impl Files {
    fn read(&self) -> Result<Pem> {
        let read = |path: &PathBuf| fs::read(path).with_context(|| path.display().to_string());
        Ok(Pem { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

impl Pem {
    fn config(&self) -> Result<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>()?;
        ensure!(!chain.is_empty(), "no certificate in PEM");
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("the key")?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio_rustls::{
        TlsConnector,
        rustls::{ClientConfig, RootCertStore},
    };

    use super::*;

    /// A server, and a client that trusts it.
    pub(crate) fn ends() -> (Tls, TlsConnector) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let read =
            Pem { certificate: cert.pem().into_bytes(), key: signing_key.serialize_pem().into_bytes() };
        let config = Arc::new(read.config().unwrap());
        let files = Files { certificate: PathBuf::new(), key: PathBuf::new() };
        let server = Tls { files, current: RwLock::new(Current { config, read }) };
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (server, TlsConnector::from(Arc::new(client)))
    }
}
