//! Incidents seen at the broker: clicks that wait too long to be counted or archived, dead letters, and streams on too
//! few brokers.

use std::{collections::BTreeMap, time::Duration};

use async_nats::jetstream::{
    Context, consumer,
    stream::{Info, RawMessageErrorKind, Stream},
};
use clickwire_ledger::incidents::Observation;
use clickwire_process::{nats::timeline_of, now_ms};
use clickwire_protocol::alerts::{Kind, Severity};
use futures_util::TryStreamExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::lake::Attachment;
use crate::{
    config::Config,
    replicas::{self, Replicas},
};

/// A broker that does not answer by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kinds of which the broker knows.
const KINDS: [Kind; 4] = [Kind::StreamReplicas, Kind::Lag, Kind::LakeStalled, Kind::DeadLetters];

/// Observations, and the kinds that were observed completely.
pub(super) struct Found {
    pub(super) observations: Vec<Observation>,
    pub(super) seen: Vec<Kind>,
}

impl Found {
    /// Every kind was observed completely.
    pub(super) fn is_whole(&self) -> bool {
        KINDS.iter().all(|kind| self.seen.contains(kind))
    }
}

/// Returns the observations of the streams, and of the lake, if one is in use.
pub(super) async fn observe(
    nats: &Context,
    config: &Config,
    lake: Option<Attachment>,
    shortages: &mut Shortages,
) -> anyhow::Result<Found> {
    let asked = async {
        let copies = replicas::observe(nats, config).await?;
        let patience = Duration::from_secs(config.alert_replicas_seconds.into());
        let mut observations = shortages.observe(&copies, patience, Instant::now());
        let mut seen = vec![Kind::StreamReplicas];
        // Of a stream that is not there, or that nobody leads, nothing more can be asked.
        let is_led =
            |name: &str| copies.iter().any(|(known, replicas)| known == name && replicas.current > 0);
        if is_led(config.names().stream()) {
            observations.extend(lag(nats, config).await?);
            if let Some(lake) = lake {
                observations.extend(lake.observe(nats, config).await?);
            }
            seen.extend([Kind::Lag, Kind::LakeStalled]);
        }
        if is_led(&config.names().dead_letter_stream()) {
            observations.extend(dead_letters(nats, config).await?);
            seen.push(Kind::DeadLetters);
        }
        anyhow::Ok(Found { observations, seen })
    };
    timeout(PATIENCE, asked).await?
}

/// Times since which streams have been on fewer brokers than they should be, by stream. A broker that is restarted is
/// back in a moment, and is no incident.
#[derive(Default)]
pub(super) struct Shortages(BTreeMap<String, Instant>);

impl Shortages {
    fn observe(
        &mut self,
        copies: &[(String, Replicas)],
        patience: Duration,
        now: Instant,
    ) -> Vec<Observation> {
        let mut observations = Vec::new();
        for (stream, replicas) in copies {
            if !replicas.is_short() {
                self.0.remove(stream);
                continue;
            }
            let since = self.0.entry(stream.clone()).or_insert(now);
            if now.duration_since(*since) >= patience {
                observations.push(Observation {
                    kind: Kind::StreamReplicas,
                    subject: stream.clone(),
                    advertiser: None,
                    campaign: None,
                    severity: if replicas.has_majority() { Severity::Warning } else { Severity::Critical },
                    details: json!({ "wanted": replicas.wanted, "current": replicas.current }),
                });
            }
        }
        observations
    }
}

/// The oldest click that nobody has counted, if it is too old.
async fn lag(nats: &Context, config: &Config) -> anyhow::Result<Option<Observation>> {
    let names = config.names();
    let stream = nats.get_stream(names.stream()).await?;
    // An archiver's may wait as long as it likes, and those of older timelines are read by nobody.
    let consumers: Vec<_> = stream.consumers().try_collect().await?;
    let timeline = |consumer: &consumer::Info| timeline_of(&consumer.name, config.consumers());
    let present = consumers.iter().filter_map(timeline).max();
    let mut oldest_ms = i64::MAX;
    for consumer in consumers.iter().filter(|consumer| present.is_some() && timeline(consumer) == present) {
        if consumer.num_pending + consumer.num_ack_pending as u64 > 0 {
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

/// Returns the time at which the first message after `floor` was stored, in ms since the Unix epoch; `None` if there is
/// none.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_short_of_copies_for_a_while_before_somebody_is_called() {
        let patience = Duration::from_secs(60);
        let mut shortages = Shortages::default();
        let begun = Instant::now();
        let mut observe = |seconds, current| {
            let copies = [("CLICKS".to_owned(), Replicas { wanted: 3, current })];
            let now = begun + Duration::from_secs(seconds);
            shortages.observe(&copies, patience, now).first().map(|observation| observation.severity)
        };
        for (seconds, current, severity) in [
            (0, 2, None),
            (30, 3, None),
            (40, 2, None),
            (99, 2, None),
            (100, 2, Some(Severity::Warning)),
            (101, 1, Some(Severity::Critical)),
            (102, 0, Some(Severity::Critical)),
            (103, 3, None),
        ] {
            assert_eq!(observe(seconds, current), severity, "{current} of 3 after {seconds} s");
        }
    }
}
