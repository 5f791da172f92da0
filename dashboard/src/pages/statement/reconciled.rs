//! The last comparison of all counts with the ledger, for people who work for the deployment.

use yew::prelude::*;

use crate::{api::Stats, ask::use_query, frame::View, words};

/// Properties of the line.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The address.
    pub(super) view: View,
}

/// A line that says what was compared, when, and what differed.
#[component]
pub(super) fn Reconciled(props: &Props) -> Html {
    let stats = use_query::<Stats>(Some("/api/v1/admin/stats".to_owned()));
    match stats.data.as_deref() {
        Some(stats) => html! { <p class="soft" data-testid="reconciled">{ told(stats, &props.view) }</p> },
        // A failure hides nothing: the numbers of the statement do not depend on this line.
        None => html! {},
    }
}

fn told(stats: &Stats, view: &View) -> String {
    let stamp = |at: &str| view.zone.stamp(at);
    stats.reconciliation.as_ref().map_or_else(
        || words::NOT_RECONCILED.get().to_owned(),
        |last| {
            let (finished, from, to) =
                (stamp(&last.finished_at), stamp(&last.range_start), stamp(&last.range_end));
            let left = last.differences - last.repaired;
            words::reconciled(&finished, &from, &to, last.differences, left)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::Reconciliation, query::Query, route::Route, router::Place, zone::Zone};

    #[test]
    fn differences_that_are_left_are_told() {
        let view =
            View { place: Place::new(Route::Statement, Query::default()), scope: None, zone: Zone::utc() };
        let told = |reconciliation| told(&Stats { reconciliation }, &view);
        assert!(told(None).contains("not been compared"));
        for (differences, repaired, expected) in [
            (0, 0, "no difference."),
            (1, 1, "1 difference, mended"),
            (3, 3, "3 differences, all"),
            (3, 2, "1 difference is"),
            (3, 1, "2 differences are"),
        ] {
            let text = told(Some(Reconciliation {
                finished_at: "2026-11-29T12:00:00Z".into(),
                range_start: "2026-11-29T10:00:00Z".into(),
                range_end: "2026-11-29T11:00:00Z".into(),
                differences,
                repaired,
            }));
            assert!(text.contains(expected) && text.contains("12:00"), "{text}");
        }
    }
}
