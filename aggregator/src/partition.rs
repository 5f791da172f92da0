//! One partition's loop: fetch, commit, publish, acknowledge.
//!
//! A batch ends when it is full or when its first click has waited long enough. An outage keeps the
//! batch in hand and tries again; only the answer to "is it wrong in itself?" moves a message to
//! the dead letters.

use std::{sync::Arc, time::Duration};

use async_nats::jetstream::{AckKind, Context, Message, consumer::pull};
use clickwire_process::{Backoff, now_ms};
use futures_util::{FutureExt as _, StreamExt as _, future};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    dead_letter,
    feed::Feed,
    health::{Health, Service},
    ledger::{Committed, Ledger},
    message::{self, Poison, Received},
    stream::{self, Unavailable},
};

/// Everything that one partition needs.
pub(crate) struct Partition {
    pub(crate) number: u16,
    pub(crate) nats: Context,
    pub(crate) ledger: Ledger,
    pub(crate) feed: Feed,
    pub(crate) health: Arc<Health>,
    pub(crate) config: Config,
}

/// A message with what could be read of it.
struct Fetched {
    message: Message,
    stream_seq: u64,
    stored_at_ms: i64,
}

impl Partition {
    /// Counts until `stop` is cancelled; outages are waited out.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            match self.consume(&stop, &mut backoff).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.health.detached(self.number);
                    self.health.waiting_for(Service::Broker, &error);
                }
            }
            tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(()) }
        }
    }

    async fn consume(&mut self, stop: &CancellationToken, backoff: &mut Backoff) -> Result<(), Unavailable> {
        let consumer = stream::consumer(&self.nats, &self.config, self.number).await?;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(self.config.batch_max)
            .heartbeat(Duration::from_secs(5))
            .messages()
            .await?;
        self.health.attached(self.number);
        backoff.reset();
        while !stop.is_cancelled() {
            let batch = self.next_batch(&mut messages, stop).await?;
            self.count(batch, stop).await?;
        }
        hand_back(&mut messages).await
    }

    /// Waits for a first message, then for more until the batch is full or old enough, or we stop.
    async fn next_batch(
        &self,
        messages: &mut pull::Stream,
        stop: &CancellationToken,
    ) -> Result<Vec<Fetched>, Unavailable> {
        let first = tokio::select! {
            first = messages.next() => first.ok_or(Unavailable::Ended)??,
            () = stop.cancelled() => return Ok(Vec::new()),
        };
        let until = Instant::now() + Duration::from_millis(self.config.linger_ms);
        let mut batch = vec![Fetched::from(first)];
        while batch.len() < self.config.batch_max && !stop.is_cancelled() {
            match timeout_at(until, messages.next()).await {
                Ok(Some(Ok(message))) => batch.push(Fetched::from(message)),
                // What ends the subscription shows again at the next call; this batch is whole.
                Ok(Some(Err(_)) | None) | Err(_) => break,
            }
        }
        Ok(batch)
    }

    async fn count(&mut self, batch: Vec<Fetched>, stop: &CancellationToken) -> Result<(), Unavailable> {
        let oldest_ms =
            now_ms() - (self.config.stream_max_age() + Duration::from_secs(3600)).as_millis() as i64;
        let mut readable = Vec::with_capacity(batch.len());
        for fetched in &batch {
            match message::read(&fetched.message.payload, fetched.stored_at_ms, oldest_ms) {
                Ok(click) => readable.push(Received { click, stream_seq: fetched.stream_seq }),
                Err(poison) => self.bury(&batch, fetched.stream_seq, &poison).await?,
            }
        }
        let mut waiting: Vec<Vec<Received>> = vec![readable];
        let mut backoff = Backoff::default();
        while let Some(clicks) = waiting.pop() {
            if clicks.is_empty() {
                continue;
            }
            match self.ledger.commit(&clicks).await {
                Ok(committed) => self.committed(&committed).await,
                Err(error) if is_data_error(&error) => match self.refused(clicks, &error) {
                    Refused::Halves(first, second) => waiting.extend([second, first]),
                    Refused::One(stream_seq, poison) => self.bury(&batch, stream_seq, &poison).await?,
                },
                Err(error) => {
                    self.health.waiting_for(Service::Database, &error);
                    waiting.push(clicks);
                    // Nothing was acknowledged: what is left comes again.
                    tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(()) }
                }
            }
        }
        future::try_join_all(batch.iter().map(|fetched| fetched.message.ack()))
            .await
            .map_err(Unavailable::Acknowledge)?;
        Ok(())
    }

    async fn committed(&self, committed: &Committed) {
        self.health.counting();
        metrics::counter!("clickwire_clicks_counted_total").increment(committed.counted as u64);
        metrics::counter!("clickwire_clicks_known_total").increment(committed.known as u64);
        metrics::histogram!("clickwire_batch_clicks").record((committed.counted + committed.known) as f64);
        self.feed.publish(&committed.cells).await;
    }

    /// The database refuses the content of some click: halve until it is found.
    fn refused(&self, mut clicks: Vec<Received>, error: &sqlx::Error) -> Refused {
        if let [only] = clicks.as_slice() {
            return Refused::One(only.stream_seq, Poison::Refused(error.to_string()));
        }
        let second = clicks.split_off(clicks.len() / 2);
        Refused::Halves(clicks, second)
    }

    async fn bury(&self, batch: &[Fetched], stream_seq: u64, poison: &Poison) -> Result<(), Unavailable> {
        let buried = batch.iter().find(|fetched| fetched.stream_seq == stream_seq);
        match buried {
            Some(fetched) => {
                let names = self.config.names();
                dead_letter::store(&self.nats, &names, &fetched.message, stream_seq, poison).await
            }
            None => Ok(()),
        }
    }
}

/// Lets another aggregator have at once what was delivered to us but not begun.
async fn hand_back(messages: &mut pull::Stream) -> Result<(), Unavailable> {
    while let Some(Some(Ok(message))) = messages.next().now_or_never() {
        message.ack_with(AckKind::Nak(None)).await.map_err(Unavailable::Acknowledge)?;
    }
    Ok(())
}

enum Refused {
    Halves(Vec<Received>, Vec<Received>),
    One(u64, Poison),
}

impl From<Message> for Fetched {
    fn from(message: Message) -> Self {
        // Only a message that no stream delivered has no info; it reads as impossible in time.
        let (stream_seq, stored_at_ms) = message.info().map_or((0, 0), |info| {
            (info.stream_sequence, (info.published.unix_timestamp_nanos() / 1_000_000) as i64)
        });
        Self { message, stream_seq, stored_at_ms }
    }
}

/// Whether the database refuses the data rather than being unable to work: SQLSTATE classes 22
/// (data exception), 23 (integrity constraint violation) and 54 (program limit exceeded).
fn is_data_error(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}
