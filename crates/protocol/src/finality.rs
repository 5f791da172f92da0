//! Final minutes: what was received of one is counted, and a later change of it is a correction.
//!
//! Each partition has a watermark, the time up to which what was received is counted. The
//! deployment's is the least of all. It follows the time of receipt, never the time that a client
//! claims, so one wrong clock closes no minute. A minute is provisional until the watermark, less
//! [`ALLOWANCE_MS`] for clicks under way, has passed its end.

use serde::{Deserialize, Serialize};

use crate::{
    MINUTE_MS,
    times::{Minute, UnixMs},
};

/// Milliseconds that a minute stays open after its end: for clicks that travel, and for those that servers
/// publish beside each other.
pub const ALLOWANCE_MS: i64 = 3 * MINUTE_MS;

/// The deployment's watermark: the least of its partitions', each a number and a time.
/// `None` as long as a partition has none. Numbers from `partitions` on are not the deployment's:
/// it had more partitions once.
pub fn watermark(by_partition: &[(i32, UnixMs)], partitions: u16) -> Option<UnixMs> {
    let ours = || by_partition.iter().filter(|(partition, _)| (0..i32::from(partitions)).contains(partition));
    if ours().count() < usize::from(partitions) {
        return None;
    }
    ours().map(|&(_, counted_until)| counted_until).min()
}

/// Progress of the counting of a view, as the server that tells of it knows: live messages carry it.
///
/// The difference of the two times is how far the view is behind. A client measures what passes after the message by
/// a clock of its own, so no clock of a client has to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Time at which this was so, by the server's clock.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub at_ms: UnixMs,
    /// The watermark: what was received before it is counted and in the view. Absent until all partitions have
    /// counted something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub counted_until_ms: Option<UnixMs>,
    /// Minutes that end at or before this are final, later ones provisional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<i64>))]
    pub final_before_ms: Option<UnixMs>,
}

impl Progress {
    /// The progress that a watermark means at a time.
    pub fn new(at: UnixMs, watermark: Option<UnixMs>) -> Self {
        Self { at_ms: at, counted_until_ms: watermark, final_before_ms: watermark.map(final_before) }
    }

    /// The lag of the view, in milliseconds; `None` if nothing is known to be counted.
    pub fn lag_ms(&self) -> Option<i64> {
        self.counted_until_ms.map(|counted_until| (self.at_ms - counted_until).max(0))
    }
}

/// Minutes that end at or before this are final; the start of a minute.
pub fn final_before(watermark: UnixMs) -> UnixMs {
    (watermark - ALLOWANCE_MS).minute().start()
}

/// Returns whether a minute is final.
pub fn is_final(minute: Minute, final_before: UnixMs) -> bool {
    minute.end() <= final_before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_partition_decides_and_a_missing_one_holds_back() {
        let watermark = |by_partition: &[(i32, i64)], partitions| {
            let times: Vec<_> = by_partition.iter().map(|&(number, at)| (number, UnixMs(at))).collect();
            watermark(&times, partitions)
        };
        assert_eq!(watermark(&[(0, 500), (1, 300), (2, 400)], 3), Some(UnixMs(300)));
        assert_eq!(watermark(&[(0, 500), (2, 400)], 3), None);
        assert_eq!(
            watermark(&[(0, 500), (1, 400), (2, 1)], 2),
            Some(UnixMs(400)),
            "left from more partitions"
        );
        assert_eq!(watermark(&[], 1), None);
    }

    #[test]
    fn progress_says_what_is_missing_and_leaves_out_what_is_not_known() {
        let at = UnixMs(10 * MINUTE_MS + 500);
        let behind = Progress::new(at, Some(UnixMs(9 * MINUTE_MS)));
        assert_eq!(
            (behind.lag_ms(), behind.final_before_ms),
            (Some(MINUTE_MS + 500), Some(UnixMs(6 * MINUTE_MS)))
        );
        assert_eq!(Progress::new(at, Some(at + 700)).lag_ms(), Some(0), "clocks differ a little");
        let unknown = Progress::new(at, None);
        assert_eq!(unknown.lag_ms(), None);
        assert_eq!(serde_json::to_string(&unknown).unwrap(), r#"{"at_ms":600500}"#);
    }

    #[test]
    fn a_minute_is_final_when_the_watermark_is_three_minutes_past_its_end() {
        let minute = Minute(10);
        let is_final_at = |watermark| is_final(minute, final_before(watermark));
        assert!(!is_final_at(minute.end() + ALLOWANCE_MS - 1));
        assert!(is_final_at(minute.end() + ALLOWANCE_MS));
        assert!(!is_final(minute + 1, final_before(minute.end() + ALLOWANCE_MS)));
    }
}
