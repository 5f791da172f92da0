//! One partition's loop: fetch, commit, publish, acknowledge.
//!
//! A batch ends when it is full, or at the next instant at which those of all partitions do ([`crate::group`]). An
//! outage keeps the batch in hand and tries again; only the answer to "is it wrong in itself?" moves a message to
//! the dead letters.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_nats::jetstream::{
    AckKind, Context, Message,
    consumer::pull::{self, MessagesError},
};
use clickwire_dead_letters::{
    DeadLetters,
    message::{self, Unprocessable},
};
use clickwire_ledger::{
    Batch, Received,
    stages::{Stage, Stopwatch},
};
use clickwire_process::{Backoff, failpoint, now_ms};
use clickwire_protocol::times::UnixMs;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    config::Config,
    counter::{Counter, is_data_error},
    group::{Group, Uncounted},
    health::{Health, Service},
    stream::{self, Unavailable},
};

/// The longest time for which the broker delivers on one request. It goes on delivering to a process that is
/// frozen until the last request has expired; no longer than a click in hand waits, or it would be offered to
/// the frozen one again.
const PULL_FOR: Duration = Duration::from_secs(3);

/// A partition with the services and settings that it uses.
pub(crate) struct Partition {
    pub(crate) number: u16,
    /// The database's timeline.
    pub(crate) timeline: i64,
    pub(crate) nats: Context,
    pub(crate) dead_letters: DeadLetters,
    /// Counts small batches.
    pub(crate) group: Group,
    /// Counts all others.
    pub(crate) counter: Counter,
    pub(crate) health: Arc<Health>,
    pub(crate) config: Config,
}

/// A message with what could be read of it.
struct Fetched {
    message: Message,
    stream_seq: u64,
    stored_at: UnixMs,
    /// Messages behind this one when it was delivered.
    left: u64,
    /// The message was delivered before, to us or to another.
    is_redelivered: bool,
}

