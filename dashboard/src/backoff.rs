//! Waits before connecting again: exponential, with full jitter, so that the dashboards
//! of a gateway that went away don't all come back at the same moment. No wait is longer than a person
//! would accept: a screen is live again within 5 s after its gateway is back.

/// The longest first wait, in milliseconds.
const BASE_MS: f64 = 250.0;

/// The longest wait of all, in milliseconds.
const CAP_MS: f64 = 4_000.0;

/// The wait before attempt number `attempt` (from 0), in milliseconds: between nothing and twice
/// the limit of the attempt before. `chance` is uniform in [0, 1).
pub fn delay_ms(attempt: u32, chance: f64) -> u32 {
    let limit = (BASE_MS * 2_f64.powi(attempt.min(30) as i32)).min(CAP_MS);
    (limit * chance.clamp(0.0, 1.0)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_the_cap() {
        let limits: Vec<u32> = (0..9).map(|attempt| delay_ms(attempt, 1.0)).collect();
        assert_eq!(limits, [250, 500, 1000, 2000, 4000, 4000, 4000, 4000, 4000]);
        assert_eq!(delay_ms(u32::MAX, 1.0), 4_000);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(delay_ms(5, 0.0), 0);
        assert_eq!(delay_ms(1, 0.25), 125);
    }
}
