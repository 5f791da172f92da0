//! Texts of events in the range of a chart.

use clickwire_protocol::annotations::{Annotation, Kind};

use crate::format;

texts! {
    WHAT_HAPPENED = "What happened";
    NOTHING_HAPPENED = "No incidents, changes of rules or corrections in this range.";
    HAPPENED_NOT_LOADED = "What happened in this range could not be loaded.";
    PICTURE = "Picture (PNG)";
    NOT_DRAWN = "The picture could not be made.";
    HAPPENED_MORE = "There is more, and less important: choose a shorter range.";
}

/// The head of the list.
pub fn happened(entries: usize) -> String {
    say!("What happened ({entries})", entries)
}

/// Text that explains the keys for the marks of a chart.
pub fn marks_label(marks: usize) -> String {
    if marks == 0 {
        String::new()
    } else {
        format!(" {}", say!("Page Up and Page Down move between the marks."))
    }
}

/// Number of a mark's events that are only in the list.
pub fn more_in_list(more: usize) -> String {
    say!("and {more} more, in the list below", more)
}

/// Number of a picture's events that have no line.
pub fn more(more: usize) -> String {
    say!("and {more} more", more)
}

/// The title of a picture.
pub fn picture(of: &str, what: &str) -> String {
    format!("{of}: {what}")
}

/// Time of a picture, and the finality of its numbers.
pub fn picture_as_of(at: &str, freshness: &str) -> String {
    say!("As of {at}. {freshness}.", at, freshness)
}

/// Time of an event; one that ends in the minute in which it began has no end.
pub fn happened_at(start: &str, end: Option<&str>, lasts: bool) -> String {
    match end {
        _ if lasts => say!("since {start}", start),
        Some(end) if end != start => format!("{start} – {end}"),
        _ => start.to_owned(),
    }
}

/// Description of an event, with the name of its subject.
pub fn annotation(annotation: &Annotation, of: &str) -> String {
    let Annotation { kind, count, .. } = annotation;
    let clicks = || match count.unwrap_or_default() {
        1 => say!("1 click").to_owned(),
        clicks => say!("{clicks} clicks", clicks = format::count(clicks)),
    };
    let rule = annotation.rule.as_deref().map(|name| super::rule(name).replace('_', " ")).unwrap_or_default();
    let text = match kind {
        Kind::Outage | Kind::Incident => {
            annotation.incident.map_or(super::INCIDENT.get(), super::kind).to_owned()
        }
        Kind::Rule => match annotation.version {
            Some(version) => say!("Rule changed: {rule}, version {version}", rule, version),
            None => say!("Rule changed: {rule}", rule),
        },
        Kind::Release => say!("{clicks} released by a person", clicks = clicks()),
        Kind::Conviction => say!("{clicks} judged invalid after counting: {rule}", clicks = clicks(), rule),
        Kind::Acquittal => say!("{clicks} judged valid after counting", clicks = clicks()),
        Kind::Repair => say!("Counts mended: {count}", count = format::count(count.unwrap_or_default())),
    };
    let mode = annotation.mode.map_or("", |mode| match mode {
        clickwire_protocol::rules::Mode::Off => say!(", off"),
        clickwire_protocol::rules::Mode::ReportOnly => say!(", reports only"),
        clickwire_protocol::rules::Mode::Flag => say!(", decides"),
    });
    if of.is_empty() { format!("{text}{mode}") } else { format!("{text}{mode} · {of}") }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::{alerts, rules::Mode};

    use super::*;

    #[test]
    fn what_happened_is_said_with_what_is_known_of_it() {
        let bare = |kind| Annotation::bare(kind, String::new());
        let incident = Some(alerts::Kind::CampaignSpike);
        let version = Annotation { version: Some(3), mode: Some(Mode::ReportOnly), ..bare(Kind::Rule) };
        let count =
            |kind, count| Annotation { count: Some(count), rule: Some("duplicate".into()), ..bare(kind) };
        for (of, told, expected) in [
            ("Spring", Annotation { incident, ..bare(Kind::Incident) }, "Spike of a campaign · Spring"),
            ("", bare(Kind::Incident), "Incident"),
            (
                "",
                Annotation { rule: Some("ip_velocity".into()), ..bare(Kind::Rule) },
                "Rule changed: Too many clicks of one address",
            ),
            (
                "",
                Annotation { rule: Some("fraud_rate".into()), ..version },
                "Rule changed: Invalid traffic of a campaign, version 3, reports only",
            ),
            ("", count(Kind::Release, 1), "1 click released by a person"),
            ("", count(Kind::Conviction, 1_200), "1,200 clicks judged invalid after counting: Repeat"),
            ("", count(Kind::Acquittal, 2), "2 clicks judged valid after counting"),
            ("", count(Kind::Repair, 4), "Counts mended: 4"),
        ] {
            assert_eq!(annotation(&told, of), expected);
        }
    }

    #[test]
    fn a_time_is_a_moment_a_span_or_goes_on() {
        for (end, lasts, expected) in [
            (None, true, "since a"),
            (Some("b"), false, "a – b"),
            (Some("a"), false, "a"),
            (None, false, "a"),
        ] {
            assert_eq!(happened_at("a", end, lasts), expected);
        }
    }
}
