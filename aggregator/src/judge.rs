//! What a click is counted as, and under which time.
//!
//! Everything here is a function of the click alone, so a redelivered click is judged alike
//! whenever and by whomever it is read.

use std::{collections::HashMap, time::Duration};

use clickwire_protocol::{click::Click, counts::Disposition};
use woothee::parser::Parser;

/// How far a client's clock may be ahead.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// User agents remembered; the most frequent ones are few.
const REMEMBERED_AGENTS: usize = 4_096;

/// A click's disposition and the rule behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) disposition: Disposition,
    pub(crate) rule: Option<Rule>,
    /// The time that the click is counted under; Unix time in milliseconds.
    pub(crate) counted_at_ms: i64,
}

/// Rules by the name and version that the ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The click came later than the horizon allows.
    TooLate,
    /// The user agent is empty or declares a robot.
    UserAgent,
}

impl Rule {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TooLate => "too_late",
            Self::UserAgent => "user_agent",
        }
    }

    pub(crate) fn version(self) -> i32 {
        match self {
            Self::TooLate | Self::UserAgent => 1,
        }
    }
}

/// Judges clicks.
pub(crate) struct Judge {
    horizon_ms: i64,
    parser: Parser,
    robots: HashMap<String, bool>,
}

impl Judge {
    pub(crate) fn new(horizon: Duration) -> Self {
        Self { horizon_ms: horizon.as_millis() as i64, parser: Parser::new(), robots: HashMap::new() }
    }

    /// The verdict on `click`.
    ///
    /// A click from the future is counted under its receive time. So is one from before the
    /// horizon, as defective: it is seen, and nothing is ever written to a range of time that
    /// retention may have dropped.
    pub(crate) fn verdict(&mut self, click: &Click) -> Verdict {
        let (claimed, received) = (click.clicked_at_ms, click.received_at_ms);
        if claimed < received - self.horizon_ms {
            let rule = Some(Rule::TooLate);
            return Verdict { disposition: Disposition::Defective, rule, counted_at_ms: received };
        }
        let counted_at_ms = if claimed > received + AHEAD.as_millis() as i64 { received } else { claimed };
        if self.is_robot(&click.user_agent) {
            return Verdict { disposition: Disposition::Givt, rule: Some(Rule::UserAgent), counted_at_ms };
        }
        Verdict { disposition: Disposition::Valid, rule: None, counted_at_ms }
    }

    /// Whether a user agent is empty or names a crawler, by woothee's published list.
    fn is_robot(&mut self, user_agent: &str) -> bool {
        if let Some(&known) = self.robots.get(user_agent) {
            return known;
        }
        let robot = user_agent.trim().is_empty()
            || self.parser.parse(user_agent).is_some_and(|agent| agent.category == "crawler");
        if self.robots.len() >= REMEMBERED_AGENTS {
            self.robots.clear();
        }
        self.robots.insert(user_agent.to_owned(), robot);
        robot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::click;

    const DAY_MS: i64 = 86_400_000;

    fn judge() -> Judge {
        Judge::new(Duration::from_millis(DAY_MS as u64))
    }

    #[test]
    fn time_is_the_clients_inside_the_window_and_the_servers_outside() {
        let now = 1_800_000_000_000;
        for (claimed, counted_at_ms, disposition) in [
            (now, now, Disposition::Valid),
            (now - DAY_MS, now - DAY_MS, Disposition::Valid),
            (now - DAY_MS - 1, now, Disposition::Defective),
            (i64::MIN / 2, now, Disposition::Defective),
            (now + 300_000, now + 300_000, Disposition::Valid),
            (now + 300_001, now, Disposition::Valid),
        ] {
            let verdict = judge().verdict(&click(1, claimed, now));
            assert_eq!(
                (verdict.counted_at_ms, verdict.disposition),
                (counted_at_ms, disposition),
                "{claimed}"
            );
        }
    }

    #[test]
    fn declared_robots_and_empty_user_agents_are_invalid_traffic() {
        let mut judge = judge();
        for (agent, disposition) in [
            ("", Disposition::Givt),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Disposition::Givt),
            ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", Disposition::Givt),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0",
                Disposition::Valid,
            ),
        ] {
            let mut click = click(1, 0, 0);
            click.user_agent = agent.into();
            assert_eq!(judge.verdict(&click).disposition, disposition, "{agent}");
            assert_eq!(judge.verdict(&click).disposition, disposition, "{agent}, remembered");
        }
    }
}
