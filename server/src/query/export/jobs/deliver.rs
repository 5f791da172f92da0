//! Files of schedules that are sent to a receiver's address.
//!
//! The job in the database is what is due: a file that was not answered with a 2xx is sent again, later and later,
//! for a day, by whichever server has the secret. A server that dies in the middle of it leaves it to another, once
//! the time that a file of this size may take is over. So a receiver may get a file twice, under the same
//! `Clickwire-Delivery`.

use std::{sync::Arc, time::Duration};

use axum::http::Uri;
use clickwire_process::now_ms;
use clickwire_webhook::{Delivery, Sender, Signature, wait_after};
use sqlx::{FromRow, PgPool};
use time::OffsetDateTime;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::store::{self, pieces_of};
use crate::{
    query::export::{file_name, format::Format},
    store::database::answer,
};

/// Time between two looks for files that are due.
const EVERY: Duration = Duration::from_secs(1);

/// Files that one server sends at once: a slow receiver must not hold up the others.
const AT_ONCE: usize = 16;

/// Time after which a file that no receiver has taken is given up; it can still be fetched.
const RETRY_FOR: time::Duration = time::Duration::DAY;

/// Time that a receiver may take for a small file, and for each MiB in addition.
const PATIENCE: Duration = Duration::from_secs(30);
const PATIENCE_FOR_A_MIB: Duration = Duration::from_secs(4);

/// Time beyond that, until another server tries.
const SLACK: Duration = Duration::from_secs(30);

/// Sends files, and signs them.
#[derive(Clone)]
pub(crate) struct Webhooks {
    sender: Sender,
    secret: Arc<str>,
}

/// A file that is due.
#[derive(FromRow)]
struct Due {
    job_id: Uuid,
    created_at: OffsetDateTime,
    kind: String,
    extension: String,
    bytes: i64,
    webhook_url: String,
    /// Number of attempts, with this one.
    delivery_tries: i32,
}

impl Webhooks {
    pub(crate) fn new(secret: &str) -> std::io::Result<Self> {
        Ok(Self { sender: Sender::new()?, secret: secret.into() })
    }

    /// Sends what is due until `stop`. Files under way then are sent again.
    pub(crate) async fn deliver(self, jobs: PgPool, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! { _ = ticks.tick() => {}, () = stop.cancelled() => return }
            while under_way.try_join_next().is_some() {}
            while under_way.len() < AT_ONCE {
                match answer(Due::claim(&jobs)).await {
                    Ok(Some(due)) => _ = under_way.spawn(self.clone().attempt(jobs.clone(), due)),
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(%error, "files are not sent: the database can't be asked");
                        break;
                    }
                }
            }
        }
    }

    async fn attempt(self, jobs: PgPool, due: Due) {
        let sent = self.send(&jobs, &due).await;
        let outcome = if sent.is_ok() { "delivered" } else { "failed" };
        metrics::counter!("clickwire_report_webhooks_total", "outcome" => outcome).increment(1);
        if let Err(error) = &sent {
            let error = format!("{error:#}");
            tracing::warn!(job_id = %due.job_id, tries = due.delivery_tries, error, "a file was not delivered");
        }
        if let Err(error) = answer(due.settle(&jobs, sent.is_ok())).await {
            // It counts as dead after a while, and is sent again.
            tracing::warn!(job_id = %due.job_id, %error, "whether a file was delivered could not be recorded");
        }
    }

    /// Sends the file, which is read twice, a piece at a time: the signature goes before it.
    async fn send(&self, jobs: &PgPool, due: &Due) -> anyhow::Result<()> {
        let format = Format::named(&due.extension).map_err(anyhow::Error::msg)?;
        let url: Uri = due.webhook_url.parse()?;
        let mut signature = Signature::new(&self.secret, now_ms() / 1_000);
        for number in 0..pieces_of(due.bytes) {
            let piece = answer(store::piece(jobs, due.job_id, number)).await?;
            signature.update(&piece.ok_or_else(|| anyhow::anyhow!("the file is gone"))?);
        }
        let name = file_name(format, &due.kind, due.created_at);
        let delivery = Delivery {
            url: &url,
            name: &due.job_id.to_string(),
            signature: &signature.header(),
            content_type: format.media_type(),
            file: Some((&name, due.bytes.unsigned_abs())),
            body: store::file(jobs.clone(), due.job_id, due.bytes),
        };
        Ok(self.sender.send(delivery, due.patience()).await?)
    }
}

impl Due {
    /// The file that has been due for longest, for this attempt.
    async fn claim(jobs: &PgPool) -> Result<Option<Self>, sqlx::Error> {
        let due = sqlx::query_as(
            "UPDATE export_jobs SET delivery_tries = delivery_tries + 1, \
                    delivery_due = now() + make_interval(secs => $1 + $2 * (bytes >> 20)) \
              WHERE job_id = (SELECT job_id FROM export_jobs \
                    WHERE delivery = 'waiting' AND status = 'done' AND delivery_due <= now() AND expires_at > now() \
                    ORDER BY delivery_due LIMIT 1 FOR UPDATE SKIP LOCKED) \
             RETURNING job_id, created_at, kind, extension, bytes, webhook_url, delivery_tries",
        );
        due.bind((PATIENCE + SLACK).as_secs_f64())
            .bind(PATIENCE_FOR_A_MIB.as_secs_f64())
            .fetch_optional(jobs)
            .await
    }

    fn patience(&self) -> Duration {
        let mib = u32::try_from(self.bytes >> 20).unwrap_or_default();
        PATIENCE + PATIENCE_FOR_A_MIB * mib
    }

    /// Records the end of this attempt, unless another was begun since.
    async fn settle(&self, jobs: &PgPool, is_delivered: bool) -> Result<(), sqlx::Error> {
        let is_over = OffsetDateTime::now_utc() - self.created_at > RETRY_FOR;
        let (delivery, wait) = match (is_delivered, is_over) {
            (true, _) => ("delivered", Duration::ZERO),
            (false, true) => ("given_up", Duration::ZERO),
            (false, false) => ("waiting", wait_after(self.delivery_tries)),
        };
        let settled = sqlx::query(
            "UPDATE export_jobs SET delivery = $3, delivery_due = now() + make_interval(secs => $4) \
              WHERE job_id = $1 AND delivery_tries = $2 AND delivery = 'waiting'",
        );
        settled
            .bind(self.job_id)
            .bind(self.delivery_tries)
            .bind(delivery)
            .bind(wait.as_secs_f64())
            .execute(jobs)
            .await?;
        Ok(())
    }
}
