//! Taking a click in: check, enrich, publish; 202 only after the broker has acknowledged it.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use async_nats::{
    ConnectOptions, Subject,
    connection::State as ConnectionState,
    jetstream::{Context, ContextBuilder, message::PublishMessage},
};
use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, State, rejection::BytesRejection},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, USER_AGENT},
    },
};
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::{Accepted, Click, MAX_USER_AGENT_BYTES, PostedClick, UNKNOWN_COUNTRY},
    counts::Dimensions,
    stream::{Names, partition_of},
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{AppState, access::Poster, config::Config, error::Error};

/// Publishes waiting for the broker's acknowledgement, at most; further posts wait for their turn.
const MAX_IN_FLIGHT: usize = 4_096;

/// A connection whose other end is gone without a word is noticed after a few of these.
const PING_EVERY: Duration = Duration::from_secs(5);

/// The way into the stream.
#[derive(Clone)]
pub(crate) struct Intake {
    stream: Context,
    /// By partition.
    subjects: std::sync::Arc<[Subject]>,
    timeout: Duration,
}

/// `POST /api/v1/clicks`
pub(crate) async fn post_click(
    State(state): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    _poster: Poster,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Accepted>), Error> {
    if !is_json(&headers) {
        return Err(Error::UnsupportedMediaType);
    }
    let body = body.map_err(|_| Error::TooLarge)?;
    let posted = PostedClick::parse(&body).map_err(|rejection| {
        metrics::counter!("clickwire_clicks_rejected_total").increment(1);
        Error::Invalid(rejection)
    })?;
    let address = posted.ip_address.unwrap_or(peer.ip());
    let mut click = enrich(posted, &headers, state.addresses.hash(address));
    click.data_center = state.data_centers.contain(address);
    let is_duplicate = state.intake.publish(&click).await?;
    // No oracle: only the ledger judges, later.
    let accepted = Accepted { success: true, click_id: click.click_id, is_duplicate, is_fraudulent: false };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Adds what the client left out. The time of a click that names itself by a UUIDv7 is the one
/// inside it, so that a resend has the same.
fn enrich(posted: PostedClick, headers: &HeaderMap, ip_hash: String) -> Click {
    let received_at_ms = now_ms();
    let user_agent = posted.user_agent.unwrap_or_else(|| {
        let header = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        header.chars().take(MAX_USER_AGENT_BYTES).collect()
    });
    Click {
        clicked_at_ms: posted
            .clicked_at_ms
            .or_else(|| posted.click_id.as_ref().and_then(time_inside))
            .unwrap_or(received_at_ms),
        click_id: posted.click_id.unwrap_or_else(Uuid::now_v7),
        advertiser_id: posted.advertiser_id,
        dimensions: Dimensions {
            campaign_id: posted.campaign_id,
            ad_id: posted.ad_id,
            country: posted.country.unwrap_or_else(|| UNKNOWN_COUNTRY.to_owned()),
            device_type: posted.device_type.unwrap_or_default(),
        },
        user_id: posted.user_id,
        received_at_ms,
        user_agent,
        ip_hash: Some(ip_hash),
        data_center: false,
        test: false,
    }
}

/// The Unix milliseconds in a UUIDv7 (RFC 9562, section 5.7).
fn time_inside(id: &Uuid) -> Option<i64> {
    (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) as i64)
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

    /// Publishes a click and waits until the broker has it; says whether the broker had it before.
    ///
    /// While the broker is known to be away nothing is handed to the client library, which would keep
    /// it and send it later. What it has in hand at the moment of a break it may still send: that is
    /// why an error names the click's id, to send it again under.
    pub(crate) async fn publish(&self, click: &Click) -> Result<bool, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuidv7_carries_its_time() {
        let id = Uuid::parse_str("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").unwrap();
        assert_eq!(time_inside(&id), Some(1_645_557_742_000));
        assert_eq!(time_inside(&Uuid::from_u128(0x4000 << 64)), None);
    }

    #[test]
    fn content_types_are_compared_by_essence() {
        for (value, expected) in
            [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/plain", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
