//! Sentences with something in them.

use clickwire_protocol::{
    alerts::{Alert, Kind},
    report::{Basis, Dimension, Granularity, Metric, Source},
};

use crate::{
    api::Role,
    format, locale,
    query::{Range, Shape},
    theme::Theme,
};

/// The name of a tab of the browser.
pub fn document_title(page: &str) -> String {
    format!("{page} · {}", super::BRAND)
}

/// A role.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Advertiser => "Advertiser",
        Role::Ops => "Operator",
        Role::Admin => "Administrator",
        Role::Other => "Another role",
    }
}

/// What a role may do, by its name in the API.
pub fn role_hint(name: &str) -> &'static str {
    match name {
        "advertiser" => "Sees the clicks of its advertisers.",
        "ops" => "Sees all clicks, looks after incidents.",
        "admin" => "Sees and changes everything.",
        _ => "",
    }
}

/// Why a page is not open.
pub fn not_yours_why(of: Role) -> String {
    format!("You are signed in as: {}. An administrator can change your role.", role(of))
}

/// The viewer's menu.
pub fn you(name: &str) -> String {
    format!("Account menu of {name}")
}

/// A choice of colours.
pub fn colours(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => "Colours of the system",
        Theme::Light => "Light",
        Theme::Dark => "Dark",
    }
}

/// What the bell says.
pub fn bell(is_known: bool, total: i64) -> String {
    match (is_known, total) {
        (false, _) => "Incidents".to_owned(),
        (true, 0) => "No open incidents".to_owned(),
        (true, 1) => "1 open incident".to_owned(),
        (true, total) => format!("{} open incidents", format::count(total)),
    }
}

/// A length of time up to now.
pub fn last(minutes: u32) -> String {
    match minutes {
        1_440 => "Last 24 hours".to_owned(),
        days if days.is_multiple_of(1_440) => format!("Last {} days", days / 1_440),
        60 => "Last hour".to_owned(),
        hours if hours.is_multiple_of(60) => format!("Last {} hours", hours / 60),
        minutes => format!("Last {minutes} minutes"),
    }
}

/// A range of time.
pub fn range(range: &Range) -> String {
    match range {
        Range::Last(minutes) => last(*minutes),
        Range::Between(start, end) => {
            format!("{} – {}", start.write().replace('T', " "), end.write().replace('T', " "))
        }
    }
}

/// In which zone times are.
pub fn in_zone(zone: &str) -> String {
    format!("Times are in {zone}.")
}

/// Takes a choice away.
pub fn remove(what: &str) -> String {
    format!("Remove {what}")
}

/// Copies something.
pub fn copy_what(what: &str) -> String {
    format!("Copy {what}")
}

/// Orders rows.
pub fn sort_by(column: &str) -> String {
    format!("Sort by {column}")
}

/// How many rows are there.
pub fn rows(shown: usize, has_more: bool) -> String {
    match (shown, has_more) {
        (1, false) => "1 row".to_owned(),
        (shown, false) => format!("{} rows", format::count(shown as i64)),
        (shown, true) => format!("the first {} rows", format::count(shown as i64)),
    }
}

/// Something with its id.
pub fn named(name: &str, id: &str) -> String {
    format!("{name} ({id})")
}

/// Asks before something is deleted.
pub fn delete_what(name: &str) -> String {
    format!("Delete {name}?")
}

/// What is done with a key.
pub fn of_key(action: &str, name: &str) -> String {
    format!("{action} {name}")
}

/// Whether clicks of a key count.
pub fn mode(name: &str) -> &'static str {
    if name == "test" { "As tests" } else { "For billing" }
}

/// Asks before a key gets another secret.
pub fn rotate_what(name: &str) -> String {
    format!("A new secret for {name}?")
}

/// Asks before a key ends.
pub fn revoke_what(name: &str) -> String {
    format!("Revoke {name}?")
}

/// A key's secret.
pub fn secret_of(name: &str) -> String {
    format!("Secret of {name}")
}

/// A token's secret.
pub fn token_of(name: &str) -> String {
    format!("Token {name}")
}

/// Until when the secret before is taken.
pub fn previous_until(at: &str) -> String {
    format!("The old secret works until {at}.")
}

/// An account's password.
pub fn password_of(login: &str) -> String {
    format!("Password of {login}")
}

/// Asks before an account gets another password.
pub fn reset_what(login: &str) -> String {
    format!("A new password for {login}?")
}

/// Asks before an account's sessions end.
pub fn sign_out_what(login: &str) -> String {
    format!("Sign {login} out everywhere?")
}

