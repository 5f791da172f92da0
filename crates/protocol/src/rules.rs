//! Fraud rules: what they are called, what they can be set to, what they make of a click.
//!
//! A rule has a mode and parameters; every change makes a new version, in force from a moment on. A
//! click is judged by the versions that were in force when it was received.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use crate::counts::Disposition;

pub mod parameters;
pub mod preview;

/// A rule, in the order of precedence: the first that applies and flags decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The user agent is empty or declares a robot.
    UserAgent,
    /// The address belongs to a data centre.
    DataCenter,
    /// No person was there to see it: a browser's prefetch, a `HEAD` request or a link preview.
    Prefetch,
    /// The same user clicked the same ad shortly before.
    Duplicate,
    /// One address clicks faster than people do.
    IpVelocity,
    /// One user clicks faster than people do.
    UserVelocity,
    /// The click bears an id that no redirect has signed for this ad.
    ForgedClickId,
}

impl Rule {
    /// Every rule, in the order of precedence.
    pub const ALL: [Self; 7] = [
        Self::UserAgent,
        Self::DataCenter,
        Self::Prefetch,
        Self::Duplicate,
        Self::IpVelocity,
        Self::UserVelocity,
        Self::ForgedClickId,
    ];

    /// The name in the ledger and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserAgent => "user_agent",
            Self::DataCenter => "data_center",
            Self::Prefetch => "prefetch",
            Self::Duplicate => "duplicate",
            Self::IpVelocity => "ip_velocity",
            Self::UserVelocity => "user_velocity",
            Self::ForgedClickId => "forged_click_id",
        }
    }

    /// The rule of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == name)
    }

    /// The disposition of a click that this rule decides.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::UserAgent | Self::DataCenter | Self::Prefetch => Disposition::Givt,
            Self::Duplicate => Disposition::Duplicate,
            Self::IpVelocity | Self::UserVelocity | Self::ForgedClickId => Disposition::Sivt,
        }
    }
}

/// The mode of a rule: its effect where it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RuleMode))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The rule is not asked.
    Off,
    /// The rule is kept as evidence and decides nothing.
    ReportOnly,
    /// The rule decides.
    Flag,
}

/// One version of a rule. Parameters that the rule does not have are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The rule's mode.
    pub mode: Mode,
    /// More clicks than this in one window are too many.
    pub threshold: u32,
    /// Length of the half-open window, in seconds.
    pub window_seconds: u32,
    /// The number of the list of robots that judges.
    pub list: u32,
}

/// The reason why parameters can't be a rule's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    /// The rule has no such parameter, or the value is no number.
    #[error("{rule} takes {expected}")]
    Parameters {
        /// The rule's name.
        rule: &'static str,
        /// The parameters it has.
        expected: &'static str,
    },
    /// A window that is empty or too long to be looked through for each click.
    #[error("window_seconds must be from 1 to {MAX_WINDOW_SECONDS}")]
    Window,
    /// A threshold that every click exceeds, or too high to be counted for each click.
    #[error("threshold must be from 1 to {MAX_THRESHOLD}")]
    Threshold,
}

/// Longest window, in seconds.
pub const MAX_WINDOW_SECONDS: u32 = 3_600;

/// Highest threshold, in clicks.
pub const MAX_THRESHOLD: u32 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Velocity {
    threshold: u32,
    window_seconds: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    window_seconds: u32,
}

/// The list of robots of versions that name none: there was no other.
pub const FIRST_LIST: u32 = 1;

/// The newest list of robots.
pub const NEWEST_LIST: u32 = 2;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default = "first_list")]
    list: u32,
}

