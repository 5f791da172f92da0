//! Sentences with something in them: of the frame, of lists, and of what administrators register.

use crate::{api::Role, format, query::Range, theme::Theme};

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

/// What the bell says: incidents that ring, and those that are open in silence.
pub fn bell(is_known: bool, ringing: i64, silenced: i64) -> String {
    let open = match (is_known, ringing) {
        (false, _) => return super::INCIDENTS.to_owned(),
        (true, 0) => "No open incidents".to_owned(),
        (true, 1) => "1 open incident".to_owned(),
        (true, ringing) => format!("{} open incidents", format::count(ringing)),
    };
    match silenced {
        0 => open,
        silenced => format!("{open}, {} silenced", format::count(silenced)),
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

/// What is shown is not the server's answer of now.
pub fn kept_at(at_ms: i64) -> String {
    format!(
        "The server can’t be reached. What is shown was kept by this browser, the oldest of it at {}.",
        format::precise_time_of_day(at_ms)
    )
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
