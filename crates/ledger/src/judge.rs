//! The judging of a click: its disposition, and the time that it is counted under.
//!
//! First what follows from the click alone ([`Judge::examine`]); then what the rules found about it
//! beside other clicks is added to the evidence; last the verdict follows from all of it
//! ([`Verdict::from_evidence`]). Time never matters: a redelivered click is judged alike whenever
//! and by whomever it is read.

use std::{collections::HashMap, time::Duration};

use clickwire_protocol::{
    click::{Click, IdFault},
    counts::Disposition,
    rules::{Mode, Rule},
    times::UnixMs,
};

use crate::rules::Rules;

/// The longest time that a client's clock may be ahead.
pub(crate) const AHEAD: Duration = Duration::from_secs(5 * 60);

/// User agents remembered; the most frequent ones are few.
const REMEMBERED_AGENTS: usize = 4_096;

/// The reason why a click is defective, in the ledger.
const TOO_LATE: &str = "too_late";
const EXPIRED: &str = "expired";

/// The rules that apply to a click, in order of precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence(u8);

const _: () = assert!(Rule::ALL.len() <= u8::BITS as usize, "a bit for each rule");

impl Evidence {
    /// Reads the ledger's names; unknown ones are from rules that no longer exist.
    pub(crate) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut evidence = Self::default();
        names.into_iter().filter_map(Rule::named).for_each(|rule| evidence.add(rule));
        evidence
    }

    pub(crate) fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u8;
    }

    pub(crate) fn contains(self, rule: Rule) -> bool {
        self.0 & 1 << rule as u8 != 0
    }

    pub(crate) fn rules(self) -> impl Iterator<Item = Rule> + Clone {
        Rule::ALL.into_iter().filter(move |&rule| self.contains(rule))
    }
}

/// The result of examining a click by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Examined {
    /// The time that the click is counted under.
    pub(crate) counted_at_ms: UnixMs,
    /// The reason why the click is decided already: no rule is asked, and the click speaks against no other.
    pub(crate) outside: Option<Outside>,
    /// The rules that apply to the click alone.
    pub(crate) evidence: Evidence,
    /// The kind of robot that the user agent declares.
    pub(crate) robot: Option<&'static str>,
}

/// The reason why a click is outside what rules judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outside {
    /// The click is a test: posted with a test key, or by somebody who tries a link out.
    Test,
    /// The click is later than the horizon allows.
    TooLate,
    /// The click has a redirect's id that is no longer good.
    Expired,
}

/// A click's disposition and the rule behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) disposition: Disposition,
    /// The rule that decided, by the name and version that the ledger keeps.
    pub(crate) rule: Option<(&'static str, i32)>,
}

impl Verdict {
    /// The verdict on a click that was examined, before it is seen beside others.
    pub(crate) fn alone(examined: &Examined, received_at_ms: UnixMs, rules: &Rules) -> Self {
        match examined.outside {
            Some(Outside::Test) => Self { disposition: Disposition::Test, rule: None },
            Some(Outside::TooLate) => Self { disposition: Disposition::Defective, rule: Some((TOO_LATE, 1)) },
            Some(Outside::Expired) => Self { disposition: Disposition::Defective, rule: Some((EXPIRED, 1)) },
            None => Self::from_evidence(examined.evidence, received_at_ms, rules),
        }
    }

    /// The first rule of the evidence that flags decides.
    pub(crate) fn from_evidence(evidence: Evidence, received_at_ms: UnixMs, rules: &Rules) -> Self {
        evidence
            .rules()
            .find_map(|rule| {
                let version = rules.at(rule, received_at_ms)?;
                (version.setting.mode == Mode::Flag).then(|| Self {
                    disposition: rule.disposition(),
                    rule: Some((rule.as_str(), version.number)),
                })
            })
            .unwrap_or(Self { disposition: Disposition::Valid, rule: None })
    }
}

/// Examines clicks.
pub(crate) struct Judge {
    horizon_ms: i64,
    /// The kind of robot of a user agent, by the list of this number.
    robots: HashMap<String, (u32, Option<&'static str>)>,
}

impl Judge {
    pub(crate) fn new(horizon: Duration) -> Self {
        clickwire_robots::prepare();
        Self { horizon_ms: horizon.as_millis() as i64, robots: HashMap::new() }
    }

    /// Examines a click by itself.
    ///
    /// A click from the future is counted under its receive time. So is one from before the
    /// horizon, as defective: it is seen, and nothing is ever written to a range of time that
    /// retention may have dropped.
    pub(crate) fn examine(&mut self, click: &Click, rules: &Rules) -> Examined {
        let (claimed, received) = (click.clicked_at_ms, click.received_at_ms);
        let is_late = claimed < received - self.horizon_ms;
        let is_ahead = claimed > received + AHEAD.as_millis() as i64;
        let outside = match (click.test, is_late, click.id_fault) {
            (true, ..) => Some(Outside::Test),
            (false, true, _) => Some(Outside::TooLate),
            (false, false, Some(IdFault::Expired)) => Some(Outside::Expired),
            (false, false, Some(IdFault::Forged) | None) => None,
        };
        let mut evidence = Evidence::default();
        let mut robot = None;
        if outside.is_none() {
            let version = rules.at(Rule::UserAgent, received).filter(|_| !click.own_agent);
            robot = version.and_then(|version| self.robot(version.setting.list, &click.user_agent));
            for (rule, applies) in [
                (Rule::UserAgent, robot.is_some()),
                (Rule::DataCenter, click.data_center),
                (Rule::Prefetch, click.prefetch),
                (Rule::ForgedClickId, click.id_fault == Some(IdFault::Forged)),
            ] {
                if applies && rules.at(rule, received).is_some() {
                    evidence.add(rule);
                }
            }
        }
        let counted_at_ms = if is_late || is_ahead { received } else { claimed };
        Examined { counted_at_ms, outside, evidence, robot }
    }

