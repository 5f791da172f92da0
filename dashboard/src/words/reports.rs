//! Sentences about reports: exports, statements, and what Explore shows.

use std::collections::BTreeMap;

use clickwire_protocol::report::{Basis, Dimension, Granularity, Metric, Source};

use crate::{format, locale, query::Shape};

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

/// The title of an advertiser's statement of a month.
pub fn statement_of(advertiser: &str, month: &str) -> String {
    format!("{advertiser}, {month}")
}

/// What a statement counts.
pub fn statement_basis(zone: &str, advertiser_id: &str) -> String {
    format!(
        "Billable clicks are the valid ones. Months are those of the time zone {}. Advertiser {advertiser_id}.",
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
pub fn export(kind: &str, parameters: &BTreeMap<String, String>) -> String {
    let named = |name: &str| {
        let known = Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name);
        known.map_or_else(|| name.to_owned(), |known| dimension(known).to_lowercase())
    };
    let group =
        parameters.get("group_by").map(|group| group.split(',').map(named).collect::<Vec<_>>().join(", "));
    let content = match (kind, group) {
        ("breakdown", Some(group)) => format!("Numbers by {group}"),
        ("timeseries", Some(group)) => format!("Numbers over time by {group}"),
        (kind, _) => export_kind(kind).to_owned(),
    };
    format!("{content}, {}", parameters.get("format").map_or("csv", String::as_str).to_uppercase())
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
        "running" => "In progress".to_owned(),
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
        Dimension::AdvertiserId => super::ADVERTISER,
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
        Dimension::AdvertiserId | Dimension::CampaignId | Dimension::AdId => "IDs, separated by commas.",
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

/// A part of a whole, in a title.
pub fn within(whole: &str, part: &str) -> String {
    format!("{whole} › {part}")
}

/// A number of an hour of the week.
pub fn in_hour(day: &str, hour: usize, number: &str, what: &str) -> String {
    format!("{day} {hour:02}:00 to {:02}:00: {number} ({what})", hour + 1)
}

/// What a map of the week shows.
pub fn by_hour_of_week(of: Metric) -> String {
    format!("{} by hour of the week", metric(of))
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
    fn groups_and_changes_are_said_as_people_say_them() {
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
    fn exports_are_said_in_the_words_of_the_page() {
        let parameters = |group: &str| [("group_by".to_owned(), group.to_owned())].into();
        assert_eq!(
            export("breakdown", &parameters("campaign_id,country")),
            "Numbers by campaign, country, CSV"
        );
        assert_eq!(export("timeseries", &parameters("shoe_size")), "Numbers over time by shoe_size, CSV");
        let clicks = [("format".to_owned(), "ndjson".to_owned())].into();
        assert_eq!(export("clicks", &clicks), "Clicks, NDJSON");
    }
}
