//! Release of clicks that were convicted wrongly: of one, or of all that a search finds.

use clickwire_protocol::ledger::FoundClick;
use serde::Deserialize;
use serde_json::json;
use yew::prelude::*;

use super::{beside, done, wrong};
use crate::{
    ask::{use_mutation, use_query},
    clock,
    http::{self, Method, Request},
    kit::{Confirm, Field, Problem, use_field, use_toast},
    words, zone,
};

/// Properties of the question about one click.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The click.
    pub(super) click: FoundClick,
    /// Hears that the question is to be closed.
    pub(super) onclose: Callback<()>,
    /// Hears that the click is valid now.
    pub(super) onreleased: Callback<()>,
}

/// The question, with the reason that is recorded.
#[component]
pub(super) fn Release(props: &Props) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (reason, onreason) = use_field("");
    let onconfirm = {
        let (mutation, click) = (mutation.clone(), &props.click);
        let url = http::url(
            &format!("/api/v1/admin/clicks/{}/release", click.click_id),
            [
                ("advertiser_id", Some(click.advertiser_id.to_string())),
                ("clicked_at", Some(click.clicked_at.clone())),
            ],
        );
        let body = json!({ "reason": reason });
        let (onclose, onreleased) = (props.onclose.clone(), props.onreleased.clone());
        let then = done(
            &toast,
            words::RELEASED_TOAST,
            &Callback::from(move |()| {
                onclose.emit(());
                onreleased.emit(());
            }),
        );
        Callback::from(move |()| mutation.send(Request::with(Method::Post, &url, &body), then.clone()))
    };
    html! {
        <Confirm title={words::RELEASE_TITLE} text={words::RELEASE_WHY} action={words::RELEASE} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Field id="release-reason" label={words::REASON} value={reason} oninput={onreason} required=true first=true error={wrong(&mutation, "reason")} />
            { beside(&mutation, &["reason"]) }
        </Confirm>
    }
}

/// The progress of an order to release clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
struct Releases {
    /// Clicks that are valid now.
    released: i64,
    /// Clicks that are still to be released.
    left: i64,
}

/// The progress of a release of all clicks, of which an order releases some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Progress {
    released: i64,
    left: i64,
    /// The last order released nothing: the next one is sent only when the viewer presses the button again.
    stands: bool,
}

impl Progress {
    /// Returns the progress after an answer; `None`: nothing is left.
    fn after(before: i64, told: Releases) -> Option<Self> {
        let Releases { released, left } = told;
        (left > 0).then_some(Self { released: before + released, left, stands: released == 0 })
    }
}

/// Properties of the question about all clicks.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct AllProps {
    /// The query of the search that finds them, with its `?`.
    pub(super) search: String,
    /// Hears that the question is to be closed.
    pub(super) onclose: Callback<()>,
    /// Hears that clicks are valid now.
    pub(super) onreleased: Callback<()>,
}

/// Returns a search with an end: that of the present minute, if it has none.
fn until_now(search: &str, now_ms: i64) -> String {
    if search.contains("end_time=") {
        return search.to_owned();
    }
    let separator = if search.contains('?') { '&' } else { '?' };
    format!("{search}{separator}end_time={}", zone::rfc3339(now_ms + 60_000))
}

/// The question about all clicks that a search finds. They are released some hundred at a time, with the progress
/// shown, until none is left or the question is closed.
#[component]
pub(super) fn ReleaseAll(props: &AllProps) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (reason, onreason) = use_field("");
    // What is asked about when the question opens is released, and nothing that comes after its minute.
    let search = use_memo((), |()| until_now(&props.search, clock::now_ms()));
    let url = format!("/api/v1/admin/clicks/release{search}");
    let counted = use_query::<Releases>(Some(url.clone()));
    let so_far = use_state_eq(|| None::<Progress>);
    let send = {
        let (mutation, so_far, toast) = (mutation.clone(), so_far.setter(), toast.clone());
        let (onclose, onreleased) = (props.onclose.clone(), props.onreleased.clone());
        let request = Request::with(Method::Post, &url, &json!({ "reason": reason }));
        Callback::from(move |before: i64| {
            let (so_far, toast) = (so_far.clone(), toast.clone());
            let (onclose, onreleased) = (onclose.clone(), onreleased.clone());
            let then = Callback::from(move |told: Releases| {
                if let Some(progress) = Progress::after(before, told) {
                    return so_far.set(Some(progress));
                }
                toast.emit(words::released(before + told.released).into());
                onclose.emit(());
                onreleased.emit(());
            });
            mutation.run(request.clone(), then);
        })
    };
    // Each answer that leaves something has the next order sent.
    let goes_on = (*so_far).filter(|so_far| !so_far.stands);
    use_effect_with((goes_on.map(|so_far| so_far.released), mutation.is_busy), {
        let (send, has_failed) = (send.clone(), mutation.failure.is_some());
        move |&(released, is_busy)| {
            if let Some(released) = released.filter(|_| !is_busy && !has_failed) {
                send.emit(released);
            }
        }
    });
    let onconfirm = {
        let so_far = so_far.clone();
        Callback::from(move |()| send.emit((*so_far).map_or(0, |so_far| so_far.released)))
    };
    let is_under_way = mutation.is_busy || goes_on.is_some() && mutation.failure.is_none();
    let text = match (&counted.data, &*so_far) {
        (_, Some(so_far)) if so_far.stands => words::release_stands(so_far.released, so_far.left),
        (_, Some(so_far)) => words::release_progress(so_far.released, so_far.left),
        (Some(counted), None) => words::release_all_why(counted.left),
        (None, None) => String::new(),
    };
    let has_none = counted.data.as_ref().is_none_or(|counted| counted.left == 0);
    let onclose = {
        let (onclose, onreleased, has_begun) =
            (props.onclose.clone(), props.onreleased.clone(), so_far.is_some());
        Callback::from(move |()| {
            onclose.emit(());
            if has_begun {
                onreleased.emit(());
            }
        })
    };
    html! {
        <Confirm title={words::RELEASE_ALL_TITLE} {text} action={words::RELEASE_ALL} {onconfirm} {onclose} is_busy={is_under_way || has_none}>
            if let Some(failure) = counted.failure.clone() {
                <Problem {failure} onretry={counted.reload.clone()} />
            }
            <Field id="release-reason" label={words::REASON} value={reason} oninput={onreason} required=true first=true disabled={so_far.is_some()} error={wrong(&mutation, "reason")} />
            { beside(&mutation, &["reason"]) }
        </Confirm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_without_an_end_ends_when_it_is_asked() {
        let now_ms = 1_795_939_200_000;
        assert_eq!(until_now("?a=1&end_time=x", now_ms), "?a=1&end_time=x");
        let ended = until_now("?a=1", now_ms);
        assert_eq!(ended, "?a=1&end_time=2026-11-29T08:01:00Z", "the present minute is whole");
        assert!(until_now("", now_ms).starts_with("?end_time="));
    }

    #[test]
    fn a_release_is_done_when_nothing_is_left_and_stands_when_an_order_releases_nothing() {
        let after = |released, left| Progress::after(500, Releases { released, left });
        assert_eq!(after(500, 20), Some(Progress { released: 1_000, left: 20, stands: false }));
        assert_eq!(after(0, 20), Some(Progress { released: 500, left: 20, stands: true }));
        assert_eq!([after(20, 0), after(0, 0)], [None, None]);
        let said = words::release_stands(500, 1);
        assert!(said.starts_with("500 clicks released, 1 click left"), "{said}");
    }
}
