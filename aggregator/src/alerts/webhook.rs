//! Tells another system of every piece of news about incidents, over HTTP.
//!
//! The log of news is the list of what is to be sent: what was not answered with a 2xx is sent again,
//! later and later, for an hour, by this aggregator or another, after a restart as before. So the
//! receiver may get news twice, under the same `Clickwire-Delivery`. News about one incident is sent in
//! order.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, ensure};
use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, Uri, header::CONTENT_TYPE},
};
use clickwire_ledger::deliveries::{self, Delivery};
use clickwire_process::now_ms;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rand::RngExt as _;
use sha2::Sha256;
use sqlx::PgPool;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Between looks at what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A receiver, or the database, that has not answered by then has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The lease on news that is being sent: a process that is frozen renews nothing, and another sends it.
const LEASE: Duration = Duration::from_secs(4);

/// How often it is renewed while the receiver has not answered.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// News that is older is given up: somebody has seen it by then, or nobody will.
const RETRY_FOR: Duration = Duration::from_secs(3_600);

/// The first failure is waited out for so long; each one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Sends news to one address.
pub(crate) struct Webhook {
    database: PgPool,
    url: Uri,
    secret: String,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Webhook {
    /// `None` if nobody is to be told.
    pub(crate) fn new(database: PgPool, config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(url), Some(secret)) = (&config.alert_webhook_url, &config.alert_webhook_secret) else {
            return Ok(None);
        };
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("CLICKWIRE_ALERT_WEBHOOK_URL: the system's certificates")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Some(Self { database, url: url.clone(), secret: secret.clone(), client }))
    }

    /// Sends until `stop` is cancelled. What is under way then is sent again by whoever comes next.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut every = interval(LOOK_EVERY);
        loop {
            tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return Ok(()) }
            let sent =
                tokio::select! { sent = self.send_due() => sent, () = stop.cancelled() => return Ok(()) };
            if let Err(error) = sent {
                tracing::debug!(%error, "webhook: the database can't be asked; will try again");
            }
        }
    }

    async fn send_due(&self) -> Result<(), sqlx::Error> {
        while let Some(delivery) = answered(deliveries::take(&self.database, LEASE, RETRY_FOR)).await? {
            match self.send_under_lease(&delivery).await {
                Ok(()) => {
                    self.set_due(&delivery, None).await?;
                    metrics::counter!("clickwire_alert_webhooks_total", "outcome" => "delivered")
                        .increment(1);
                }
                Err(error) => {
                    let wait = wait_after(delivery.webhook_tries);
                    tracing::warn!(
                        seq = delivery.seq,
                        tries = delivery.webhook_tries,
                        error = format!("{error:#}"),
                        "webhook failed"
                    );
                    self.set_due(&delivery, Some(wait)).await?;
                    metrics::counter!("clickwire_alert_webhooks_total", "outcome" => "failed").increment(1);
                }
            }
        }
        Ok(())
    }

    /// Sends, and keeps others from sending meanwhile.
    async fn send_under_lease(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let mut answer = pin!(self.send(delivery));
        loop {
            match timeout(RENEW_EVERY, &mut answer).await {
                Ok(answer) => return answer,
                Err(_) => {
                    self.set_due(delivery, Some(LEASE)).await.context("the lease could not be renewed")?;
                }
            }
        }
    }

    async fn set_due(&self, delivery: &Delivery, wait: Option<Duration>) -> Result<(), sqlx::Error> {
        answered(deliveries::set_due(&self.database, delivery, wait)).await
    }

    async fn send(&self, delivery: &Delivery) -> anyhow::Result<()> {
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("Clickwire-Delivery", format!("{}.{}", delivery.alert_id, delivery.version))
            .header("Clickwire-Signature", signature(&self.secret, now_ms() / 1_000, &delivery.document))
            .body(Body::from(Bytes::copy_from_slice(delivery.document.as_bytes())))?;
        let answer = timeout(ANSWER_WITHIN, self.client.request(request)).await.context("no answer")??;
        let status: StatusCode = answer.status();
        ensure!(status.is_success(), "answered {status}");
        Ok(())
    }
}

/// `t=…,v1=…`: Unix time in seconds, and HMAC-SHA-256 over it, a dot and the body, in hexadecimal. The
/// time lets a receiver refuse what somebody recorded and sends again.
fn signature(secret: &str, time: i64, body: &str) -> String {
    // HMAC takes keys of every length.
    let mut keyed = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .unwrap_or_else(|_| unreachable!("any key length is allowed"));
    keyed.update(format!("{time}.{body}").as_bytes());
    let code: String = keyed.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={code}")
}

/// Doubles with each failure, up to a limit; jittered, so that aggregators do not come all at once.
fn wait_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries - 1).unwrap_or_default().min(16);
    let limit = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    limit.mul_f64(rand::rng().random_range(0.5..1.0))
}

/// The database's answer; a connection that is gone without a word is given up.
async fn answered<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_WITHIN, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_time_and_body() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            signature("secret", 1_700_000_000, "{}"),
            "t=1700000000,v1=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163"
        );
    }

    #[test]
    fn waits_grow_to_a_limit() {
        assert!(wait_after(1) <= FIRST_WAIT);
        assert!(wait_after(4) >= FIRST_WAIT.mul_f64(4.0));
        assert!(wait_after(1_000) <= LONGEST_WAIT);
    }
}
