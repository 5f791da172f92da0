//! Parameters of every rule with units and bounds, for checks on the server and for input forms: rules that
//! judge clicks ([`Rule`](super::Rule)), and rules that open incidents ([`Spike`], [`FraudRate`]).

use crate::alerts::{FraudRate, Spike};

use super::{MAX_THRESHOLD, MAX_WINDOW_SECONDS, NEWEST_LIST};

/// The names of all rules: those that judge, in the order of precedence, then those that open incidents.
pub const NAMES: [&str; 9] = [
    "user_agent",
    "data_center",
    "prefetch",
    "duplicate",
    "ip_velocity",
    "user_velocity",
    "forged_click_id",
    "campaign_spike",
    "fraud_rate",
];

/// The unit of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Clicks.
    Clicks,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Percent of clicks.
    Percent,
    /// Median absolute deviations.
    Deviations,
    /// The number of a list.
    Number,
}

/// A parameter of a rule: a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the API.
    pub name: &'static str,
    /// The parameter's unit.
    pub unit: Unit,
    /// The least that it can be.
    pub minimum: u32,
    /// The most that it can be; `None`: any number.
    pub maximum: Option<u32>,
}

impl Parameter {
    const fn new(name: &'static str, unit: Unit, minimum: u32, maximum: u32) -> Self {
        Self { name, unit, minimum, maximum: Some(maximum) }
    }

    const fn any(name: &'static str, unit: Unit) -> Self {
        Self { name, unit, minimum: 0, maximum: None }
    }

    /// Returns whether the parameter can be this number.
    pub fn takes(&self, number: u32) -> bool {
        number >= self.minimum && self.maximum.is_none_or(|maximum| number <= maximum)
    }
}

const VELOCITY: [Parameter; 2] = [
    Parameter::new("threshold", Unit::Clicks, 1, MAX_THRESHOLD),
    Parameter::new("window_seconds", Unit::Seconds, 1, MAX_WINDOW_SECONDS),
];

const DUPLICATE: [Parameter; 1] = [Parameter::new("window_seconds", Unit::Seconds, 1, MAX_WINDOW_SECONDS)];

const USER_AGENT: [Parameter; 1] = [Parameter::new("list", Unit::Number, 1, NEWEST_LIST)];

const SPIKE: [Parameter; 3] = [
    Parameter::any("deviations", Unit::Deviations),
    Parameter::any("minimum_clicks", Unit::Clicks),
    Parameter::new("window_minutes", Unit::Minutes, Spike::MIN_WINDOW_MINUTES, Spike::MAX_WINDOW_MINUTES),
];

const RATE: [Parameter; 4] = [
    Parameter::new("warning_percent", Unit::Percent, 1, 100),
    Parameter::new("critical_percent", Unit::Percent, 1, 100),
    Parameter::any("minimum_clicks", Unit::Clicks),
    Parameter::new("window_minutes", Unit::Minutes, 1, FraudRate::MAX_WINDOW_MINUTES),
];

/// The rule of this name, as [`NAMES`] has it.
pub fn named(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// The parameters of a rule, all of which it needs; none of a rule that is not known.
pub fn of(rule: &str) -> &'static [Parameter] {
    match rule {
        "user_agent" => &USER_AGENT,
        "duplicate" => &DUPLICATE,
        "ip_velocity" | "user_velocity" => &VELOCITY,
        "campaign_spike" => &SPIKE,
        "fraud_rate" => &RATE,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::{Map, Value, json};

    use super::{
        super::{Mode, Rule, Setting},
        *,
    };

    /// Returns whether a rule takes these parameters, as their readers have it.
    fn is_read(rule: &str, parameters: &Value) -> bool {
        match (Rule::named(rule), rule) {
            // Which lists there are is known to those who have them.
            (Some(Rule::UserAgent), _) => Setting::new(Rule::UserAgent, Mode::Flag, parameters)
                .is_ok_and(|setting| setting.list <= NEWEST_LIST),
            (Some(rule), _) => Setting::new(rule, Mode::Flag, parameters).is_ok(),
            (None, "campaign_spike") => Spike::deserialize(parameters).is_ok_and(|spike| spike.is_valid()),
            (None, _) => FraudRate::deserialize(parameters).is_ok_and(|rate| rate.is_valid()),
        }
    }

    #[test]
    fn every_rule_is_here_and_takes_what_its_bounds_say() {
        assert_eq!(NAMES[..Rule::ALL.len()], Rule::ALL.map(Rule::as_str));
        for rule in NAMES {
            let most = |parameter: &Parameter| parameter.maximum.unwrap_or(1_000_000);
            let all: Map<String, Value> =
                of(rule).iter().map(|one| (one.name.to_owned(), json!(most(one)))).collect();
            assert!(is_read(rule, &json!(all)), "{rule} {all:?}");
            for parameter in of(rule) {
                let with = |number: i64| {
                    let mut all = all.clone();
                    // One share bounds the other.
                    if let Some(warning) = all.get_mut("warning_percent") {
                        *warning = json!(1);
                    }
                    all.insert(parameter.name.to_owned(), json!(number));
                    json!(all)
                };
                let (least, most) = (i64::from(parameter.minimum), i64::from(most(parameter)));
                for (number, expected) in
                    [(least - 1, false), (least, true), (most, true), (most + 1, parameter.maximum.is_none())]
                {
                    let name = parameter.name;
                    assert_eq!(is_read(rule, &with(number)), expected, "{rule}: {name} = {number}");
                    if let Ok(number) = u32::try_from(number) {
                        assert_eq!(parameter.takes(number), expected, "{rule}: {name} = {number}");
                    }
                }
            }
        }
        assert_eq!((named("fraud_rate"), named("nonsense")), (Some("fraud_rate"), None));
    }
}
