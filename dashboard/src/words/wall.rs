//! Texts of the wall screen, which is read from afar.

use crate::{format, locale};

texts! {
    WALL = "Wall screen";
    WALL_OPEN = "Show on a wall screen";
    WALL_LEAVE = "Back to all advertisers (Esc)";
    TODAY = "Today";
    LAST_HOUR_ADVERTISERS = "Advertisers, last hour";
    LAST_HOUR_CAMPAIGNS = "Campaigns, last hour";
    TO_SCREEN = "Delay on screens";
    WALL_WAITING = "Connecting";
    WALL_LIVE = "Live";
    WALL_DELAYED = "Delayed";
    WALL_OFFLINE = "Offline";
    WALL_NOT_MEASURED = "the pipeline can’t be measured";
    NO_OPEN_INCIDENTS = "No open incidents";
    INCIDENTS_UNKNOWN = "Incidents are not known yet";
    NO_CLICKS_YET = "No clicks in the last hour";
}

/// Delay of the numbers.
pub fn wall_behind(ms: i64) -> String {
    let length = if ms < 10_000 {
        say!("{seconds} s", seconds = locale::number(ms as f64 / 1_000.0, 1))
    } else {
        super::age(ms)
    };
    say!("{length} behind the clock", length)
}

/// Time since which nothing new was measured or counted.
pub fn wall_stands(at: &str) -> String {
    say!("nothing new since {at}", at)
}

/// Time since which the server does not answer.
pub fn wall_away(at: &str) -> String {
    say!("no answer since {at}", at)
}

/// Time of the numbers.
pub fn wall_as_of(at: &str) -> String {
    say!("As of {at}", at)
}

/// Open incidents by their number.
pub fn open_incidents(count: i64) -> String {
    match count {
        1 => say!("1 open incident").to_owned(),
        count => say!("{count} open incidents", count = format::count(count)),
    }
}

/// Number of silenced incidents.
pub fn silenced_incidents(count: i64) -> String {
    say!("{count} silenced", count = format::count(count))
}

/// Time since which an incident is open.
pub fn open_since(at: &str) -> String {
    say!("since {at}", at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_incidents_and_delays_are_read_at_a_glance() {
        assert_eq!(
            [1, 2, 1_200].map(open_incidents),
            ["1 open incident", "2 open incidents", "1,200 open incidents"]
        );
        assert_eq!([7_300, 90_000].map(wall_behind), ["7.3 s behind the clock", "1 min behind the clock"]);
    }
}
