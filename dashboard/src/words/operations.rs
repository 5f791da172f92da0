//! Texts for operators: dead letters, and actions on incidents.

use crate::format;

// Dead letters.
texts! {
    DEAD_LETTERS = "Dead letters";
    DEAD_LETTER = "Dead letter";
    NO_DEAD_LETTERS = "No dead letters.";
    NO_DEAD_LETTERS_WHY = "A message that can’t be counted is set aside here, with its bytes and the reason.";
    NO_SUCH_LETTER = "There is no such dead letter.";
    WHY = "Why";
    DETAIL = "Detail";
    SET_ASIDE = "Set aside";
    STREAM_SUBJECT = "Stream subject";
    STREAM_SEQUENCE = "Stream sequence";
    SEQUENCE = "Number";
    MESSAGE = "Message";
    MESSAGE_HINT = "It can be edited before it goes back. The click keeps its ID.";
    MESSAGE_BINARY = "The message is not text. These are its bytes in Base64:";
    MESSAGE_INSTEAD = "Message in its place";
    MESSAGE_INSTEAD_HINT = "A click as JSON, which is sent in place of these bytes.";
    REPLAY = "Replay";
    REPLAY_EDITED = "Replay the edited message";
    RESTORE = "Restore the original";
    REPLAY_REASON_HINT = "Optional; it is recorded with your name.";
    REPLAYED = "The message went back to be counted.";
    REPLAYED_AGAIN = "The message had gone back already. It is counted once.";
    DISMISS = "Dismiss";
    DISMISS_MORE = "Dismiss…";
    DISMISS_TITLE = "Dismiss this dead letter?";
    DISMISS_WHY = "Its message is not counted. The record keeps its bytes, your name and the reason.";
    DISMISSED = "The dead letter is dismissed.";
    DEALT_WITH = "This dead letter has been dealt with.";
    OUTCOME = "Outcome";
    LOOK_AT_LETTERS = "Look at the dead letters";
}

// What is done with incidents.
texts! {
    ASSIGNED = "Assigned to";
    NOBODY = "Nobody";
    TAKE = "Take it";
    GIVE_BACK = "Give it back";
    TAKEN = "You look after this incident now.";
    GIVEN = "The incident is assigned.";
    SILENCED = "Silenced";
    SILENCE = "Silence";
    SILENCE_MORE = "Silence…";
    SILENCE_FOR = "For";
    SILENCE_UNTIL = "Until";
    SILENCE_TITLE = "Silence this?";
    SILENCE_WHY = "Nobody is called because of this kind of incident about this subject until then, even if it ends and another is opened. What is still open then is sent then.";
    SILENCE_SET = "It is silenced.";
    LIFT = "Lift the silence";
    LIFTED = "The silence is lifted.";
    NO_TIME = "Expected a date and a time.";
    RESOLVE = "Resolve";
    RESOLVE_MORE = "Resolve…";
    RESOLVE_TITLE = "Resolve this incident?";
    RESOLVE_WHY = "It ends now. If its cause still holds, it is found again and opened as another incident.";
    RESOLVED_TOAST = "The incident is resolved.";
    NOTES = "Notes";
    NO_NOTES = "No notes yet.";
    NEW_NOTE = "New note";
    NOTE_HINT = "For the others who look after it. It can’t be changed later.";
    ADD_NOTE = "Add note";
    NOTED = "The note is added.";
}

/// Name of a person as it stands in records, without the prefix of accounts.
pub fn person(actor: &str) -> &str {
    actor.strip_prefix("account:").unwrap_or(actor)
}

/// A length of a silence, by its minutes.
pub fn silence_for(minutes: u32) -> String {
    match minutes {
        days if days.is_multiple_of(1_440) => match days / 1_440 {
            1 => say!("1 day").to_owned(),
            days => say!("{days} days", days),
        },
        60 => say!("1 hour").to_owned(),
        minutes => say!("{hours} hours", hours = minutes / 60),
    }
}

/// A silence in force.
pub fn silenced_until(at: &str, by: &str, reason: &str) -> String {
    say!("Until {at}, by {by}: {reason}", at, by = person(by), reason)
}

/// An end by a person's hand.
pub fn resolved_by(at: &str, by: &str, reason: &str) -> String {
    say!("{at}, by {by}: {reason}", at, by = person(by), reason)
}

/// Author and time of a note.
pub fn note_by(author: &str, at: &str) -> String {
    format!("{}, {at}", person(author))
}

