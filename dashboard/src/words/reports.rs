//! Sentences about reports: exports, statements, and the results of Explore.

use std::collections::BTreeMap;

use clickwire_protocol::report::{Basis, Dimension, Granularity, Metric, Source};

use super::Text;
use crate::{format, locale, query::Shape};

/// A month of a year.
pub fn month(year: u32, month: u32) -> String {
    let names = [
        Text::new("January"),
        Text::new("February"),
        Text::new("March"),
        Text::new("April"),
        Text::new("May"),
        Text::new("June"),
        Text::new("July"),
        Text::new("August"),
        Text::new("September"),
        Text::new("October"),
        Text::new("November"),
        Text::new("December"),
    ];
    let name = names.get((month as usize).wrapping_sub(1)).map_or("", |name| name.get());
    format!("{name} {year}")
}

/// The title of an advertiser's statement of a month.
pub fn statement_of(advertiser: &str, month: &str) -> String {
    format!("{advertiser}, {month}")
}

/// Basis of a statement: the counts, the zone and the advertiser.
pub fn statement_basis(zone: &str, advertiser_id: &str) -> String {
    say!(
        "Billable clicks are the valid ones. Months are those of the time zone {zone}. Advertiser {advertiser_id}.",
        zone = zone.replace('_', " "),
        advertiser_id
    )
}

/// A month's numbers by campaign.
pub fn by_campaign_in(month: &str) -> String {
    say!("{month} by campaign", month)
}

/// Name of a kind of export.
pub fn export_kind(kind: &str) -> &str {
    match kind {
        "breakdown" => say!("Numbers by group"),
        "timeseries" => say!("Numbers over time"),
        "clicks" => super::CLICKS.get(),
        other => other,
    }
}

/// Content of an export: its kind, its groups and its format.
pub fn export(kind: &str, parameters: &BTreeMap<String, String>) -> String {
    fn named(name: &str) -> &str {
        let known = Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name);
        match known {
            Some(known) => dimension(known),
            None => name,
        }
    }
    let group =
        parameters.get("group_by").map(|group| group.split(',').map(named).collect::<Vec<_>>().join(", "));
    let content = match (kind, group) {
        ("breakdown", Some(group)) => say!("Numbers by {group}", group),
        ("timeseries", Some(group)) => say!("Numbers over time by {group}", group),
        (kind, _) => export_kind(kind).to_owned(),
    };
    format!("{content}, {}", parameters.get("format").map_or("csv", String::as_str).to_uppercase())
}

/// Interval of a schedule.
pub fn every(name: &str) -> &str {
    match name {
        "day" => say!("Every day"),
        "week" => say!("Mondays"),
        other => other,
    }
}

/// Interval of a schedule, with hour and zone.
pub fn turns(name: &str, hour: i16, zone: &str) -> String {
    let time = format!("{hour:02}:00");
    say!("{day} at {time}, {zone}", day = every(name), time, zone = zone.replace('_', " "))
}

/// Progress of a file.
pub fn under_way(status: &str) -> String {
    match status {
        "queued" => say!("Waiting").to_owned(),
        "running" => say!("In progress").to_owned(),
        other => other.to_owned(),
    }
}

/// State of a file's delivery to the receiver of a schedule.
pub fn delivery(name: &str) -> &str {
    match name {
        "waiting" => say!("being sent"),
        "delivered" => say!("delivered"),
        "given_up" => say!("given up"),
        other => other,
    }
}

/// Range from a time to another, as far as they are known.
pub fn from_until(start: Option<&str>, end: Option<&str>) -> String {
    format!("{} – {}", start.unwrap_or("…"), end.unwrap_or("…"))
}

/// A list that is cut off.
pub fn only_latest(shown: usize) -> String {
    say!("The latest {shown} of them.", shown)
}

/// A number.
pub fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::Clicks => super::CLICKS.get(),
        Metric::Billable => super::BILLABLE.get(),
        Metric::FraudCount => super::INVALID_CLICKS.get(),
        Metric::Duplicates => say!("Duplicates"),
        Metric::Received => say!("Received"),
        Metric::UniqueUsers => say!("Unique users"),
    }
}

/// A number over time.
pub fn over_time(of: Metric) -> String {
    say!("{metric} over time", metric = metric(of))
}

/// The change of a number.
pub fn change_in(of: Metric) -> String {
    say!("{metric}, change", metric = metric(of))
}

/// The width of a bucket.
pub fn granularity(granularity: Granularity) -> &'static str {
    match granularity {
        Granularity::Minute => say!("Minutes"),
        Granularity::Hour => say!("Hours"),
        Granularity::Day => say!("Days"),
        Granularity::Week => say!("Weeks"),
        Granularity::Month => say!("Months"),
    }
}

/// Name of a form in which numbers are drawn.
pub fn shape(shape: Shape) -> &'static str {
    match shape {
        Shape::Lines => say!("Lines"),
        Shape::Stack => say!("Stack"),
        Shape::Bars => say!("Bars"),
    }
}

