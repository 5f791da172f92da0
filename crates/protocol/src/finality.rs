//! When a minute is final: what was received of it is counted, and a later change is a correction.
//!
//! Each partition has a watermark, the time up to which what was received is counted. The
//! deployment's is the least of all. It follows the time of receipt, never the time that a client
//! claims, so one wrong clock closes no minute. A minute is provisional until the watermark, less
//! [`ALLOWANCE_MS`] for clicks under way, has passed its end.

use crate::{
    MINUTE_MS,
    times::{Minute, UnixMs},
};

/// How long after its end a minute stays open: for clicks that travel, and for those that servers
/// publish beside each other. Milliseconds.
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

/// Minutes that end at or before this are final; the start of a minute.
pub fn final_before(watermark: UnixMs) -> UnixMs {
    (watermark - ALLOWANCE_MS).minute().start()
}

/// Whether a minute is final.
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
    fn a_minute_is_final_when_the_watermark_is_three_minutes_past_its_end() {
        let minute = Minute(10);
        let is_final_at = |watermark| is_final(minute, final_before(watermark));
        assert!(!is_final_at(minute.end() + ALLOWANCE_MS - 1));
        assert!(is_final_at(minute.end() + ALLOWANCE_MS));
        assert!(!is_final(minute + 1, final_before(minute.end() + ALLOWANCE_MS)));
    }
}
