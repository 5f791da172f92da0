//! Texts about the outcome of an incident: a person's judgement of its convictions.

use clickwire_protocol::alerts::Outcome;

texts! {
    CONVICTIONS = "The convictions";
    CONFIRM = "Confirm";
    CONFIRM_MORE = "Confirm the invalid verdicts…";
    CONFIRM_TITLE = "Confirm the invalid verdicts?";
    CONFIRM_WHY = "You say that the clicks of this incident were judged rightly. They stay invalid, and the incident ends now. If its cause still holds, it is found again and opened as another incident.";
    CONFIRMED_TOAST = "The invalid verdicts are confirmed, and the incident is resolved.";
    NOTHING_SAID = "Nothing is said of them";
}

/// An outcome.
pub fn outcome_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Confirmed => say!("Confirmed"),
        Outcome::Released => say!("Wrong, clicks were released"),
        Outcome::Other => say!("Neither confirmed nor released"),
    }
}