/// Messages that the broker has delivered. All are this process's until they are acknowledged, in a batch or not yet.
struct Delivered {
    messages: pull::Stream,
    /// Taken from the client for [`Delivered::keep_in_hand`], in order; `max_ack_pending` limits it.
    ahead: VecDeque<Result<Message, MessagesError>>,
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
        let consumer = stream::consumer(&self.nats, &self.config, self.number, self.timeline).await?;
        let expires = self.config.ack_wait().min(PULL_FOR);
        let messages = consumer
            .stream()
            .max_messages_per_batch(self.config.batch_max)
            .expires(expires)
            // The broker allows no longer ones.
            .heartbeat(expires / 2)
            .messages()
            .await?;
        let mut delivered = Delivered { messages, ahead: VecDeque::new() };
        self.health.attached(self.number);
        backoff.reset();
        while !stop.is_cancelled() {
            let mut stopwatch = Stopwatch::start();
            let batch = self.next_batch(&mut delivered, stop).await?;
            stopwatch.ended(Stage::Fetch);
            let ack_wait = self.config.ack_wait();
            let span = tracing::error_span!(
                "batch",
                partition = self.number,
                clicks = batch.len(),
                stream_seq = batch.first().map(|fetched| fetched.stream_seq)
            );
            let is_settled = tokio::select! {
                is_settled = self.settle(&batch, stopwatch, stop).instrument(span) => is_settled?,
                error = delivered.keep_in_hand(&batch, ack_wait) => return Err(error),
            };
            if is_settled {
                self.acknowledge(&batch).await?;
            }
        }
        delivered.hand_back().await
    }

    /// Waits for a first message, then for more until the batch is full or old enough, or we stop.
    async fn next_batch(
        &self,
        delivered: &mut Delivered,
        stop: &CancellationToken,
    ) -> Result<Vec<Fetched>, Unavailable> {
        let first = tokio::select! {
            first = delivered.next() => first.ok_or(Unavailable::Ended)??,
            () = stop.cancelled() => return Ok(Vec::new()),
        };
        let until = self.group.next_end();
        let mut batch = vec![Fetched::from(first)];
        while batch.len() < self.config.batch_max && !stop.is_cancelled() {
            match timeout_at(until, delivered.next()).await {
                Ok(Some(Ok(message))) => batch.push(Fetched::from(message)),
                // What ends the subscription shows again at the next call; this batch is whole.
                Ok(Some(Err(_)) | None) | Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// Counts or sets aside every message of a batch, however long that takes. False if we are to stop
    /// before: what is not acknowledged comes again.
    async fn settle(
        &mut self,
        batch: &[Fetched],
        mut stopwatch: Stopwatch,
        stop: &CancellationToken,
    ) -> Result<bool, Unavailable> {
        failpoint::reached("fetched");
        let oldest = message::oldest(UnixMs(now_ms()), self.config.stream_max_age());
        let mut readable = Vec::with_capacity(batch.len());
        for fetched in batch {
            match message::read(&fetched.message.payload, fetched.stored_at, oldest) {
                Ok(click) => readable.push(Received { click, stream_seq: fetched.stream_seq }),
                Err(poison) if self.dead_letter(batch, fetched.stream_seq, &poison, stop).await? => {}
                Err(_) => return Ok(false),
            }
        }
        stopwatch.ended(Stage::Read);
        // Clicks of these may have been committed: by a process that died, or by this one, if the answer was lost.
        let mut is_doubtful = batch.iter().any(|fetched| fetched.is_redelivered);
        let mut waiting = Vec::new();
        if !readable.is_empty() {
            match self.group.count(self.batch(readable), is_doubtful).await {
                Ok(()) => {}
                Err(Uncounted::Apart(batch)) => waiting.push(batch.clicks),
                Err(Uncounted::Unknown(batch)) => {
                    is_doubtful = true;
                    waiting.push(batch.clicks);
                }
                Err(Uncounted::Ended) => return Ok(false),
            }
        }
        let mut backoff = Backoff::default();
        while let Some(clicks) = waiting.pop() {
            let one = self.batch(clicks);
            let counted = self.counter.count(&one, is_doubtful).await;
            let Batch { clicks, .. } = one;
            match counted {
                Ok(()) => {}
                Err(error) if is_data_error(&error) => match self.refused(clicks, &error) {
                    Refused::Halves(first, second) => waiting.extend([second, first]),
                    Refused::One(stream_seq, poison) => {
                        if !self.dead_letter(batch, stream_seq, &poison, stop).await? {
                            return Ok(false);
                        }
                    }
                },
                Err(error) => {
                    self.health.waiting_for(Service::Database, &error);
                    self.show_lag(batch);
                    is_doubtful = true;
                    waiting.push(clicks);
                    tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(false) }
                }
            }
        }
        self.show_lag(batch);
        Ok(true)
    }

    async fn acknowledge(&self, batch: &[Fetched]) -> Result<(), Unavailable> {
        let mut stopwatch = Stopwatch::start();
        failpoint::reached("before_acknowledge");
        failpoint::reached_after("half_acknowledged", async || {
            drop(acknowledge(&batch[..batch.len() / 2]).await);
            drop(self.nats.client().flush().await);
        })
        .await;
        acknowledge(batch).await?;
        stopwatch.ended(Stage::Acknowledge);
        Ok(())
    }

    /// Shows the partition's lag behind the stream: after each batch, and while one can't be counted.
    ///
    /// What is left is what the broker said when it delivered the batch's last message. It lags
    /// behind what is stored (docs/decisions/0007-purging-the-stream.md), which is near enough for the eye.
    fn show_lag(&self, batch: &[Fetched]) {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return };
        let partition = self.number.to_string();
        let oldest_ms = UnixMs(now_ms()) - first.stored_at;
        metrics::gauge!("clickwire_lag_milliseconds", "partition" => partition.clone()).set(oldest_ms as f64);
        metrics::gauge!("clickwire_lag_messages", "partition" => partition).set(last.left as f64);
    }

    fn batch(&self, clicks: Vec<Received>) -> Batch {
        Batch { partition: self.number, clicks }
    }

    /// The database refuses the content of some click: halve until it is found.
    fn refused(&self, mut clicks: Vec<Received>, error: &sqlx::Error) -> Refused {
        if let [only] = clicks.as_slice() {
            return Refused::One(only.stream_seq, Unprocessable::Refused(error.to_string()));
        }
        let second = clicks.split_off(clicks.len() / 2);
        Refused::Halves(clicks, second)
    }

    /// Sets a message aside. As long as there is no room for it, the partition stands still. False if we
    /// are to stop before.
    async fn dead_letter(
        &self,
        batch: &[Fetched],
        stream_seq: u64,
        poison: &Unprocessable,
        stop: &CancellationToken,
    ) -> Result<bool, Unavailable> {
        let Some(fetched) = batch.iter().find(|fetched| fetched.stream_seq == stream_seq) else {
            return Ok(true);
        };
        let message = &fetched.message;
        let mut backoff = Backoff::default();
        failpoint::reached("before_dead_letter");
        loop {
            match self.dead_letters.store(&message.subject, stream_seq, message.payload.clone(), poison).await
            {
                Ok(()) => break,
                Err(error) if error.is_full() => self.health.waiting_for(Service::DeadLetters, &error),
                Err(error) => return Err(error.into()),
            }
            tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(false) }
        }
        failpoint::reached("after_dead_letter");
        self.health.works(Service::DeadLetters);
        Ok(true)
    }
}

