//! The lake from outside: whether clicks wait for it on the stream for too long, whatever it waits for itself, and
//! whether it runs or not.

use async_nats::jetstream::Context;
use clickwire_ledger::incidents::Observation;
use clickwire_process::now_ms;
use clickwire_protocol::{
    alerts::{Kind, Severity},
    stream::Names,
};
use futures_util::TryStreamExt as _;
use serde_json::json;
use sqlx::PgConnection;

use super::broker::stored_after;
use crate::config::Config;

/// A stream that is as full as this refuses clicks soon, in percent.
const NEARLY_FULL: u64 = 50;

/// A lake in use.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Attachment {
    /// The service that it has said it waits for.
    waiting_for: Option<String>,
}

/// The lake that is in use, if one is.
pub(super) async fn attachment(connection: &mut PgConnection) -> Result<Option<Attachment>, sqlx::Error> {
    sqlx::query_as("SELECT waiting_for FROM lake_attachment").fetch_optional(connection).await
}

impl Attachment {
    /// The oldest click that is not archived, if it is too old. Nothing is lost before the stream is full: then it
    /// is critical.
    pub(super) async fn observe(
        self,
        nats: &Context,
        config: &Config,
    ) -> anyhow::Result<Option<Observation>> {
        let names = config.names();
        let stream = nats.get_stream(names.stream()).await?;
        // Of several the newest one reads. Without any nothing is archived of what the stream has.
        let mut floor = 0;
        let mut consumers = stream.consumers();
        while let Some(consumer) = consumers.try_next().await? {
            if consumer.name.starts_with(Names::LAKE_CONSUMER) {
                floor = floor.max(consumer.ack_floor.stream_sequence);
            }
        }
        let info = stream.cached_info();
        let (last, bytes) = (info.state.last_sequence, info.state.bytes);
        if info.state.messages == 0 || floor >= last {
            return Ok(None);
        }
        let Some(oldest_ms) = stored_after(&stream, &names.subjects(), floor).await? else { return Ok(None) };
        let oldest_seconds = now_ms().saturating_sub(oldest_ms) / 1_000;
        if oldest_seconds < i64::from(config.alert_lake_seconds) {
            return Ok(None);
        }
        let full_percent = bytes.saturating_mul(100) / u64::try_from(info.config.max_bytes.max(1))?;
        Ok(Some(Observation {
            kind: Kind::LakeStalled,
            subject: names.stream().to_owned(),
            advertiser: None,
            campaign: None,
            severity: if full_percent >= NEARLY_FULL { Severity::Critical } else { Severity::Warning },
            details: json!({
                "oldest_seconds": oldest_seconds,
                "messages": last - floor,
                "stream_full_percent": full_percent,
                "waiting_for": self.waiting_for,
            }),
        }))
    }
}