/// A kind of thing that the audit log is about.
pub fn subject(name: &str) -> String {
    match name {
        "accounts" => "Account".to_owned(),
        "account_tokens" => "Token".to_owned(),
        "api_keys" => "Key".to_owned(),
        "advertisers" => "Advertiser".to_owned(),
        "campaigns" => "Campaign".to_owned(),
        "ads" => "Ad".to_owned(),
        "fraud_rules" => "Rule".to_owned(),
        "alerts" => "Incident".to_owned(),
        "adjustments" => "Release".to_owned(),
        other => other.replace('_', " "),
    }
}

/// What was done.
pub fn action(name: &str) -> String {
    match name {
        "insert" => "Created".to_owned(),
        "update" => "Changed".to_owned(),
        "delete" => "Deleted".to_owned(),
        "sign_in" => "Signed in".to_owned(),
        "sign_in_refused" => "Refused sign-in".to_owned(),
        "sign_out" => "Signed out".to_owned(),
        other => other.replace('_', " "),
    }
}

/// A change of something.
pub fn change_of(name: &str, id: &str) -> String {
    format!("{} {id}", subject(name))
}

/// By whom and when.
pub fn changed_by(actor: &str, at: &str) -> String {
    format!("By {actor}, {at}")
}

/// By whom and when, in a table.
pub fn by_at(actor: &str, at: &str) -> String {
    format!("{actor}, {at}")
}

/// The first click that was counted.
pub fn first_click(country: &str, device: &str, verdict: &str) -> String {
    format!("The first click is counted: {country}, {device}, {verdict}.")
}

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

/// Who changed a verdict.
pub fn changed_verdict_by(actor: &str) -> &str {
    match actor {
        "rules" => "The rules",
        "operator" => "An operator",
        other => other,
    }
}

/// A month of a year.
pub fn month(year: u32, month: u32) -> String {
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = names.get((month as usize).wrapping_sub(1)).copied().unwrap_or_default();
    format!("{name} {year}")
}

/// Whose statement, about which month.
pub fn statement_of(advertiser: &str, month: &str) -> String {
    format!("{advertiser}, {month}")
}

/// What a statement counts.
pub fn statement_basis(zone: &str, advertiser_id: &str) -> String {
    format!(
        "Billable are valid clicks. The month is that of {}. Advertiser {advertiser_id}.",
        zone.replace('_', " ")
    )
}

/// A month's numbers by campaign.
pub fn by_campaign_in(month: &str) -> String {
    format!("{month} by campaign")
}

/// What is exported.
pub fn export_kind(kind: &str) -> &str {
    match kind {
        "breakdown" => "Numbers by group",
        "timeseries" => "Numbers over time",
        "clicks" => super::CLICKS,
        other => other,
    }
}

/// What is exported, by what, in which format.
pub fn export(kind: &str, parameters: &std::collections::BTreeMap<String, String>) -> String {
    let group = parameters.get("group_by");
    let content = match (kind, group) {
        ("breakdown", Some(group)) => format!("Numbers by {}", group.replace(',', ", ")),
        ("timeseries", Some(group)) => format!("Numbers over time by {}", group.replace(',', ", ")),
        (kind, _) => export_kind(kind).to_owned(),
    };
    format!("{content}, {}", parameters.get("format").map_or("csv", String::as_str))
}

/// How often something is made.
pub fn every(name: &str) -> &str {
    match name {
        "day" => "Every day",
        "week" => "Mondays",
        other => other,
    }
}

/// When something is made.
pub fn turns(name: &str, hour: i16, zone: &str) -> String {
    format!("{} at {hour:02}:00, {}", every(name), zone.replace('_', " "))
}

/// How far a file is.
pub fn under_way(status: &str) -> String {
    match status {
        "queued" => "Waiting".to_owned(),
        "running" => "Being made".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether the receiver of a schedule has a file.
pub fn delivery(name: &str) -> &str {
    match name {
        "waiting" => "being sent",
        "delivered" => "delivered",
        "given_up" => "given up",
        other => other,
    }
}

/// From a time to another, as far as they are known.
pub fn from_until(start: Option<&str>, end: Option<&str>) -> String {
    format!("{} – {}", start.unwrap_or("…"), end.unwrap_or("…"))
}

/// A list that is cut off.
pub fn only_latest(shown: usize) -> String {
    format!("The latest {shown} of them.")
}

/// A number.
pub fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Clicks => super::CLICKS,
        Metric::Billable => super::BILLABLE,
        Metric::FraudCount => super::INVALID_CLICKS,
        Metric::Duplicates => "Duplicates",
        Metric::Received => "Received",
        Metric::UniqueUsers => "Unique users",
    }
}

/// A number over time.
pub fn over_time(of: Metric) -> String {
    format!("{} over time", metric(of))
}

/// The change of a number.
pub fn change_in(of: Metric) -> String {
    format!("{}, change", metric(of))
}

/// The width of a bucket.
pub fn granularity(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Minute => "Minutes",
        Granularity::Hour => "Hours",
        Granularity::Day => "Days",
        Granularity::Week => "Weeks",
        Granularity::Month => "Months",
    }
}

