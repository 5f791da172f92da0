//! What operators read: dead letters.

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

/// Why a message can't be counted, by its code.
pub fn letter_code(code: Option<&str>) -> String {
    match code {
        Some("unreadable") => "Not a click".to_owned(),
        Some("impossible_time") => "Impossible time".to_owned(),
        Some("too_old") => "Too old".to_owned(),
        Some("refused") => "Refused by the database".to_owned(),
        Some(other) => other.replace('_', " "),
        None => super::UNKNOWN.to_owned(),
    }
}

/// One of the letters.
pub fn letter(sequence: u64) -> String {
    format!("Dead letter {sequence}")
}

/// Why a message was not sent back.
pub fn not_replayable(reason: &str) -> String {
    format!("The message would come back: {reason}")
}

/// An administrator says whose click it is.
pub fn names_advertiser(advertiser: &str) -> String {
    format!(
        "The original does not say that this click is {advertiser}’s. You say so: the reason is required, and recorded."
    )
}

/// An operator must not say whose click it is.
pub fn only_an_administrator(advertiser: &str) -> String {
    format!("The original does not say that this click is {advertiser}’s. Only an administrator can say so.")
}

/// What was done with a letter.
pub fn outcome(action: &str, is_edited: bool) -> &'static str {
    match (action, is_edited) {
        ("replay", true) => "Replayed, edited",
        ("replay", false) => "Replayed",
        _ => "Dismissed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_a_later_program_is_said_as_it_is() {
        assert_eq!(letter_code(Some("refused")), "Refused by the database");
        assert_eq!(letter_code(Some("of_tomorrow")), "of tomorrow");
        assert_eq!(letter_code(None), "Unknown");
    }
}
