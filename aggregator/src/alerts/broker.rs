//! What the broker holds that nobody counts or archives: clicks that wait too long, and dead letters.

use std::time::Duration;

use async_nats::jetstream::{
    Context,
    stream::{Info, RawMessageErrorKind, Stream},
};
use clickwire_ledger::incidents::Observation;
use clickwire_process::now_ms;
use clickwire_protocol::alerts::{Kind, Severity};
use futures_util::TryStreamExt as _;
use serde_json::json;
use tokio::time::timeout;

use super::lake::Attachment;
use crate::config::Config;

/// A broker that does not answer by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is the matter with the streams, and with the lake, if one is in use.
pub(super) async fn observe(
    nats: &Context,
    config: &Config,
    lake: Option<Attachment>,
) -> anyhow::Result<Vec<Observation>> {
    let asked = async {
        let mut observations: Vec<Observation> = lag(nats, config).await?.into_iter().collect();
        observations.extend(dead_letters(nats, config).await?);
        if let Some(lake) = lake {
            observations.extend(lake.observe(nats, config).await?);
        }
        anyhow::Ok(observations)
    };
    timeout(PATIENCE, asked).await?
}

/// The oldest click that nobody has counted, if it is too old.
async fn lag(nats: &Context, config: &Config) -> anyhow::Result<Option<Observation>> {
    let names = config.names();
    let stream = nats.get_stream(names.stream()).await?;
    let mut oldest_ms = i64::MAX;
    let mut consumers = stream.consumers();
    while let Some(consumer) = consumers.try_next().await? {
        // An archiver's may wait as long as it likes.
        let is_ours = (0..config.partitions).any(|partition| names.consumer(partition) == consumer.name);
        if is_ours && consumer.num_pending + consumer.num_ack_pending as u64 > 0 {
            let floor = consumer.ack_floor.stream_sequence;
            let waiting_ms = stored_after(&stream, &consumer.config.filter_subject, floor).await?;
            oldest_ms = oldest_ms.min(waiting_ms.unwrap_or(i64::MAX));
        }
    }
    let lag_seconds = now_ms().saturating_sub(oldest_ms).max(0) / 1_000;
    let is_late = lag_seconds >= i64::from(config.alert_lag_seconds);
    Ok(is_late.then(|| Observation {
        kind: Kind::Lag,
        subject: names.stream().to_owned(),
        advertiser: None,
        campaign: None,
        severity: Severity::Critical,
        details: json!({ "oldest_seconds": lag_seconds }),
    }))
}

/// When the first message after `floor` was stored; `None` if there is none.
pub(super) async fn stored_after(
    stream: &Stream<Info>,
    subject: &str,
    floor: u64,
) -> anyhow::Result<Option<i64>> {
    match stream.get_first_raw_message_by_subject(subject, floor + 1).await {
        Ok(message) => Ok(Some((message.time.unix_timestamp_nanos() / 1_000_000) as i64)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn dead_letters(nats: &Context, config: &Config) -> anyhow::Result<Option<Observation>> {
    let subject = config.names().dead_letter_stream();
    let messages = nats.get_stream(&subject).await?.cached_info().state.messages;
    Ok((messages > 0).then(|| Observation {
        kind: Kind::DeadLetters,
        subject,
        advertiser: None,
        campaign: None,
        severity: Severity::Warning,
        details: json!({ "messages": messages }),
    }))
}
