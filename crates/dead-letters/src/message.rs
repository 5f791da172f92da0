//! Reading messages of the stream of clicks: a click, or poison with its reason. The aggregator reads
//! them so, and what is to be replayed must pass the same.

use std::time::Duration;

use clickwire_protocol::{click::Click, times::UnixMs};
use thiserror::Error;

/// A reason why a message can never be counted, whoever tries.
#[derive(Debug, Error)]
pub enum Unprocessable {
    /// The message is not a click at all.
    #[error("not a click: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Its receive time can't be true.
    #[error("received_at_ms {} is more than a day after the broker stored it", .received_at_ms.0)]
    ImpossibleTime {
        /// The receive time in the message.
        received_at_ms: UnixMs,
    },
    /// The click is older than the stream can hold.
    #[error("received {late_hours} hours too long ago: its range of time may be dropped already")]
    TooOld {
        /// The time by which it is too old, in hours.
        late_hours: i64,
    },
    /// The database says that something is wrong in it.
    #[error("the database refuses its content: {0}")]
    Refused(String),
}

impl Unprocessable {
    /// A short, stable name for metrics and for the dead letter's header.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::ImpossibleTime { .. } => "impossible_time",
            Self::TooOld { .. } => "too_old",
            Self::Refused(_) => "refused",
        }
    }
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Returns the earliest time from which clicks may be counted now: as old as a stream that keeps messages for
/// `stream_max_age` can hold them, and the day more that a server's spool may have had them before.
pub fn oldest(now: UnixMs, stream_max_age: Duration) -> UnixMs {
    now - stream_max_age.as_millis() as i64 - DAY_MS
}

/// Reads a message that the broker stored at `stored_at`; `oldest` bounds how far back clicks
/// may be counted (what lies before may already be dropped by retention).
pub fn read(payload: &[u8], stored_at: UnixMs, oldest: UnixMs) -> Result<Click, Unprocessable> {
    let click: Click = serde_json::from_slice(payload)?;
    if click.received_at_ms.0 > stored_at.0.saturating_add(DAY_MS) {
        return Err(Unprocessable::ImpossibleTime { received_at_ms: click.received_at_ms });
    }
    if click.received_at_ms < oldest {
        let late_hours = oldest.0.saturating_sub(click.received_at_ms.0) / HOUR_MS;
        return Err(Unprocessable::TooOld { late_hours });
    }
    Ok(click)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_can_never_be_counted_says_why() {
        let now_ms = 1_800_000_000_000;
        let now = UnixMs(now_ms);
        let oldest = oldest(now, Duration::from_secs(24 * 3600));
        let received = |received_at_ms: i64| {
            json!({"click_id": Uuid::from_u128(1), "advertiser_id": "adv_001", "campaign_id": "camp_001",
                "ad_id": "ad_001", "country": "ZZ", "device_type": "other", "clicked_at_ms": now_ms,
                "received_at_ms": received_at_ms})
            .to_string()
        };
        for (payload, code) in [
            ("{}".to_owned(), "unreadable"),
            (received(now_ms + 2 * DAY_MS), "impossible_time"),
            (received(now_ms - 2 * DAY_MS - HOUR_MS), "too_old"),
        ] {
            assert_eq!(read(payload.as_bytes(), now, oldest).unwrap_err().code(), code);
        }
        assert!(read(received(now_ms - 2 * DAY_MS).as_bytes(), now, oldest).is_ok());
    }
}
