//! Sentences about single clicks, their verdicts, and incidents.

use clickwire_protocol::alerts::{Alert, Kind};

use crate::format;

/// What an incident is about.
pub fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::IpBurst => "Burst of one address",
        Kind::UserBurst => "Burst of one user",
        Kind::CampaignSpike => "Spike of a campaign",
        Kind::FraudRate => "Invalid traffic",
        Kind::Lag => "Clicks wait",
        Kind::DeadLetters => "Dead letters",
        Kind::BackgroundJob => "Background job",
        Kind::Rollups => "Hours and days",
        Kind::LakeStalled => "The lake stands still",
        Kind::StreamReplicas => "Too few brokers have the stream",
    }
}

/// What was measured of an incident.
pub fn measured(alert: &Alert) -> String {
    let number = |name: &str| alert.details.get(name).and_then(serde_json::Value::as_i64);
    let count = |name: &str| number(name).map(format::count);
    match (count("clicks"), number("invalid").zip(number("clicks")), count("limit")) {
        (Some(clicks), Some((invalid, all)), _) if all > 0 => {
            let share = format::percent(Some(invalid as f64 / all as f64));
            format!("{share} of {clicks} clicks")
        }
        (Some(clicks), _, Some(limit)) => format!("{clicks} clicks, limit {limit}"),
        (Some(clicks), _, None) => format!("{clicks} clicks"),
        (None, ..) => match (number("oldest_seconds"), count("messages")) {
            (Some(seconds), _) => format!("{} behind", format::age(seconds.saturating_mul(1_000))),
            (None, Some(messages)) if number("messages") == Some(1) => format!("{messages} message"),
            (None, Some(messages)) => format!("{messages} messages"),
            (None, None) => String::new(),
        },
    }
}

/// A part of the list of incidents.
pub fn part(name: Option<&str>) -> &'static str {
    match name {
        None => super::OPEN,
        Some("resolved") => super::RESOLVED,
        Some("silenced") => super::SILENCED,
        Some(_) => "All",
    }
}

/// A rule in a version.
pub fn rule_at(name: &str, version: i64) -> String {
    format!("Rule {} (version {version})", name.replace('_', " "))
}

/// How a rule has judged since when, and who has made it so.
pub fn rule_since(mode: &str, at: &str, by: &str) -> String {
    format!("{} since {at}, by {by}", mode.replace('_', " "))
}

/// What a click was judged as.
pub fn verdict(name: &str) -> &str {
    match name {
        "valid" => "Valid",
        "duplicate" => "Duplicate",
        "givt" => "General invalid traffic",
        "sivt" => "Sophisticated invalid traffic",
        "test" => "Test",
        "defective" => "Defective",
        other => other,
    }
}

/// What a verdict means.
pub fn verdict_why(name: &str) -> &'static str {
    match name {
        "valid" => "Billed.",
        "duplicate" => "A repeat by the same user on the same ad: not billed.",
        "givt" => "Robots and data centres: not billed.",
        "sivt" => "Found by behaviour: not billed.",
        "test" => "Posted with a test key: not billed.",
        "defective" => "Can’t be counted, as it came too late, for example: not billed.",
        _ => "",
    }
}

/// A rule.
pub fn rule(name: &str) -> &str {
    match name {
        "user_agent" => "User agent of a robot",
        "data_center" => "Address of a data centre",
        "prefetch" => "Prefetch or preview",
        "duplicate" => "Repeat",
        "ip_velocity" => "Too many clicks of one address",
        "user_velocity" => "Too many clicks of one user",
        "forged_click_id" => "Forged click ID",
        "campaign_spike" => "Spike of a campaign",
        "fraud_rate" => "Invalid traffic of a campaign",
        other => other,
    }
}

/// A rule in the version that decided.
pub fn rule_in(name: &str, version: Option<i32>) -> String {
    match version {
        Some(version) => format!("{} (version {version})", rule(name)),
        None => rule(name).to_owned(),
    }
}

/// What a rule that applies says of a click.
pub fn evidence(name: &str) -> String {
    match name {
        "user_agent" => "The user agent is empty or declares a robot.".to_owned(),
        "data_center" => "The address belongs to a data centre.".to_owned(),
        "prefetch" => "A browser’s prefetch, a HEAD request or a link preview: no person saw it.".to_owned(),
        "duplicate" => "The same user clicked the same ad shortly before.".to_owned(),
        "ip_velocity" => "One address clicks faster than people do.".to_owned(),
        "user_velocity" => "One user clicks faster than people do.".to_owned(),
        "forged_click_id" => "No redirect has signed the click ID for this ad.".to_owned(),
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
        "rules" => "The rules",
        "operator" => "An operator",
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