/// A dimension.
pub fn dimension(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::AdvertiserId => super::ADVERTISER.get(),
        Dimension::CampaignId => super::CAMPAIGN.get(),
        Dimension::AdId => super::AD.get(),
        Dimension::Country => say!("Country"),
        Dimension::DeviceType => say!("Device"),
        Dimension::Os => say!("Operating system"),
        Dimension::Browser => say!("Browser"),
        Dimension::HourOfDay => say!("Hour of the day"),
        Dimension::Weekday => say!("Weekday"),
    }
}

/// Examples of a dimension's values.
pub fn values_hint(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::AdvertiserId | Dimension::CampaignId | Dimension::AdId => {
            say!("IDs, separated by commas.")
        }
        Dimension::Country => say!("Such as DE, FR."),
        Dimension::DeviceType => say!("desktop, mobile, tablet …"),
        Dimension::Os => say!("Such as Windows 10."),
        Dimension::Browser => say!("Such as Firefox."),
        Dimension::HourOfDay | Dimension::Weekday => "",
    }
}

/// A day of the week, 1 to 7.
pub fn weekday(number: &str) -> String {
    match number {
        "1" => say!("Monday"),
        "2" => say!("Tuesday"),
        "3" => say!("Wednesday"),
        "4" => say!("Thursday"),
        "5" => say!("Friday"),
        "6" => say!("Saturday"),
        "7" => say!("Sunday"),
        other => other,
    }
    .to_owned()
}

/// A part of a whole, in a title.
pub fn within(whole: &str, part: &str) -> String {
    format!("{whole} › {part}")
}

/// A number of an hour of the week.
pub fn in_hour(day: &str, hour: usize, number: &str, what: &str) -> String {
    let (from, to) = (format!("{hour:02}:00"), format!("{:02}:00", hour + 1));
    say!("{day} {from} to {to}: {number} ({what})", day, from, to, number, what)
}

/// Title of a map of the week.
pub fn by_hour_of_week(of: Metric) -> String {
    say!("{metric} by hour of the week", metric = metric(of))
}

/// A condition.
pub fn filter(of: Dimension, is_exclusion: bool, values: &str) -> String {
    let of = dimension(of);
    if is_exclusion { say!("{of}: not {values}", of, values) } else { format!("{of}: {values}") }
}

/// One, or several with a word between them.
fn all_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(str::to_owned).reduce(|some, last| say!("{some} and {last}", some, last)).unwrap_or_default()
}

/// Title of a table by its groups.
pub fn by(group: &[Dimension]) -> String {
    say!("Numbers by {group}", group = all_of(group.iter().map(|known| dimension(*known))))
}

/// Number of groups that are told apart.
pub fn groups(shown: usize, all: usize) -> String {
    let all_text = format::count(all as i64);
    if all == 1 {
        say!("1 group").to_owned()
    } else if shown >= all {
        say!("{count} groups", count = all_text)
    } else {
        say!(
            "{shown} of {all} groups told apart",
            shown = format::count(shown.saturating_sub(1) as i64),
            all = all_text
        )
    }
}

/// A relative change, or that there was nothing before.
pub fn change(now: i64, before: i64) -> String {
    match (now, before) {
        (0, 0) => "±0.0%".to_owned(),
        (_, 0) => say!("new").to_owned(),
        (now, before) => {
            let ratio = (now - before) as f64 / before as f64;
            let sign = if ratio < 0.0 { "−" } else { "+" };
            format!("{sign}{}", locale::percent(ratio.abs(), 1))
        }
    }
}

/// A number in the period before.
pub fn before(text: &str) -> String {
    say!("before: {text}", text)
}

/// A change with the number before.
pub fn against(now: i64, was: i64) -> String {
    format!("{} · {}", change(now, was), before(&format::count(was)))
}

/// Time up to which numbers are final.
pub fn complete_to(at: &str) -> String {
    say!("Final to {at}", at)
}

/// The range of a report.
pub fn basis_range(basis: &Basis) -> String {
    let time = |text: &str| text.get(..16).unwrap_or(text).replace('T', " ");
    let zone = basis.time_zone.replace('_', " ");
    format!("{} – {}, {zone}", time(&basis.start_time), time(&basis.end_time))
}

/// Range of a report, and the sources of its numbers.
pub fn basis(basis: &Basis) -> String {
    let sources = basis.sources.iter().map(|source| match source {
        Source::Days => say!("days"),
        Source::Hours => say!("hours"),
        Source::Minutes => say!("minutes"),
        Source::Ledger => say!("single clicks"),
    });
    say!("{range}. Added up from {sources}.", range = basis_range(basis), sources = all_of(sources))
}

/// Description of a chart for screen readers.
pub fn chart_label(buckets: usize, lines: &[&str]) -> String {
    say!("Chart of {buckets} points in time: {lines}. Arrow keys read it.", buckets, lines = lines.join(", "))
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
            "Numbers by Campaign, Country, CSV"
        );
        assert_eq!(export("timeseries", &parameters("shoe_size")), "Numbers over time by shoe_size, CSV");
        let clicks = [("format".to_owned(), "ndjson".to_owned())].into();
        assert_eq!(export("clicks", &clicks), "Clicks, NDJSON");
    }
}