/// Reason why a message can't be counted, by its code.
pub fn letter_code(code: Option<&str>) -> String {
    match code {
        Some("unreadable") => say!("Not a click").to_owned(),
        Some("impossible_time") => say!("Impossible time").to_owned(),
        Some("too_old") => say!("Too old").to_owned(),
        Some("refused") => say!("Refused by the database").to_owned(),
        Some(other) => other.replace('_', " "),
        None => super::UNKNOWN.into(),
    }
}

/// One of the letters.
pub fn letter(sequence: u64) -> String {
    say!("Dead letter {sequence}", sequence)
}

/// Reason why a message was not sent back.
pub fn not_replayable(reason: &str) -> String {
    say!("The message would come back: {reason}", reason)
}

/// Note for an administrator who names the advertiser of a click.
pub fn names_advertiser(advertiser: &str) -> String {
    say!(
        "The original does not say that this click is {advertiser}’s. You say so: the reason is required, and recorded.",
        advertiser
    )
}

/// Note for an operator, who must not name the advertiser of a click.
pub fn only_an_administrator(advertiser: &str) -> String {
    say!(
        "The original does not say that this click is {advertiser}’s. Only an administrator can say so.",
        advertiser
    )
}

/// Outcome of a dead letter.
pub fn outcome(action: &str, is_edited: bool) -> &'static str {
    match (action, is_edited) {
        ("replay", true) => say!("Replayed, edited"),
        ("replay", false) => say!("Replayed"),
        _ => say!("Dismissed"),
    }
}

/// Range of a field that takes a number.
pub fn expected_number(first: u32, last: u32) -> String {
    say!(
        "A number, {first} to {last}.",
        first = format::count(i64::from(first)),
        last = format::count(i64::from(last))
    )
}

/// Progress of a run of test clicks.
pub fn test_run(state: &str, accepted: i64, wanted: i64) -> String {
    say!(
        "{state}: {accepted} of {wanted} accepted.",
        state,
        accepted = format::count(accepted),
        wanted = format::count(wanted)
    )
}

/// Number of a run's test clicks that are in the ledger.
pub fn counted_of(counted: i64, accepted: i64) -> String {
    say!(
        "{counted} of {accepted} counted.",
        counted = format::count(counted),
        accepted = format::count(accepted)
    )
}

/// Clicks by their number; 10,000 stands for these and more.
fn many_clicks(clicks: i64) -> String {
    match clicks {
        1 => say!("1 click").to_owned(),
        10_000.. => say!("{count} clicks or more", count = format::count(clicks)),
        _ => say!("{count} clicks", count = format::count(clicks)),
    }
}

/// Consequences of a release of all clicks that match.
pub fn release_all_why(left: i64) -> String {
    match left {
        0 => say!("No invalid click of the last 8 days matches.").to_owned(),
        1 => say!("1 click of the last 8 days was judged invalid. After the release it is billed. This can’t be undone.").to_owned(),
        left => say!("{clicks} of the last 8 days were judged invalid. After the release they are billed. This can’t be undone.", clicks = many_clicks(left)),
    }
}

/// Progress of a release of all clicks that match.
pub fn release_progress(released: i64, left: i64) -> String {
    say!(
        "{released} released, {left} left. Closing this stops it.",
        released = many_clicks(released),
        left = many_clicks(left)
    )
}

/// Progress of a release of all clicks that match, where the last order released nothing.
pub fn release_stands(released: i64, left: i64) -> String {
    say!(
        "{released} released, {left} left. They can’t be released now: try again in a moment.",
        released = many_clicks(released),
        left = many_clicks(left)
    )
}

/// Result of a release of all clicks that match.
pub fn released(clicks: i64) -> String {
    match clicks {
        1 => say!("1 click is valid now.").to_owned(),
        clicks => say!("{count} clicks are valid now.", count = format::count(clicks)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_lengths_are_said_as_people_say_them() {
        assert_eq!([person("account:anna@x.example"), person("admin")], ["anna@x.example", "admin"]);
        assert_eq!([60, 240, 1_440, 10_080].map(silence_for), ["1 hour", "4 hours", "1 day", "7 days"]);
    }

    #[test]
    fn a_reason_of_a_later_program_is_said_as_it_is() {
        assert_eq!(letter_code(Some("refused")), "Refused by the database");
        assert_eq!(letter_code(Some("of_tomorrow")), "of tomorrow");
        assert_eq!(letter_code(None), "Unknown");
    }
}
