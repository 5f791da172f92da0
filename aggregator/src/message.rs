//! Reading messages: a click, or poison with its reason.

use clickwire_protocol::click::Click;
use thiserror::Error;

/// A click with its place in the stream.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) click: Click,
    pub(crate) stream_seq: u64,
}

/// Why a message can never be counted, whoever tries.
#[derive(Debug, Error)]
pub(crate) enum Poison {
    #[error("not a click: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("received_at_ms {received_at_ms} is more than a day after the broker stored it")]
    ImpossibleTime { received_at_ms: i64 },
    #[error("received {late_hours} hours too long ago: its range of time may be dropped already")]
    TooOld { late_hours: i64 },
    #[error("the database refuses its content: {0}")]
    Refused(String),
}

impl Poison {
    /// A short, stable name for metrics and for the dead letter's header.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::ImpossibleTime { .. } => "impossible_time",
            Self::TooOld { .. } => "too_old",
            Self::Refused(_) => "refused",
        }
    }
}

const DAY_MS: i64 = 86_400_000;

/// Reads a message that the broker stored at `stored_at_ms`; `oldest_ms` bounds how far back clicks
/// may be counted (what lies before may already be dropped by retention).
pub(crate) fn read(payload: &[u8], stored_at_ms: i64, oldest_ms: i64) -> Result<Click, Poison> {
    let click: Click = serde_json::from_slice(payload)?;
    if click.received_at_ms > stored_at_ms.saturating_add(DAY_MS) {
        return Err(Poison::ImpossibleTime { received_at_ms: click.received_at_ms });
    }
    if click.received_at_ms < oldest_ms {
        let late_hours = oldest_ms.saturating_sub(click.received_at_ms) / 3_600_000;
        return Err(Poison::TooOld { late_hours });
    }
    Ok(click)
}

#[cfg(test)]
pub(crate) mod tests {
    use clickwire_protocol::{
        click::UNKNOWN_COUNTRY,
        counts::{DeviceType, Dimensions},
    };
    use uuid::Uuid;

    use super::*;

    pub(crate) fn click(id: u128, clicked_at_ms: i64, received_at_ms: i64) -> Click {
        Click {
            click_id: Uuid::from_u128(id),
            advertiser_id: "adv_001".into(),
            dimensions: Dimensions {
                campaign_id: "camp_001".into(),
                ad_id: "ad_001".into(),
                country: UNKNOWN_COUNTRY.into(),
                device_type: DeviceType::Other,
            },
            user_id: None,
            clicked_at_ms,
            received_at_ms,
            user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".into(),
            ip_hash: None,
        }
    }

    #[test]
    fn what_can_never_be_counted_says_why() {
        let now = 1_800_000_000_000;
        let wire = |click: &Click| serde_json::to_vec(click).unwrap();
        assert!(read(&wire(&click(1, 0, now)), now, now - DAY_MS).is_ok());
        assert_eq!(read(b"{}", now, 0).unwrap_err().code(), "unreadable");
        let strange = click(1, now, now + 2 * DAY_MS);
        assert_eq!(read(&wire(&strange), now, 0).unwrap_err().code(), "impossible_time");
        let replayed = click(1, now, now - DAY_MS / 2);
        assert_eq!(read(&wire(&replayed), now, now - DAY_MS / 4).unwrap_err().code(), "too_old");
    }
}
