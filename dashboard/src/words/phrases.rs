//! Sentences with values: of the frame, of lists, and of the things that administrators register.

use crate::{api::Role, format, query::Range, theme::Theme};

/// The name of a tab of the browser.
pub fn document_title(page: &str) -> String {
    format!("{page} · {}", super::BRAND.get())
}

/// A role.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Advertiser => say!("Advertiser"),
        Role::Finance => say!("Finance"),
        Role::Ops => say!("Operator"),
        Role::Admin => say!("Administrator"),
        Role::Other => say!("Another role"),
    }
}

/// Rights of a role, by its name in the API.
pub fn role_hint(name: &str) -> &'static str {
    match name {
        "advertiser" => say!("Sees the clicks of its advertisers."),
        "finance" => say!("Sees everybody’s numbers, no single clicks."),
        "ops" => say!("Sees all clicks, looks after incidents."),
        "admin" => say!("Sees and changes everything."),
        _ => "",
    }
}

/// Reason why a page is not open.
pub fn not_yours_why(of: Role) -> String {
    say!("You are signed in as: {role}. An administrator can change your role.", role = role(of))
}

/// The viewer's menu.
pub fn you(name: &str) -> String {
    say!("Account menu of {name}", name)
}

/// A choice of colours.
pub fn colours(theme: Theme) -> &'static str {
    match theme {
        Theme::Auto => say!("Colours of the system"),
        Theme::Light => say!("Light"),
        Theme::Dark => say!("Dark"),
    }
}

/// Label of the bell: the number of incidents that ring, and of silenced ones.
pub fn bell(is_known: bool, ringing: i64, silenced: i64) -> String {
    let open = match (is_known, ringing) {
        (false, _) => return super::INCIDENTS.into(),
        (true, 0) => say!("No open incidents").to_owned(),
        (true, 1) => say!("1 open incident").to_owned(),
        (true, ringing) => say!("{count} open incidents", count = format::count(ringing)),
    };
    match silenced {
        0 => open,
        silenced => say!("{open}, {count} silenced", open, count = format::count(silenced)),
    }
}

/// A length of time up to now.
pub fn last(minutes: u32) -> String {
    match minutes {
        1_440 => say!("Last 24 hours").to_owned(),
        days if days.is_multiple_of(1_440) => say!("Last {days} days", days = days / 1_440),
        60 => say!("Last hour").to_owned(),
        hours if hours.is_multiple_of(60) => say!("Last {hours} hours", hours = hours / 60),
        minutes => say!("Last {minutes} minutes", minutes),
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

/// Notice that the page shows answers that the browser has kept, not the server's present ones.
pub fn kept_at(at: &str) -> String {
    say!("The server can’t be reached. What is shown was kept by this browser, the oldest of it at {at}.", at)
}

/// Note about the zone of the times.
pub fn in_zone(zone: &str) -> String {
    say!("Times are in {zone}.", zone)
}

/// Takes a choice away.
pub fn remove(what: &str) -> String {
    say!("Remove {what}", what)
}

/// Copies something.
pub fn copy_what(what: &str) -> String {
    say!("Copy {what}", what)
}

/// Orders rows.
pub fn sort_by(column: &str) -> String {
    say!("Sort by {column}", column)
}

/// Number of rows that are shown.
pub fn rows(shown: usize, has_more: bool) -> String {
    match (shown, has_more) {
        (1, false) => say!("1 row").to_owned(),
        (shown, false) => say!("{count} rows", count = format::count(shown as i64)),
        (shown, true) => say!("the first {count} rows", count = format::count(shown as i64)),
    }
}

/// Name of a thing with its id.
pub fn named(name: &str, id: &str) -> String {
    format!("{name} ({id})")
}

/// Asks before something is deleted.
pub fn delete_what(name: &str) -> String {
    say!("Delete {name}?", name)
}

/// Name of an action on a key.
pub fn of_key(action: &str, name: &str) -> String {
    format!("{action} {name}")
}

/// Mode of a key: for billing, or as tests.
pub fn mode(name: &str) -> &'static str {
    if name == "test" { say!("As tests") } else { say!("For billing") }
}

/// Asks before a key gets another secret.
pub fn rotate_what(name: &str) -> String {
    say!("A new secret for {name}?", name)
}

/// Asks before a key ends.
pub fn revoke_what(name: &str) -> String {
    say!("Revoke {name}?", name)
}

/// A key's secret.
pub fn secret_of(name: &str) -> String {
    say!("Secret of {name}", name)
}

/// A token's secret.
pub fn token_of(name: &str) -> String {
    say!("Token {name}", name)
}

/// Time until which the previous secret is accepted.
pub fn previous_until(at: &str) -> String {
    say!("The old secret works until {at}.", at)
}

/// An account's password.
pub fn password_of(login: &str) -> String {
    say!("Password of {login}", login)
}

/// Asks before an account gets another password.
pub fn reset_what(login: &str) -> String {
    say!("A new password for {login}?", login)
}

/// Asks before an account's sessions end.
pub fn sign_out_what(login: &str) -> String {
    say!("Sign {login} out everywhere?", login)
}

/// A kind of thing that the audit log is about.
pub fn subject(name: &str) -> String {
    match name {
        "accounts" => say!("Account").to_owned(),
        "account_tokens" => say!("Token").to_owned(),
        "api_keys" => say!("Key").to_owned(),
        "advertisers" => say!("Advertiser").to_owned(),
        "campaigns" => say!("Campaign").to_owned(),
        "ads" => say!("Ad").to_owned(),
        "fraud_rules" => say!("Rule").to_owned(),
        "alerts" => say!("Incident").to_owned(),
        "adjustments" => say!("Released clicks").to_owned(),
        "erasures" => say!("Erasure").to_owned(),
        "report_schedules" => say!("Schedule").to_owned(),
        "webhook_deliveries" => say!("Webhook delivery").to_owned(),
        other => other.replace('_', " "),
    }
}

/// Name of an action in the audit log.
pub fn action(name: &str) -> String {
    match name {
        "insert" => say!("Created").to_owned(),
        "update" => say!("Changed").to_owned(),
        "delete" => say!("Deleted").to_owned(),
        "sign_in" => say!("Signed in").to_owned(),
        "sign_in_refused" => say!("Refused sign-in").to_owned(),
        "sign_out" => say!("Signed out").to_owned(),
        other => other.replace('_', " "),
    }
}

/// A change of something.
pub fn change_of(name: &str, id: &str) -> String {
    format!("{} {id}", subject(name))
}

/// Author and time of a change.
pub fn changed_by(actor: &str, at: &str) -> String {
    say!("By {actor}, {at}", actor, at)
}

/// Author and time of a change, in a table.
pub fn by_at(actor: &str, at: &str) -> String {
    format!("{actor}, {at}")
}

/// The first click that was counted.
pub fn first_click(country: &str, device: &str, verdict: &str) -> String {
    say!("The first click is counted: {country}, {device}, {verdict}.", country, device, verdict)
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
    }
}