async fn acknowledge(batch: &[Fetched]) -> Result<(), Unavailable> {
    for fetched in batch {
        fetched.message.ack().await.map_err(Unavailable::Acknowledge)?;
    }
    Ok(())
}

impl Delivered {
    /// The next message; `None` when the subscription has ended.
    async fn next(&mut self) -> Option<Result<Message, MessagesError>> {
        match self.ahead.pop_front() {
            Some(message) => Some(message),
            None => self.messages.next().await,
        }
    }

    /// Tells the broker again and again that what it delivered is being worked on, so that an outage
    /// or a long commit doesn't hand it to another aggregator; ends with an error only.
    async fn keep_in_hand(&mut self, batch: &[Fetched], ack_wait: Duration) -> Unavailable {
        loop {
            // What was delivered during a batch that ended just before this may wait as long again.
            sleep(ack_wait / 4).await;
            while let Some(Some(message)) = self.messages.next().now_or_never() {
                let is_error = message.is_err();
                self.ahead.push_back(message);
                if is_error {
                    break;
                }
            }
            let in_hand = batch.iter().map(|fetched| &fetched.message);
            for message in in_hand.chain(self.ahead.iter().flatten()) {
                if let Err(error) = message.ack_with(AckKind::Progress).await {
                    return Unavailable::Acknowledge(error);
                }
            }
        }
    }

    /// Lets another aggregator have at once what was delivered to us but not begun.
    async fn hand_back(&mut self) -> Result<(), Unavailable> {
        while let Some(Some(Ok(message))) = self.next().now_or_never() {
            message.ack_with(AckKind::Nak(None)).await.map_err(Unavailable::Acknowledge)?;
        }
        Ok(())
    }
}

enum Refused {
    Halves(Vec<Received>, Vec<Received>),
    One(u64, Unprocessable),
}

impl From<Message> for Fetched {
    fn from(message: Message) -> Self {
        // Only a message that no stream delivered has no info; it reads as impossible in time.
        let nothing = (0, UnixMs::default(), 0, false);
        let (stream_seq, stored_at, left, is_redelivered) = message.info().map_or(nothing, |info| {
            let stored_at = UnixMs((info.published.unix_timestamp_nanos() / 1_000_000) as i64);
            (info.stream_sequence, stored_at, info.pending, info.delivered > 1)
        });
        Self { message, stream_seq, stored_at, left, is_redelivered }
    }
}
