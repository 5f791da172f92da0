//! The question for how long an incident is silenced (nobody is called): a length from now, or an end time.

use serde_json::json;
use uuid::Uuid;
use yew::prelude::*;

use super::{
    super::{beside, done, wrong},
    handling::{both, order},
};
use crate::{
    ask::use_mutation,
    clock,
    frame::View,
    http::{Method, Request},
    kit::{Confirm, Field, Segments, use_field, use_toast},
    query::LocalTime,
    words,
    zone::{self, Zone},
};

/// Lengths to choose from, in minutes; the first one is chosen.
const LENGTHS: [u32; 4] = [60, 240, 1_440, 10_080];

/// Properties of the question.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The incident.
    pub(super) id: Uuid,
    /// The address.
    pub(super) view: View,
    /// Hears that the question is to be closed.
    pub(super) onclose: Callback<()>,
    /// Hears that it is silenced.
    pub(super) onchanged: Callback<()>,
}

/// Returns the time some minutes after another, on a zone's clock, rounded up to a whole minute.
fn after(now_ms: i64, minutes: u32, zone: &Zone) -> LocalTime {
    let then_ms = now_ms + i64::from(minutes) * 60_000;
    // Up to the next whole minute: an hour is not 59 minutes.
    LocalTime((then_ms + 59_999).div_euclid(60_000) + zone.ahead_minutes(then_ms))
}

/// Returns the time in the field, as the API takes it; `None`: the text is no time.
fn end(text: &str, zone: &Zone) -> Option<String> {
    let local = LocalTime::read(text)?;
    Some(zone::rfc3339(local.to_utc_ms(|at_ms| zone.ahead_minutes(at_ms))))
}

/// The question.
#[component]
pub(super) fn Silencing(props: &Props) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let zone = props.view.zone.clone();
    let (reason, onreason) = use_field("");
    let length = use_state_eq(|| AttrValue::from(LENGTHS[0].to_string()));
    let until = use_state_eq(|| after(clock::now_ms(), LENGTHS[0], &zone).to_field());
    let onlength = {
        let (length, until, zone) = (length.clone(), until.clone(), zone.clone());
        Callback::from(move |chosen: AttrValue| {
            if let Ok(minutes) = chosen.parse() {
                until.set(after(clock::now_ms(), minutes, &zone).to_field());
            }
            length.set(chosen);
        })
    };
    let onuntil = {
        let (length, until) = (length.clone(), until.clone());
        Callback::from(move |text: String| {
            // None of the lengths any more.
            length.set(AttrValue::default());
            until.set(text);
        })
    };
    let end = end(&until, &zone);
    let onconfirm = {
        let (mutation, url, end, reason) =
            (mutation.clone(), order(props.id, "silence"), end.clone(), reason.clone());
        let then = done(&toast, words::SILENCE_SET, &both(&props.onclose, &props.onchanged));
        Callback::from(move |()| {
            if let Some(until) = &end {
                let body = json!({ "until": until, "reason": reason });
                mutation.send(Request::with(Method::Post, &url, &body), then.clone());
            }
        })
    };
    let options = LENGTHS.map(|minutes| (minutes.to_string().into(), words::silence_for(minutes).into()));
    let error = wrong(&mutation, "until").or_else(|| end.is_none().then(|| words::NO_TIME.to_string()));
    html! {
        <Confirm title={words::SILENCE_TITLE} text={words::SILENCE_WHY} action={words::SILENCE} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Segments label={words::SILENCE_FOR} options={options.to_vec()} value={(*length).clone()} onchoose={onlength} />
            <Field id="silence-until" kind="datetime-local" label={words::SILENCE_UNTIL} value={(*until).clone()} oninput={onuntil} required=true {error} hint={words::in_zone(&zone.name)} />
            <Field id="silence-reason" label={words::REASON} value={reason.clone()} oninput={onreason} required=true first=true error={wrong(&mutation, "reason")} />
            { beside(&mutation, &["until", "reason"]) }
        </Confirm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_whole_minute_that_is_not_too_soon() {
        let now_ms = 1_795_894_205_250; // 2026-11-28T19:30:05.250Z
        let in_an_hour = after(now_ms, 60, &Zone::utc()).to_field();
        assert_eq!(in_an_hour, "2026-11-28T20:31");
        assert_eq!(end(&in_an_hour, &Zone::utc()).as_deref(), Some("2026-11-28T20:31:00Z"));
        assert_eq!(end("", &Zone::utc()), None);
    }
}