fn first_list() -> u32 {
    FIRST_LIST
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl Setting {
    /// Reads a rule's parameters: all of them, and no others.
    pub fn new(rule: Rule, mode: Mode, parameters: &Value) -> Result<Self, Invalid> {
        let invalid = |expected| move |_| Invalid::Parameters { rule: rule.as_str(), expected };
        let setting = match rule {
            Rule::UserAgent => {
                let Listed { list } = Listed::deserialize(parameters).map_err(invalid("list"))?;
                if list == 0 {
                    return Err(Invalid::Parameters { rule: rule.as_str(), expected: "a list from 1 on" });
                }
                return Ok(Self { mode, threshold: 0, window_seconds: 0, list });
            }
            Rule::DataCenter | Rule::Prefetch | Rule::ForgedClickId => {
                let Nothing {} = Nothing::deserialize(parameters).map_err(invalid("no parameters"))?;
                return Ok(Self { mode, threshold: 0, window_seconds: 0, list: 0 });
            }
            Rule::Duplicate => {
                let Repeat { window_seconds } =
                    Repeat::deserialize(parameters).map_err(invalid("window_seconds"))?;
                Self { mode, threshold: 1, window_seconds, list: 0 }
            }
            Rule::IpVelocity | Rule::UserVelocity => {
                let Velocity { threshold, window_seconds } =
                    Velocity::deserialize(parameters).map_err(invalid("threshold and window_seconds"))?;
                Self { mode, threshold, window_seconds, list: 0 }
            }
        };
        if !(1..=MAX_WINDOW_SECONDS).contains(&setting.window_seconds) {
            return Err(Invalid::Window);
        }
        if !(1..=MAX_THRESHOLD).contains(&setting.threshold) {
            return Err(Invalid::Threshold);
        }
        Ok(setting)
    }

    /// The parameters as [`Setting::new`] reads them.
    pub fn parameters(&self, rule: Rule) -> Value {
        match rule {
            Rule::UserAgent => json!({"list": self.list}),
            Rule::DataCenter | Rule::Prefetch | Rule::ForgedClickId => json!({}),
            Rule::Duplicate => json!({"window_seconds": self.window_seconds}),
            Rule::IpVelocity | Rule::UserVelocity => {
                json!({"threshold": self.threshold, "window_seconds": self.window_seconds})
            }
        }
    }

    /// Length of the window, in milliseconds.
    pub fn window_ms(&self) -> i64 {
        i64::from(self.window_seconds) * 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_back_as_they_were_written_and_nonsense_is_refused() {
        let velocity = json!({"threshold": 100, "window_seconds": 60});
        for (rule, parameters) in [
            (Rule::UserAgent, json!({"list": 2})),
            (Rule::DataCenter, json!({})),
            (Rule::Prefetch, json!({})),
            (Rule::ForgedClickId, json!({})),
            (Rule::Duplicate, json!({"window_seconds": 60})),
            (Rule::IpVelocity, velocity.clone()),
            (Rule::UserVelocity, velocity.clone()),
        ] {
            let setting = Setting::new(rule, Mode::Flag, &parameters).unwrap();
            assert_eq!(setting.parameters(rule), parameters, "{rule:?}");
            assert_eq!(Rule::named(rule.as_str()), Some(rule));
        }
        let unnamed = Setting::new(Rule::UserAgent, Mode::Flag, &json!({})).map(|setting| setting.list);
        assert_eq!(unnamed, Ok(FIRST_LIST), "as the first version was written");
        for (rule, parameters) in [
            (Rule::UserAgent, velocity),
            (Rule::UserAgent, json!({"list": -1})),
            (Rule::DataCenter, json!({"list": 2})),
            (Rule::Duplicate, json!({})),
            (Rule::Duplicate, json!({"window_seconds": 0})),
            (Rule::IpVelocity, json!({"threshold": 0, "window_seconds": 60})),
            (Rule::IpVelocity, json!({"threshold": -1, "window_seconds": 60})),
            (Rule::IpVelocity, json!({"threshold": 100})),
            (Rule::UserVelocity, json!({"threshold": 100, "window_seconds": 3_601})),
            (Rule::UserVelocity, json!({"threshold": 100, "window_seconds": 60, "x": 1})),
        ] {
            assert!(Setting::new(rule, Mode::Flag, &parameters).is_err(), "{rule:?} {parameters}");
        }
    }

    #[test]
    fn rules_stand_in_the_order_of_precedence() {
        let dispositions = Rule::ALL.map(Rule::disposition);
        let ranks = dispositions.map(|disposition| match disposition {
            Disposition::Givt => 1,
            Disposition::Duplicate => 2,
            Disposition::Sivt => 3,
            other => panic!("no rule makes a click {other:?}"),
        });
        assert!(ranks.is_sorted(), "{dispositions:?}");
        assert!(Rule::ALL.is_sorted());
    }
}
