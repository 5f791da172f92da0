//! Webhooks: a POST to a receiver's address, signed, and done when it is answered with a 2xx.
//!
//! | header | value |
//! |---|---|
//! | `Clickwire-Delivery` | names what is delivered: the same at each attempt, so a receiver can tell what it has |
//! | `Clickwire-Signature` | `t=…,v1=…`: [`Signature`] |
//!
//! No redirect is followed. Who keeps what is due, and for how long, is the caller's.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{
        Request, StatusCode, Uri,
        header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::RngExt as _;
use sha2::Sha256;
use thiserror::Error;
use tokio::time::timeout;

/// A secret with fewer bytes can be guessed.
pub const MIN_SECRET_BYTES: usize = 16;

/// The first failure is waited out for so long; each one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A reason why a receiver has not taken what was sent.
#[derive(Debug, Error)]
pub enum Refused {
    /// The receiver has not answered in time.
    #[error("no answer within {0:?}")]
    Slow(Duration),
    /// The receiver can't be reached, or the connection has failed.
    #[error("no answer")]
    Away(#[from] legacy::Error),
    /// Its answer is no 2xx.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The address or a header can't be sent.
    #[error("no request can be made")]
    Request(#[from] axum::http::Error),
}

/// A message to a receiver.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The receiver.
    pub url: &'a Uri,
    /// Names it: the same at each attempt.
    pub name: &'a str,
    /// Over the bytes of `body`, from [`Signature::header`].
    pub signature: &'a str,
    /// Media type of the body.
    pub content_type: &'a str,
    /// The name of a file and its number of bytes; none for news.
    pub file: Option<(&'a str, u64)>,
    /// The body: news or the file's bytes.
    pub body: Body,
}

/// Sends deliveries; a clone shares its connections.
#[derive(Clone, Debug)]
pub struct Sender(legacy::Client<HttpsConnector<HttpConnector>, Body>);

impl Sender {
    /// A sender that trusts the system's certificates; an error if there are none.
    pub fn new() -> io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self(legacy::Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends, and waits for an answer.
    pub async fn send(&self, delivery: Delivery<'_>, within: Duration) -> Result<(), Refused> {
        let mut request = Request::post(delivery.url.clone())
            .header(CONTENT_TYPE, delivery.content_type)
            .header("Clickwire-Delivery", delivery.name)
            .header("Clickwire-Signature", delivery.signature);
        if let Some((name, bytes)) = delivery.file {
            request = request
                .header(CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
                .header(CONTENT_LENGTH, bytes);
        }
        let request = request.body(delivery.body)?;
        let answer = timeout(within, self.0.request(request)).await.map_err(|_| Refused::Slow(within))??;
        if answer.status().is_success() { Ok(()) } else { Err(Refused::Status(answer.status())) }
    }
}

/// HMAC-SHA-256 over the Unix time in seconds, a dot and the body. The time lets a receiver refuse what somebody
/// recorded and sends again.
#[derive(Clone, Debug)]
pub struct Signature {
    time: i64,
    keyed: Hmac<Sha256>,
}

impl Signature {
    /// Begins a signature at `time`, in Unix seconds.
    pub fn new(secret: &str, time: i64) -> Self {
        let keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        let mut signature = Self { time, keyed };
        signature.update(format!("{time}.").as_bytes());
        signature
    }

    /// Adds the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        self.keyed.update(bytes);
    }

    /// `t=…,v1=…`, the code in hexadecimal.
    pub fn header(self) -> String {
        let code: String =
            self.keyed.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={},v1={code}", self.time)
    }
}

/// Returns the wait after a number of attempts: doubles with each, up to five minutes; jittered, so that senders
/// do not come all at once.
pub fn wait_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries - 1).unwrap_or_default().min(16);
    let limit = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    limit.mul_f64(rand::rng().random_range(0.5..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let expected = "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
        for pieces in [&["{}"][..], &["{", "}"], &["", "{", "", "}"]] {
            let mut signature = Signature::new("secret", 1_700_000_000);
            pieces.iter().for_each(|piece| signature.update(piece.as_bytes()));
            assert_eq!(signature.header(), expected, "{pieces:?}");
        }
    }

    #[test]
    fn waits_grow_to_a_limit() {
        assert!(wait_after(1) <= FIRST_WAIT);
        assert!(wait_after(4) >= FIRST_WAIT.mul_f64(4.0));
        assert!(wait_after(1_000) <= LONGEST_WAIT);
    }
}
