//! Texts for operators and administrators about the fraud rules.

use clickwire_protocol::rules::parameters::{Parameter, Unit};
use serde_json::Value;

use crate::format;

texts! {
    RULES = "Fraud rules";
    MODE = "Mode";
    MODE_FLAG = "Flag";
    MODE_REPORT_ONLY = "Report only";
    MODE_OFF = "Off";
    PARAMETERS = "Parameters";
    NO_PARAMETERS = "None";
    RULE_VERSION = "Version";
    IN_FORCE_SINCE = "In force since";
    NO_RULES = "No rules.";
    ITS_VERSIONS = "Versions of the rule";
    NO_SUCH_RULE = "There is no such rule.";
    IN_FORCE = "In force";
    REPLACED = "Replaced";
    FIRST_VERSION = "First version";
    SAME_AS_BEFORE = "Mode and parameters are those of the version before.";
    BEFORE_NOT_LOADED = "The version before is not loaded yet.";
    CHANGE_RULE = "Change";
    CHANGE_RULE_MORE = "Change…";
    RULE_REASON_HINT = "It is recorded with your name.";
    TO_BE_SAVED = "Difference to be saved";
    NOTHING_DIFFERS = "Nothing differs from the version in the list.";
    CHANGE_RULE_WHY = "The new version judges clicks that are received from two seconds later on. Clicks that were received before keep the version that judged them.";
    CHANGE_ALERT_WHY = "The new version is in force two seconds later.";
    BEGIN_AGAIN = "Begin again from the newest version";
}

/// Name of a rule's mode.
pub fn rule_mode(name: &str) -> &str {
    match name {
        "flag" => MODE_FLAG.get(),
        "report_only" => MODE_REPORT_ONLY.get(),
        "off" => MODE_OFF.get(),
        other => other,
    }
}

/// Meaning of a mode for a rule: some judge clicks, some open incidents.
pub fn rule_mode_why(name: &str, judges: bool) -> &'static str {
    match (name, judges) {
        ("flag", _) => say!("The rule decides the verdict of a click."),
        ("report_only", true) => say!("The rule is kept with a click as evidence and decides nothing."),
        ("report_only", false) => say!("The rule opens incidents. It judges no click."),
        ("off", true) => say!("Clicks are not compared with the rule."),
        ("off", false) => say!("The rule opens no incidents."),
        _ => "",
    }
}

/// Condition under which a rule applies.
pub fn rule_why(name: &str) -> String {
    match name {
        "campaign_spike" => {
            say!("A campaign has many more clicks in a minute than in the minutes before.").to_owned()
        }
        "fraud_rate" => say!("Too large a share of a campaign’s clicks is invalid.").to_owned(),
        other => super::evidence(other),
    }
}

/// Effect of a rule that applies: a verdict or an incident.
pub fn rule_makes(disposition: Option<&str>) -> &str {
    disposition.map_or(say!("Incident"), super::verdict)
}

/// The name of a parameter.
pub fn parameter(name: &str) -> String {
    match name {
        "threshold" => say!("Clicks at most").to_owned(),
        "window_seconds" | "window_minutes" => say!("Window").to_owned(),
        "list" => say!("List of robots").to_owned(),
        "deviations" => say!("Deviations above the median").to_owned(),
        "minimum_clicks" => say!("Clicks at least").to_owned(),
        "warning_percent" => say!("Warning from").to_owned(),
        "critical_percent" => say!("Critical from").to_owned(),
        other => other.replace('_', " "),
    }
}

/// The sign of a unit, behind a number.
fn sign(unit: Unit) -> &'static str {
    match unit {
        Unit::Clicks | Unit::Deviations | Unit::Number => "",
        Unit::Seconds => say!(" s"),
        Unit::Minutes => say!(" min"),
        Unit::Percent => " %",
    }
}

/// A unit in words; empty: the name of the parameter says it.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Clicks => say!("clicks"),
        Unit::Seconds => say!("seconds"),
        Unit::Minutes => say!("minutes"),
        Unit::Percent => say!("percent"),
        Unit::Deviations | Unit::Number => "",
    }
}

/// The label of the field of a parameter, with its unit.
pub fn parameter_field(parameter: &Parameter) -> String {
    let label = self::parameter(parameter.name);
    match unit(parameter.unit) {
        "" | "clicks" => label,
        unit => format!("{label}, {unit}"),
    }
}

/// The numbers that a parameter takes.
pub fn parameter_bounds(parameter: &Parameter) -> String {
    match parameter.maximum {
        Some(maximum) => super::expected_number(parameter.minimum, maximum),
        None => say!("A number from {minimum} on.", minimum = parameter.minimum),
    }
}

