//! Texts about the evidence of an incident.

use crate::format;

texts! {
    CLICKS_AROUND = "Clicks around the incident";
    SIMILAR = "Similar incidents";
    NONE_OF_SUBJECT = "There was no other about this subject. These are of the same kind.";
    NONE_SIMILAR = "There was no other of this kind.";
    BY_ITSELF = "By itself";
}

/// Clicks while an incident lasted, and the highest bar of its chart.
pub fn clicks_meanwhile(valid: i64, invalid: i64, highest: i64) -> String {
    say!(
        "{valid} valid and {invalid} invalid clicks while the incident lasted; the highest bar is {highest} clicks.",
        valid = format::count(valid),
        invalid = format::count(invalid),
        highest = format::count(highest)
    )
}
