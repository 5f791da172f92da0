//! A version of a rule as it is entered: its setting, and the errors of its parameters.

use clickwire_protocol::rules::{self, parameters};
use serde_json::{Map, Value};

use super::difference::Setting;
use crate::words;

/// The mode and the parameters as they are entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// The mode.
    pub(super) mode: String,
    /// Texts in the fields of the parameters, in the order of [`parameters::of`].
    pub(super) texts: Vec<String>,
}

/// The modes that a rule can have: one that judges no click flags none.
pub(super) fn modes(rule: &str) -> &'static [&'static str] {
    if judges(rule) { &["flag", "report_only", "off"] } else { &["report_only", "off"] }
}

/// Returns whether a rule judges clicks; the others open incidents.
pub(super) fn judges(rule: &str) -> bool {
    rules::Rule::named(rule).is_some()
}

impl Draft {
    /// Returns the draft of a version's setting.
    pub(super) fn of(rule: &str, setting: &Setting) -> Self {
        let text = |name: &str| match setting.parameters.get(name) {
            Some(value) => value.to_string(),
            None => String::new(),
        };
        let texts = parameters::of(rule).iter().map(|parameter| text(parameter.name)).collect();
        Self { mode: setting.mode.clone(), texts }
    }

    fn number(&self, index: usize) -> Option<u32> {
        self.texts.get(index)?.trim().parse().ok()
    }

    /// Returns the error of a parameter, if it has one.
    pub(super) fn fault(&self, rule: &str, index: usize) -> Option<String> {
        let all = parameters::of(rule);
        let parameter = all.get(index)?;
        let number = self.number(index).filter(|number| parameter.takes(*number));
        let Some(number) = number else { return Some(words::parameter_bounds(parameter)) };
        let warning = all.iter().position(|one| one.name == "warning_percent")?;
        let is_below =
            parameter.name == "critical_percent" && self.number(warning).is_some_and(|least| number < least);
        is_below.then(|| words::critical_below_warning().to_owned())
    }

    /// Returns the setting, if the rule takes it.
    pub(super) fn setting(&self, rule: &str) -> Option<Setting> {
        let all = parameters::of(rule);
        if (0..all.len()).any(|index| self.fault(rule, index).is_some()) {
            return None;
        }
        let numbers = all
            .iter()
            .enumerate()
            .map(|(index, parameter)| Some((parameter.name.to_owned(), Value::from(self.number(index)?))));
        let parameters = numbers.collect::<Option<Map<_, _>>>()?;
        Some(Setting { mode: self.mode.clone(), parameters: Value::Object(parameters) })
    }
}

/// Returns the parameter that a server's message about `parameters` names; `None`: it is about all of them.
pub(super) fn named_in(rule: &str, message: &str) -> Option<usize> {
    let begins = |name: &str| message.split_whitespace().next() == Some(name);
    parameters::of(rule).iter().position(|parameter| begins(parameter.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draft(rule: &str, parameters: Value) -> Draft {
        Draft::of(rule, &Setting { mode: "flag".to_owned(), parameters })
    }

    #[test]
    fn what_is_stored_is_entered_and_says_the_same() {
        for (rule, parameters) in [
            ("user_agent", json!({"list": 2})),
            ("data_center", json!({})),
            ("duplicate", json!({"window_seconds": 60})),
            ("user_velocity", json!({"threshold": 50, "window_seconds": 60})),
            ("campaign_spike", json!({"deviations": 6, "minimum_clicks": 30, "window_minutes": 60})),
            (
                "fraud_rate",
                json!({"warning_percent": 3, "critical_percent": 5, "minimum_clicks": 30, "window_minutes": 10}),
            ),
        ] {
            let draft = draft(rule, parameters.clone());
            assert_eq!(draft.setting(rule).map(|setting| setting.parameters), Some(parameters), "{rule}");
        }
        assert_eq!(draft("user_agent", json!({})).setting("user_agent"), None, "which list is to be said");
    }

    #[test]
    fn what_a_rule_does_not_take_is_said_at_its_field() {
        for (text, is_fine) in [
            ("100", true),
            (" 7 ", true),
            ("0", false),
            ("10001", false),
            ("-1", false),
            ("1.5", false),
            ("", false),
            ("many", false),
        ] {
            let mut draft = draft("ip_velocity", json!({"threshold": 1, "window_seconds": 60}));
            draft.texts[0] = text.to_owned();
            assert_eq!(draft.fault("ip_velocity", 0).is_none(), is_fine, "{text}");
            assert_eq!(draft.setting("ip_velocity").is_some(), is_fine, "{text}");
            assert_eq!(draft.fault("ip_velocity", 1), None);
        }
        let shares = |warning: u32, critical: u32| {
            draft(
                "fraud_rate",
                json!({"warning_percent": warning, "critical_percent": critical, "minimum_clicks": 30, "window_minutes": 10}),
            )
        };
        assert_eq!(shares(5, 5).fault("fraud_rate", 1), None);
        assert_eq!(shares(6, 5).fault("fraud_rate", 1).as_deref(), Some(words::critical_below_warning()));
    }

    #[test]
    fn a_message_of_the_servers_is_found_its_field() {
        assert_eq!(named_in("ip_velocity", "window_seconds must be from 1 to 3600"), Some(1));
        assert_eq!(named_in("fraud_rate", "critical_percent must not be below warning_percent"), Some(1));
        assert_eq!(named_in("ip_velocity", "ip_velocity takes threshold and window_seconds"), None);
    }

    #[test]
    fn a_rule_that_judges_no_click_flags_none() {
        assert!(modes("ip_velocity").contains(&"flag") && judges("ip_velocity"));
        assert!(!modes("fraud_rate").contains(&"flag") && !judges("fraud_rate"));
    }
}
