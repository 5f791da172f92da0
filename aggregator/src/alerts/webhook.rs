//! Tells another system of every piece of news about incidents, over HTTP.
//!
//! The log of news is the list of what is to be sent: what was not answered with a 2xx is sent again,
//! later and later, for an hour, by this aggregator or another, after a restart as before. So the
//! receiver may get news twice, under the same `Clickwire-Delivery`. News about one incident is sent in
//! order.

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use axum::http::Uri;
use clickwire_ledger::deliveries::{self, Delivery, RETRY_FOR};
use clickwire_process::now_ms;
use clickwire_webhook::{Sender, Signature, wait_after};
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

/// The interval at which the lease is renewed while the receiver has not answered.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Sends news to one address.
pub(crate) struct Webhook {
    database: PgPool,
    url: Uri,
    secret: String,
    sender: Sender,
}

impl Webhook {
    /// `None` if nobody is to be told.
    pub(crate) fn new(database: PgPool, config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(url), Some(secret)) = (&config.alert_webhook_url, &config.alert_webhook_secret) else {
            return Ok(None);
        };
        let sender = Sender::new().context("CLICKWIRE_ALERT_WEBHOOK_URL: the system's certificates")?;
        Ok(Some(Self { database, url: url.clone(), secret: secret.clone(), sender }))
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
        let mut signature = Signature::new(&self.secret, now_ms() / 1_000);
        signature.update(delivery.document.as_bytes());
        let news = clickwire_webhook::Delivery {
            url: &self.url,
            name: &format!("{}.{}", delivery.alert_id, delivery.version),
            signature: &signature.header(),
            content_type: "application/json",
            file: None,
            body: delivery.document.clone().into(),
        };
        Ok(self.sender.send(news, ANSWER_WITHIN).await?)
    }
}

/// The database's answer; a connection that is gone without a word is given up.
async fn answered<T>(query: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWER_WITHIN, query).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
