//! When a minute is final: what was received of it is counted, and a later change is a correction.
//!
//! Each partition has a watermark, the time up to which what was received is counted. The
//! deployment's is the least of all. It follows the time of receipt, never the time that a client
//! claims, so one wrong clock closes no minute. A minute is provisional until the watermark, less
//! [`ALLOWANCE_MS`] for clicks under way, has passed its end.

use crate::MINUTE_MS;

/// How long after its end a minute stays open: for clicks that travel, and for those that servers
/// publish beside each other. Milliseconds.
pub const ALLOWANCE_MS: i64 = 3 * MINUTE_MS;

/// The deployment's watermark: the least of its partitions', each a number and Unix milliseconds.
/// `None` as long as a partition has none. Numbers from `partitions` on are not the deployment's:
/// it had more partitions once.
pub fn watermark_ms(by_partition: &[(i32, i64)], partitions: u16) -> Option<i64> {
    let ours = || by_partition.iter().filter(|(partition, _)| (0..i32::from(partitions)).contains(partition));
    if ours().count() < usize::from(partitions) {
        return None;
    }
    ours().map(|&(_, counted_until_ms)| counted_until_ms).min()
}

/// Minutes that end at or before this are final; a whole minute, in Unix milliseconds.
pub fn final_before_ms(watermark_ms: i64) -> i64 {
    (watermark_ms - ALLOWANCE_MS).div_euclid(MINUTE_MS) * MINUTE_MS
}

/// Whether a minute, counted from the Unix epoch, is final.
pub fn is_final(minute: i64, final_before_ms: i64) -> bool {
    (minute + 1) * MINUTE_MS <= final_before_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_partition_decides_and_a_missing_one_holds_back() {
        assert_eq!(watermark_ms(&[(0, 500), (1, 300), (2, 400)], 3), Some(300));
        assert_eq!(watermark_ms(&[(0, 500), (2, 400)], 3), None);
        assert_eq!(watermark_ms(&[(0, 500), (1, 400), (2, 1)], 2), Some(400), "left from more partitions");
        assert_eq!(watermark_ms(&[], 1), None);
    }

    #[test]
    fn a_minute_is_final_when_the_watermark_is_three_minutes_past_its_end() {
        let end_ms = 11 * MINUTE_MS;
        let is_final_at = |watermark_ms| is_final(10, final_before_ms(watermark_ms));
        assert!(!is_final_at(end_ms + ALLOWANCE_MS - 1));
        assert!(is_final_at(end_ms + ALLOWANCE_MS));
        assert!(!is_final(11, final_before_ms(end_ms + ALLOWANCE_MS)));
    }
}