/// How numbers are drawn.
pub fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Lines => "Lines",
        Shape::Stack => "Stack",
        Shape::Bars => "Bars",
    }
}

/// A dimension.
pub fn dimension(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::CampaignId => super::CAMPAIGN,
        Dimension::AdId => super::AD,
        Dimension::Country => "Country",
        Dimension::DeviceType => "Device",
        Dimension::Os => "Operating system",
        Dimension::Browser => "Browser",
        Dimension::HourOfDay => "Hour of the day",
        Dimension::Weekday => "Weekday",
    }
}

/// Something like the values of a dimension.
pub fn values_hint(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::CampaignId | Dimension::AdId => "IDs, separated by commas.",
        Dimension::Country => "Such as DE, FR.",
        Dimension::DeviceType => "desktop, mobile, tablet …",
        Dimension::Os => "Such as Windows 10.",
        Dimension::Browser => "Such as Firefox.",
        Dimension::HourOfDay | Dimension::Weekday => "",
    }
}

/// A day of the week, 1 to 7.
pub fn weekday(number: &str) -> String {
    let names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = number.parse::<usize>().ok().and_then(|number| names.get(number.checked_sub(1)?).copied());
    name.unwrap_or(number).to_owned()
}

/// A condition.
pub fn filter(of: Dimension, is_exclusion: bool, values: &str) -> String {
    let not = if is_exclusion { "not " } else { "" };
    format!("{}: {not}{values}", dimension(of))
}

/// What a table is grouped by.
pub fn by(group: &[Dimension]) -> String {
    let names: Vec<&str> = group.iter().map(|known| dimension(*known)).collect();
    format!("Numbers by {}", names.join(" and "))
}

/// How many groups are told apart.
pub fn groups(shown: usize, all: usize) -> String {
    let all_text = format::count(all as i64);
    if all == 1 {
        "1 group".to_owned()
    } else if shown >= all {
        format!("{all_text} groups")
    } else {
        format!("{} of {all_text} groups told apart", format::count(shown.saturating_sub(1) as i64))
    }
}

/// A relative change, or that there was nothing before.
pub fn change(now: i64, before: i64) -> String {
    match (now, before) {
        (0, 0) => "±0.0%".to_owned(),
        (_, 0) => "new".to_owned(),
        (now, before) => {
            let ratio = (now - before) as f64 / before as f64;
            let sign = if ratio < 0.0 { "−" } else { "+" };
            format!("{sign}{}", locale::percent(ratio.abs(), 1))
        }
    }
}

/// A number in the period before.
pub fn before(text: &str) -> String {
    format!("before: {text}")
}

/// A change with the number before.
pub fn against(now: i64, was: i64) -> String {
    format!("{} · {}", change(now, was), before(&format::count(was)))
}

/// How far numbers are final.
pub fn complete_to(at: &str) -> String {
    format!("Final to {at}")
}

/// The range of a report and where its numbers are from.
pub fn basis(basis: &Basis) -> String {
    let time = |text: &str| text.get(..16).unwrap_or(text).replace('T', " ");
    let sources: Vec<&str> = basis
        .sources
        .iter()
        .map(|source| match source {
            Source::Days => "days",
            Source::Hours => "hours",
            Source::Minutes => "minutes",
            Source::Ledger => "single clicks",
        })
        .collect();
    format!(
        "{} – {}, {}. Added up from {}.",
        time(&basis.start_time),
        time(&basis.end_time),
        basis.time_zone.replace('_', " "),
        sources.join(" and ")
    )
}

/// What a chart shows, for who can't see it.
pub fn chart_label(buckets: usize, lines: &[&str]) -> String {
    format!("Chart of {buckets} points in time: {}. Arrow keys read it.", lines.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_counts_are_said_as_people_say_them() {
        assert_eq!(
            [5, 60, 240, 1_440, 10_080].map(last),
            ["Last 5 minutes", "Last hour", "Last 4 hours", "Last 24 hours", "Last 7 days"]
        );
        assert_eq!(
            [rows(0, false), rows(1, false), rows(1_000, true)],
            ["0 rows", "1 row", "the first 1,000 rows"]
        );
        assert_eq!(
            [(5, 5), (1, 1), (1_001, 2_000)].map(|(shown, all)| groups(shown, all)),
            ["5 groups", "1 group", "1,000 of 2,000 groups told apart"]
        );
        assert_eq!(
            [(110, 100), (5, 0), (0, 0)].map(|(now, before)| change(now, before)),
            ["+10.0%", "new", "±0.0%"]
        );
        assert_eq!([weekday("1"), weekday("7"), weekday("8")], ["Monday", "Sunday", "8"]);
    }

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
            (serde_json::json!({"messages": 3}), "3 messages"),
            (serde_json::json!({}), ""),
        ] {
            assert_eq!(measured(&alert(details)), text);
        }
    }
}
