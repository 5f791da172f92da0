//! Texts about corrections on a statement after its month was closed.

use crate::format;

texts! {
    CORRECTIONS = "Corrections since closing";
    NO_CORRECTIONS = "No corrections.";
    NO_CORRECTIONS_WHY = "What is billable has not changed since the month was closed.";
    CORRECTIONS_UNKNOWN = "Corrections can’t be shown for this month.";
    CORRECTIONS_UNKNOWN_WHY = "What was known at closing is told from single clicks, as far as the ledger keeps them.";
    AT_CLOSING = "Billable at closing";
    BILLABLE_NOW = "Billable now";
    DIFFERENCE = "Difference";
    CHANGED_VERDICTS = "Changed verdicts";
    NO_CHANGED_VERDICTS = "No verdict was changed.";
    NOT_RECONCILED = "Counts have not been compared with the ledger yet.";
    NO_CHANGED_VERDICTS_WHY = "Without one, a difference comes from clicks that were received after closing.";
}

/// Time at which a month was closed, and the meaning of that.
pub fn closed_at(at: &str) -> String {
    say!(
        "Closed at {at}. At closing are the clicks received until then, with the verdicts of then. Afterwards releases, later verdicts and late clicks change what is billable.",
        at
    )
}

/// Number of clicks that were received after a month was closed.
pub fn received_late(clicks: i64) -> String {
    match clicks {
        0 => say!("No click was received after closing.").to_owned(),
        1 => say!("1 click was received after closing.").to_owned(),
        _ => say!("{clicks} clicks were received after closing.", clicks = format::count(clicks)),
    }
}

/// The last comparison of all advertisers' counts with the ledger, and how many differences it found and left.
pub fn reconciled(finished: &str, from: &str, to: &str, found: i64, left: i64) -> String {
    let outcome = match (found, left) {
        (0, _) => say!("no difference").to_owned(),
        (1, 0) => say!("1 difference, mended").to_owned(),
        (_, 0) => say!("{found} differences, all mended", found = format::count(found)),
        (_, 1) => say!("1 difference is left").to_owned(),
        (_, _) => say!("{left} differences are left", left = format::count(left)),
    };
    say!(
        "The counts of all advertisers were compared with the ledger at {finished} ({from} to {to}): {outcome}.",
        finished,
        from,
        to,
        outcome
    )
}

/// A difference with its sign.
pub fn difference(of: i64) -> String {
    match of {
        0 => "±0".to_owned(),
        1.. => format!("+{}", format::count(of)),
        _ => format!("−{}", format::count(of.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_a_sign() {
        assert_eq!([0, 1_234, -5].map(difference), ["±0", "+1,234", "−5"]);
    }
}
