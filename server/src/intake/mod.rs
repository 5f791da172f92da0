//! Taking clicks in: check, enrich, publish; an answer only after the broker has acknowledged.
//!
//! - [`admission`]: who may post, and how much
//! - [`post`]: one click; [`idempotency`]: the same post again
//! - [`enrich`]: what a click is given that its sender left out; [`browsers`]: from its user agent
//! - [`batch`]: many clicks

pub(crate) mod admission;
pub(crate) mod batch;
mod browsers;
pub(crate) mod enrich;
pub(crate) mod idempotency;
pub(crate) mod post;

use std::time::Duration;

use anyhow::Context as _;
use async_nats::{
    ConnectOptions, Subject,
    connection::State as ConnectionState,
    jetstream::{Context, ContextBuilder, message::PublishMessage},
};
use axum::http::{HeaderMap, header::CONTENT_TYPE};
use clickwire_protocol::{
    click::Click,
    stream::{Names, partition_of},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{config::Config, error::Error};

/// Publishes waiting for the broker's acknowledgement, at most; further posts wait for their turn.
const MAX_IN_FLIGHT: usize = 4_096;

/// A connection whose other end is gone without a word is noticed after a few of these.
const PING_EVERY: Duration = Duration::from_secs(5);

/// What a sender does when it is told to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// It sends the click again: a program.
    Repeats,
    /// It is gone: a browser on its way to the advertiser.
    Leaves,
}

/// The way into the stream.
#[derive(Clone)]
pub(crate) struct Intake {
    stream: Context,
    /// By partition.
    subjects: std::sync::Arc<[Subject]>,
    timeout: Duration,
}

impl Intake {
    /// Connects in the background and for ever again.
    pub(crate) async fn connect(config: &Config) -> anyhow::Result<Self> {
        let client = ConnectOptions::new()
            .name("clickwire-server")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(PING_EVERY)
            .event_callback(|event| async move { tracing::debug!(%event, "broker") })
            .connect(&config.nats_url)
            .await
            .context("CLICKWIRE_NATS_URL")?;
        let timeout = Duration::from_millis(config.publish_timeout_ms);
        let stream = ContextBuilder::new()
            .timeout(timeout)
            .ack_timeout(timeout)
            .max_ack_inflight(MAX_IN_FLIGHT)
            .backpressure_on_inflight(true)
            .build(client);
        let names = Names::new(&config.stream);
        let subjects = (0..config.partitions).map(|partition| names.subject(partition).into()).collect();
        Ok(Self { stream, subjects, timeout })
    }

    /// Takes a click in; returns when it can't be lost any more, and whether it was known before.
    pub(crate) async fn take(&self, click: &Click, sender: Sender) -> Result<bool, Error> {
        match sender {
            Sender::Repeats | Sender::Leaves => self.publish(click).await,
        }
    }

    /// Publishes a click and waits until the broker has it; says whether the broker had it before.
    ///
    /// While the broker is known to be away nothing is handed to the client library, which would keep
    /// it and send it later. What it has in hand at the moment of a break it may still send: that is
    /// why an error names the click's id, to send it again under.
    async fn publish(&self, click: &Click) -> Result<bool, Error> {
        let failed = |cause: String| Error::Broker { click_id: click.click_id, cause };
        if !self.is_connected() {
            return Err(failed("not connected".to_owned()));
        }
        let started = Instant::now();
        let partition = partition_of(&click.dimensions.ad_id, self.subjects.len() as u16);
        let payload = serde_json::to_vec(click).map_err(|error| failed(error.to_string()))?;
        let mut id = Uuid::encode_buffer();
        let message = PublishMessage::build()
            .message_id(&*click.click_id.hyphenated().encode_lower(&mut id))
            .payload(payload.into());
        let publish = async {
            self.stream.send_publish(self.subjects[usize::from(partition)].clone(), message).await?.await
        };
        let stored = tokio::time::timeout(self.timeout, publish)
            .await
            .map_err(|_| failed("no acknowledgement in time".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        metrics::counter!("clickwire_clicks_accepted_total").increment(1);
        metrics::histogram!("clickwire_broker_ack_seconds").record(started.elapsed());
        Ok(stored.duplicate)
    }

    /// The connection, for others that talk to the broker.
    pub(crate) fn jetstream(&self) -> &Context {
        &self.stream
    }

    /// Whether there is a connection to the broker at this moment.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.client().connection_state() == ConnectionState::Connected
    }
}

/// The type of a body without its parameters, in lower case.
fn essence(headers: &HeaderMap) -> String {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_compared_by_essence() {
        for (value, expected) in [
            ("application/json", "application/json"),
            ("Application/JSON; charset=utf-8", "application/json"),
            ("text/plain", "text/plain"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(essence(&headers), expected, "{value}");
        }
        assert_eq!(essence(&HeaderMap::new()), "");
    }
}