    /// The kind of robot that a user agent declares by a list; `None` for a person's browser.
    fn robot(&mut self, list: u32, user_agent: &str) -> Option<&'static str> {
        if let Some(&(of_list, known)) = self.robots.get(user_agent)
            && of_list == list
        {
            return known;
        }
        let robot = clickwire_robots::kind(list, user_agent);
        if self.robots.len() >= REMEMBERED_AGENTS {
            self.robots.clear();
        }
        self.robots.insert(user_agent.to_owned(), (list, robot));
        robot
    }
}

#[cfg(test)]
mod instructions;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::click,
        rules::{Version, tests::defaults},
    };

    const DAY_MS: i64 = 86_400_000;

    fn judge() -> Judge {
        Judge::new(Duration::from_millis(DAY_MS as u64))
    }

    fn disposition(click: &Click, rules: &Rules) -> Disposition {
        let examined = judge().examine(click, rules);
        Verdict::alone(&examined, click.received_at_ms, rules).disposition
    }

    #[test]
    fn time_is_the_clients_inside_the_window_and_the_servers_outside() {
        let now = 1_800_000_000_000;
        for (claimed, counted_at_ms, expected) in [
            (now, now, Disposition::Valid),
            (now - DAY_MS, now - DAY_MS, Disposition::Valid),
            (now - DAY_MS - 1, now, Disposition::Defective),
            (i64::MIN / 2, now, Disposition::Defective),
            (now + 300_000, now + 300_000, Disposition::Valid),
            (now + 300_001, now, Disposition::Valid),
        ] {
            let click = click(1, claimed, now);
            assert_eq!(
                judge().examine(&click, &defaults()).counted_at_ms,
                UnixMs(counted_at_ms),
                "{claimed}"
            );
            assert_eq!(disposition(&click, &defaults()), expected, "{claimed}");
        }
    }

    #[test]
    fn declared_robots_and_empty_user_agents_are_invalid_traffic() {
        let mut judge = judge();
        for (agent, is_robot) in [
            ("", true),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", true),
            ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", true),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", false),
        ] {
            let mut click = click(1, 0, 0);
            click.user_agent = agent.into();
            for _ in ["first seen", "remembered"] {
                let examined = judge.examine(&click, &defaults());
                assert_eq!(examined.evidence.contains(Rule::UserAgent), is_robot, "{agent}");
            }
        }
    }

    #[test]
    fn the_first_rule_that_flags_decides_and_all_that_apply_are_kept() {
        let mut robot = click(1, 0, 0);
        robot.user_agent = String::new();
        robot.data_center = true;
        let mut rules = defaults();
        let examined = judge().examine(&robot, &rules);
        let mut evidence = examined.evidence;
        evidence.add(Rule::IpVelocity);
        let names: Vec<&str> = evidence.rules().map(Rule::as_str).collect();
        assert_eq!(names, ["user_agent", "data_center", "ip_velocity"]);
        assert_eq!(Evidence::named(names), evidence);
        let verdict = |rules: &Rules| Verdict::from_evidence(evidence, UnixMs(0), rules);
        assert_eq!(
            verdict(&rules),
            Verdict { disposition: Disposition::Givt, rule: Some(("user_agent", 1)) }
        );
        for rule in [Rule::UserAgent, Rule::DataCenter] {
            let mut version = *rules.at(rule, UnixMs(0)).unwrap();
            version.setting.mode = Mode::ReportOnly;
            rules.add(rule, Version { number: 2, ..version });
        }
        assert_eq!(
            verdict(&rules),
            Verdict { disposition: Disposition::Sivt, rule: Some(("ip_velocity", 1)) }
        );
    }

    #[test]
    fn a_prefetch_a_forged_id_and_an_expired_one_are_told_apart() {
        let rules = defaults();
        let judged = |change: &dyn Fn(&mut Click)| {
            let mut click = click(1, 0, 0);
            change(&mut click);
            let examined = judge().examine(&click, &rules);
            let verdict = Verdict::alone(&examined, UnixMs(0), &rules);
            (verdict.disposition, verdict.rule.map(|(name, _)| name))
        };
        assert_eq!(judged(&|click| click.prefetch = true), (Disposition::Givt, Some("prefetch")));
        let forged = |click: &mut Click| click.id_fault = Some(IdFault::Forged);
        let expired = |click: &mut Click| click.id_fault = Some(IdFault::Expired);
        assert_eq!(judged(&forged), (Disposition::Sivt, Some("forged_click_id")));
        assert_eq!(judged(&expired), (Disposition::Defective, Some("expired")));
        let late = |click: &mut Click| {
            expired(click);
            click.clicked_at_ms = UnixMs(-DAY_MS - 1);
        };
        assert_eq!(judged(&late), (Disposition::Defective, Some("too_late")));
        let test = |click: &mut Click| {
            late(click);
            click.test = true;
        };
        assert_eq!(judged(&test), (Disposition::Test, None));
    }

    #[test]
    fn test_clicks_and_late_clicks_are_outside_of_the_rules() {
        let (mut test, mut late) = (click(1, 0, 0), click(2, -DAY_MS - 1, 0));
        test.test = true;
        for click in [&mut test, &mut late] {
            click.user_agent = String::new();
            assert_eq!(judge().examine(click, &defaults()).evidence, Evidence::default());
        }
        assert_eq!(disposition(&test, &defaults()), Disposition::Test);
        assert_eq!(disposition(&late, &defaults()), Disposition::Defective);
        late.test = true;
        assert_eq!(disposition(&late, &defaults()), Disposition::Test);
    }
}
