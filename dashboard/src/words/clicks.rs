//! Sentences about single clicks, their verdicts, and incidents.

use clickwire_protocol::alerts::{Alert, Kind};

use crate::format;

/// Name of a kind of incident.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::IpBurst => say!("Burst of one address"),
        Kind::UserBurst => say!("Burst of one user"),
        Kind::CampaignSpike => say!("Spike of a campaign"),
        Kind::FraudRate => say!("Invalid traffic"),
        Kind::Lag => say!("Clicks wait"),
        Kind::DeadLetters => say!("Dead letters"),
        Kind::BackgroundJob => say!("Background job"),
        Kind::Rollups => say!("Hours and days"),
        Kind::LakeStalled => say!("The lake stands still"),
        Kind::StreamReplicas => say!("Too few brokers have the stream"),
    }
}

/// Measurement of an incident.
pub fn measured(alert: &Alert) -> String {
    let number = |name: &str| alert.details.get(name).and_then(serde_json::Value::as_i64);
    let count = |name: &str| number(name).map(format::count);
    match (count("clicks"), number("invalid").zip(number("clicks")), count("limit")) {
        (Some(clicks), Some((invalid, all)), _) if all > 0 => {
            let share = format::percent(Some(invalid as f64 / all as f64));
            say!("{share} of {clicks} clicks", share, clicks)
        }
        (Some(clicks), _, Some(limit)) => say!("{clicks} clicks, limit {limit}", clicks, limit),
        (Some(clicks), _, None) => say!("{clicks} clicks", clicks),
        (None, ..) => match (number("oldest_seconds"), count("messages")) {
            (Some(seconds), _) => say!("{age} behind", age = super::age(seconds.saturating_mul(1_000))),
            (None, Some(messages)) if number("messages") == Some(1) => say!("{messages} message", messages),
            (None, Some(messages)) => say!("{messages} messages", messages),
            (None, None) => String::new(),
        },
    }
}

/// A part of the list of incidents.
pub fn part(name: Option<&str>) -> &'static str {
    match name {
        None => super::OPEN.get(),
        Some("resolved") => super::RESOLVED.get(),
        Some("silenced") => super::SILENCED.get(),
        Some(_) => say!("All"),
    }
}

/// A rule in a version.
pub fn rule_at(name: &str, version: i64) -> String {
    say!("Rule: {rule}, version {version}", rule = rule(name), version)
}

/// Mode of a rule, the time from which it is in force, and the person who set it.
pub fn rule_since(mode: &str, at: &str, by: &str) -> String {
    say!("{mode} since {at}, by {by}", mode = super::rule_mode(mode), at, by = super::person(by))
}

/// A rule has a newer version than the one in force when an incident was opened.
pub fn rule_changed_since(version: i64, at: &str) -> String {
    say!(
        "This version was in force when the incident was opened. The newest one is version {version}, from {at} on.",
        version,
        at
    )
}

/// Name of a verdict.
pub fn verdict(name: &str) -> &str {
    match name {
        "valid" => say!("Valid"),
        "duplicate" => say!("Duplicate"),
        "givt" => say!("General invalid traffic"),
        "sivt" => say!("Sophisticated invalid traffic"),
        "test" => say!("Test"),
        "defective" => say!("Defective"),
        other => other,
    }
}

/// Meaning of a verdict.
pub fn verdict_why(name: &str) -> &'static str {
    match name {
        "valid" => say!("Billed."),
        "duplicate" => say!("A repeat by the same user on the same ad: not billed."),
        "givt" => say!("Robots and data centres: not billed."),
        "sivt" => say!("Found by behaviour: not billed."),
        "test" => say!("Made as a test, with a test key or on the page of links: not billed."),
        "defective" => say!("Can’t be counted, as it came too late, for example: not billed."),
        _ => "",
    }
}

/// A rule.
pub fn rule(name: &str) -> &str {
    match name {
        "user_agent" => say!("User agent of a robot"),
        "data_center" => say!("Address of a data centre"),
        "prefetch" => say!("Prefetch or preview"),
        "duplicate" => say!("Repeat"),
        "ip_velocity" => say!("Too many clicks of one address"),
        "user_velocity" => say!("Too many clicks of one user"),
        "forged_click_id" => say!("Forged click ID"),
        "campaign_spike" => say!("Spike of a campaign"),
        "fraud_rate" => say!("Invalid traffic of a campaign"),
        other => other,
    }
}

/// A rule in the version that decided.
pub fn rule_in(name: &str, version: Option<i32>) -> String {
    match version {
        Some(version) => say!("{rule} (version {version})", rule = rule(name), version),
        None => rule(name).to_owned(),
    }
}

/// Meaning of a rule that applies to a click.
pub fn evidence(name: &str) -> String {
    match name {
        "user_agent" => say!("The user agent is empty or declares a robot.").to_owned(),
        "data_center" => say!("The address belongs to a data centre.").to_owned(),
        "prefetch" => {
            say!("A browser’s prefetch, a HEAD request or a link preview: no person saw it.").to_owned()
        }
        "duplicate" => say!("The same user clicked the same ad shortly before.").to_owned(),
        "ip_velocity" => say!("One address clicks faster than people do.").to_owned(),
        "user_velocity" => say!("One user clicks faster than people do.").to_owned(),
        "forged_click_id" => say!("No redirect has signed the click ID for this ad.").to_owned(),
        other => other.replace('_', " "),
    }
}

/// A change from one to another.
pub fn from_to(from: &str, to: &str) -> String {
    format!("{from} → {to}")
}

/// The author of a change of a verdict.
pub fn changed_verdict_by(actor: &str) -> &str {
    match actor {
        "rules" => say!("The rules"),
        "operator" => say!("An operator"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incidents_say_what_was_measured() {
        let alert = |details| Alert {
            details,
            ..crate::incidents::tests::alert(1, clickwire_protocol::alerts::Severity::Warning)
        };
        for (details, text) in [
            (serde_json::json!({"clicks": 1_000, "invalid": 310}), "31.0% of 1,000 clicks"),
            (serde_json::json!({"clicks": 50, "limit": 20}), "50 clicks, limit 20"),
            (serde_json::json!({"clicks": 50}), "50 clicks"),
            (serde_json::json!({"oldest_seconds": 90}), "1 min behind"),
            (serde_json::json!({"messages": 1}), "1 message"),
            (serde_json::json!({"messages": 3}), "3 messages"),
            (serde_json::json!({}), ""),
        ] {
            assert_eq!(measured(&alert(details)), text);
        }
    }
}