/// The value of a parameter with its unit; what is no number stays as it is.
pub fn parameter_value(unit: Option<Unit>, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(value) => match value.as_i64() {
            Some(number) => format!("{}{}", format::count(number), unit.map_or("", sign)),
            None => value.to_string(),
        },
    }
}

/// Parameters of a rule in words; `None`: they are not the known ones.
pub fn rule_parameters(rule: &str, parameters: &Value) -> Option<String> {
    let number = |name: &str| parameters.get(name)?.as_i64().map(format::count);
    Some(match rule {
        "user_agent" => say!("list {list}", list = number("list")?),
        "duplicate" => say!("again within {seconds} s", seconds = number("window_seconds")?),
        "ip_velocity" | "user_velocity" => {
            say!(
                "more than {clicks} clicks in {seconds} s",
                clicks = number("threshold")?,
                seconds = number("window_seconds")?
            )
        }
        "campaign_spike" => say!(
            "{deviations} deviations, window {minutes} min, at least {clicks} clicks",
            deviations = number("deviations")?,
            minutes = number("window_minutes")?,
            clicks = number("minimum_clicks")?
        ),
        "fraud_rate" => say!(
            "warning {warning} %, critical {critical} %, window {minutes} min, at least {clicks} clicks",
            warning = number("warning_percent")?,
            critical = number("critical_percent")?,
            minutes = number("window_minutes")?,
            clicks = number("minimum_clicks")?
        ),
        "data_center" | "prefetch" | "forged_click_id" => NO_PARAMETERS.to_string(),
        _ => return None,
    })
}

/// A version by its number.
pub fn version_number(version: i64) -> String {
    say!("Version {version}", version)
}

/// A version that is not in force yet.
pub fn in_force_from(at: &str) -> String {
    say!("From {at}", at)
}

/// Start of a version that has been in force from the beginning, and has no time.
pub fn since_beginning() -> &'static str {
    say!("the beginning")
}

/// Author of a version, and the reason for it.
pub fn made_by(by: &str, reason: &str) -> String {
    say!("By {person}: {reason}", person = super::person(by), reason)
}

/// A new version, and when it is in force.
pub fn rule_saved(version: i64, at: &str) -> String {
    say!("Version {version} is saved and in force from {at} on.", version, at)
}

/// Another administrator has made a version while a form was open.
pub fn changed_meanwhile(version: i64, by: &str, reason: &str, from: i64) -> String {
    say!(
        "{person} has made version {version} meanwhile: {reason}. This form is about version {from}, and can’t be saved.",
        person = super::person(by),
        version,
        reason,
        from
    )
}

/// The critical share is below that of a warning.
pub fn critical_below_warning() -> &'static str {
    say!("Must not be below the share of a warning.")
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::rules::parameters;
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_words_with_units() {
        let velocity = json!({"threshold": 1_000, "window_seconds": 60});
        let rate =
            json!({"warning_percent": 3, "critical_percent": 5, "minimum_clicks": 30, "window_minutes": 10});
        for (rule, parameters, expected) in [
            ("user_agent", json!({"list": 2}), Some("list 2")),
            ("user_agent", json!({}), None),
            ("data_center", json!({}), Some("None")),
            ("duplicate", json!({"window_seconds": 60}), Some("again within 60 s")),
            ("ip_velocity", velocity.clone(), Some("more than 1,000 clicks in 60 s")),
            ("fraud_rate", rate, Some("warning 3 %, critical 5 %, window 10 min, at least 30 clicks")),
            ("of_tomorrow", velocity, None),
        ] {
            assert_eq!(rule_parameters(rule, &parameters).as_deref(), expected, "{rule} {parameters}");
        }
    }

    #[test]
    fn a_field_says_its_unit_and_bounds() {
        let fields = |rule: &str| -> Vec<(String, String)> {
            parameters::of(rule).iter().map(|one| (parameter_field(one), parameter_bounds(one))).collect()
        };
        let pair = |label: &str, bounds: &str| (label.to_owned(), bounds.to_owned());
        assert_eq!(
            fields("ip_velocity"),
            [
                pair("Clicks at most", "A number, 1 to 10,000."),
                pair("Window, seconds", "A number, 1 to 3,600.")
            ]
        );
        assert_eq!(fields("campaign_spike")[1], pair("Clicks at least", "A number from 0 on."));
        assert_eq!(parameter_value(Some(Unit::Percent), Some(&json!(3))), "3 %");
        assert_eq!(parameter_value(None, Some(&json!("x"))), "\"x\"");
        assert_eq!(parameter_value(Some(Unit::Seconds), None), "–");
    }
}
