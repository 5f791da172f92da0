//! The fraud rules in force: which version of which rule judges a click.
//!
//! Read anew in each batch's transaction. A change takes effect a little after it was made, so no
//! batch can be under way that holds clicks which the change concerns and has not seen it.

use std::{collections::BTreeMap, error::Error};

use clickwire_process::now_ms;
use clickwire_protocol::{
    rules::{Mode, Rule, Setting},
    times::UnixMs,
};
use clickwire_robots::NEWEST;
use serde_json::Value;
use sqlx::PgConnection;

use crate::schema::COMPRESSION_DAYS;

/// A click is judged, and others because of it, at most so long after it was received.
const JUDGED_FOR_MS: i64 = COMPRESSION_DAYS as i64 * 86_400_000;

/// Every version of every rule that judges clicks which may still come.
#[derive(Debug, Default)]
pub(crate) struct Rules(BTreeMap<Rule, Vec<Version>>);

/// One version of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) number: i32,
    /// Judges clicks received from here on.
    pub(crate) effective_at_ms: UnixMs,
    pub(crate) setting: Setting,
}

/// The reach of a rule, over all its versions that are asked at all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) window_ms: i64,
    pub(crate) lowest_threshold: u32,
    pub(crate) highest_threshold: u32,
}

impl Rules {
    /// Reads the rules.
    pub(crate) async fn load(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, i32, String, String, UnixMs)> = sqlx::query_as(
            "SELECT rule, version, mode, parameters::text, (extract(epoch FROM effective_at) * 1000)::bigint \
               FROM fraud_rules ORDER BY rule, effective_at",
        )
        .fetch_all(connection)
        .await?;
        let mut rules = Self::default();
        for (rule, number, mode, parameters, effective_at_ms) in rows {
            // Rules that judge no click stand in the same table.
            let Some(rule) = Rule::named(&rule) else { continue };
            match setting(rule, &mode, &parameters) {
                Ok(setting) => rules.add(rule, Version { number, effective_at_ms, setting }),
                // Written round the API, or for a newer program. The version before it stays in force.
                Err(error) => tracing::error!(rule = rule.as_str(), version = number, %error, "rule ignored"),
            }
        }
        rules.forget_before(UnixMs(now_ms()) - JUDGED_FOR_MS);
        Ok(rules)
    }

    /// Forgets what judged only clicks that were received before this time.
    fn forget_before(&mut self, received_at_ms: UnixMs) {
        for versions in self.0.values_mut() {
            let superseded = versions.windows(2).take_while(|pair| pair[1].effective_at_ms <= received_at_ms);
            versions.drain(..superseded.count());
        }
    }

    /// Adds a version that is later than all others of its rule.
    pub(crate) fn add(&mut self, rule: Rule, version: Version) {
        self.0.entry(rule).or_default().push(version);
    }

    /// Returns the same rules with one that has always been as `setting` says.
    pub(crate) fn with(mut self, rule: Rule, setting: Setting) -> Self {
        self.0.insert(rule, vec![Version { number: 0, effective_at_ms: UnixMs(i64::MIN), setting }]);
        self
    }

    /// The version that judges a click received at this time, unless it is off.
    pub(crate) fn at(&self, rule: Rule, received_at_ms: UnixMs) -> Option<&Version> {
        let versions = self.0.get(&rule)?;
        let in_force = versions.iter().rev().find(|version| version.effective_at_ms <= received_at_ms)?;
        (in_force.setting.mode != Mode::Off).then_some(in_force)
    }

    /// The reach of a rule; `None` if no version of it was ever asked.
    pub(crate) fn reach(&self, rule: Rule) -> Option<Reach> {
        let settings = || {
            let versions = self.0.get(&rule).into_iter().flatten();
            versions.map(|version| version.setting).filter(|setting| setting.mode != Mode::Off)
        };
        Some(Reach {
            window_ms: settings().map(|setting| setting.window_ms()).max()?,
            lowest_threshold: settings().map(|setting| setting.threshold).min()?,
            highest_threshold: settings().map(|setting| setting.threshold).max()?,
        })
    }
}

fn setting(rule: Rule, mode: &str, parameters: &str) -> Result<Setting, Box<dyn Error + Send + Sync>> {
    let mode: Mode = serde_json::from_value(Value::from(mode))?;
    let setting = Setting::new(rule, mode, &serde_json::from_str(parameters)?)?;
    if setting.list > NEWEST {
        return Err(format!("there is no list {}; the newest here is {NEWEST}", setting.list).into());
    }
    Ok(setting)
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// The rules as the migration leaves them.
    pub(crate) fn defaults() -> Rules {
        let mut rules = Rules::default();
        for (rule, parameters) in [
            (Rule::UserAgent, json!({"list": NEWEST})),
            (Rule::DataCenter, json!({})),
            (Rule::Prefetch, json!({})),
            (Rule::ForgedClickId, json!({})),
            (Rule::Duplicate, json!({"window_seconds": 60})),
            (Rule::IpVelocity, json!({"threshold": 100, "window_seconds": 60})),
            (Rule::UserVelocity, json!({"threshold": 50, "window_seconds": 60})),
        ] {
            let setting = Setting::new(rule, Mode::Flag, &parameters).unwrap();
            rules.add(rule, Version { number: 1, effective_at_ms: UnixMs(0), setting });
        }
        rules
    }

    #[test]
    fn a_click_is_judged_by_the_version_in_force_when_it_was_received() {
        let mut rules = defaults();
        let version = |number, effective_at_ms, mode, threshold| Version {
            number,
            effective_at_ms: UnixMs(effective_at_ms),
            setting: Setting { mode, threshold, window_seconds: 60, list: 0 },
        };
        rules.add(Rule::IpVelocity, version(2, 1_000, Mode::Off, 500));
        rules.add(Rule::IpVelocity, version(3, 2_000, Mode::ReportOnly, 20));
        let at = |rules: &Rules, received_at_ms| {
            rules.at(Rule::IpVelocity, UnixMs(received_at_ms)).map(|version| version.number)
        };
        assert_eq!(
            [at(&rules, 0), at(&rules, 999), at(&rules, 1_000), at(&rules, 1_999), at(&rules, 2_000)],
            [Some(1), Some(1), None, None, Some(3)]
        );
        let reach = rules.reach(Rule::IpVelocity).unwrap();
        assert_eq!(
            (reach.lowest_threshold, reach.highest_threshold),
            (20, 100),
            "what is off counts nothing"
        );
        assert!(Rules::default().reach(Rule::Duplicate).is_none());

        rules.forget_before(UnixMs(1_999));
        let reach = rules.reach(Rule::IpVelocity).unwrap();
        assert_eq!((at(&rules, 1_999), at(&rules, 2_000), reach.highest_threshold), (None, Some(3), 20));
        rules.forget_before(UnixMs(i64::MAX));
        assert_eq!(at(&rules, i64::MAX), Some(3), "the last one stays in force");
    }
}
