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

/// A comparison of counts with the ledger that found no difference.
pub fn reconciled(finished: &str, from: &str, to: &str) -> String {
    say!("Compared with the ledger at {finished}, {from} to {to}: no difference.", finished, from, to)
}

/// A comparison that found differences, all of which were mended.
pub fn reconciled_and_mended(finished: &str, from: &str, to: &str, differences: i64) -> String {
    say!(
        "Compared with the ledger at {finished}, {from} to {to}: {differences} minutes differed and were mended.",
        finished,
        from,
        to,
        differences = format::count(differences)
    )
}

/// A comparison that left differences.
pub fn reconciled_with_differences(finished: &str, from: &str, to: &str, open: i64) -> String {
    say!(
        "Compared with the ledger at {finished}, {from} to {to}: {open} minutes differ.",
        finished,
        from,
        to,
        open = format::count(open)
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
