//! Texts about the preview of a rule's change.

use crate::format;

texts! {
    PREVIEW = "Preview on the last 24 hours";
    PREVIEW_BUSY = "Looking at clicks…";
    PREVIEW_CAPTION = "Verdicts as counted, and with the change";
    PREVIEW_ADVERTISERS = "Advertisers with other verdicts";
    AS_COUNTED = "As counted";
    AS_PREVIEWED = "With the change";
    AS_IT_IS = "As it is";
    ALL_CAMPAIGNS = "All campaigns";
    PREVIEW_CAMPAIGNS = "Incidents by the rule as it is, and with the change";
    TO_INVALID = "Would be invalid";
    TO_VALID = "Would be valid";
}

/// The clicks that a preview has looked at.
pub fn preview_range(clicks: i64, start: &str, end: &str, is_cut: bool) -> String {
    let clicks = format::count(clicks);
    if is_cut {
        say!(
            "The last {clicks} clicks, {start} – {end}; earlier clicks of the 24 hours are not looked at.",
            clicks,
            start,
            end
        )
    } else {
        say!("{clicks} clicks, {start} – {end}.", clicks, start, end)
    }
}

/// The clicks whose verdict would be the opposite.
pub fn preview_sum(to_invalid: i64, to_valid: i64) -> String {
    match (to_invalid, to_valid) {
        (0, 0) => say!("No valid click would be invalid, and no invalid one valid.").to_owned(),
        (1, 0) => say!("1 valid click would be invalid.").to_owned(),
        (0, 1) => say!("1 invalid click would be valid.").to_owned(),
        (count, 0) => say!("{count} valid clicks would be invalid.", count = format::count(count)),
        (0, count) => say!("{count} invalid clicks would be valid.", count = format::count(count)),
        (to_invalid, to_valid) => say!(
            "Valid clicks that would be invalid: {to_invalid}. Invalid clicks that would be valid: {to_valid}.",
            to_invalid = format::count(to_invalid),
            to_valid = format::count(to_valid)
        ),
    }
}

/// A number of an advertiser's clicks.
pub fn of_all_clicks(some: i64, all: i64) -> String {
    say!("{some} of {all}", some = format::count(some), all = format::count(all))
}

/// The difference of incidents, and of critical ones, between a changed rule and the rule as it is.
pub fn preview_incidents(opened: i64, critical: i64) -> String {
    let count = format::count(opened.abs());
    match opened {
        0 if critical > 0 => say!(
            "As many incidents as without the change, {critical} more of them critical.",
            critical = format::count(critical)
        ),
        0 if critical < 0 => say!(
            "As many incidents as without the change, {critical} fewer of them critical.",
            critical = format::count(-critical)
        ),
        0 => say!("As many incidents as without the change.").to_owned(),
        1 => say!("1 incident more than without the change.").to_owned(),
        -1 => say!("1 incident fewer than without the change.").to_owned(),
        2.. => say!("{count} more incidents than without the change.", count),
        _ => say!("{count} fewer incidents than without the change.", count),
    }
}

/// Incidents, and those of them that are critical.
pub fn of_them_critical(opened: i64, critical: i64) -> String {
    match critical {
        0 => format::count(opened),
        _ => say!(
            "{opened}, {critical} of them critical",
            opened = format::count(opened),
            critical = format::count(critical)
        ),
    }
}

/// The campaigns and minutes that a preview of incidents has looked at.
pub fn preview_minutes(campaigns: i64, start: &str, end: &str, is_cut: bool) -> String {
    let campaigns_count = format::count(campaigns);
    match (campaigns, is_cut) {
        (0, _) => say!("No campaign had clicks, {start} – {end}.", start, end),
        (_, true) => say!(
            "The {campaigns} campaigns with the most clicks, {start} – {end}. The rule is asked at the end of each minute.",
            campaigns = campaigns_count,
            start,
            end
        ),
        (1, false) => {
            say!("1 campaign, {start} – {end}. The rule is asked at the end of each minute.", start, end)
        }
        (_, false) => say!(
            "{campaigns} campaigns, {start} – {end}. The rule is asked at the end of each minute.",
            campaigns = campaigns_count,
            start,
            end
        ),
    }
}
