//! One dead letter: its message, the reason it can't be counted, and the actions on it. Of several operators who act
//! on it at once one succeeds; the others see the outcome.

use clickwire_protocol::dead_letters::{Replayed, Summary};
use serde_json::json;
use yew::prelude::*;

use super::{
    super::{beside, done, id, on_submit, sets, wrong},
    AGAIN_MS, LETTERS,
};
use crate::{
    access::use_access,
    api::{DeadLetter, LetterOutcome, Role},
    ask::{use_interval, use_mutation, use_query},
    format,
    frame::View,
    http::{Failure, Method, Request},
    json,
    kit::{Area, Confirm, Copy, Empty, Field, Problem, use_field, use_toast},
    words,
};

/// Interval between two requests for a dead letter that another operator is handling, in milliseconds.
const SOON_MS: u32 = 1_000;

/// Lines of a message that are visible at once.
const LINES: u32 = 16;

/// Properties of the dead letter.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The sequence number of the dead letter.
    pub(super) sequence: u64,
    /// The address.
    pub(super) view: View,
    /// Hears that the dead letter was handled.
    pub(super) onchanged: Callback<()>,
    /// Hears that nothing is left to look at.
    pub(super) onclose: Callback<()>,
}

/// The letter, or what was done with it.
#[component]
pub(super) fn Letter(props: &Props) -> Html {
    let url = format!("{LETTERS}/{}", props.sequence);
    let letter = use_query::<DeadLetter>(Some(url.clone()));
    let is_gone = letter.failure.as_ref().is_some_and(|failure| failure.status() == Some(404));
    let outcome = use_query::<LetterOutcome>(is_gone.then(|| format!("{url}/outcome")));
    let is_contested = use_state_eq(|| false);
    let every_ms = match (is_gone, *is_contested) {
        (true, _) => 0,
        (false, true) => SOON_MS,
        (false, false) => AGAIN_MS,
    };
    use_interval(every_ms, letter.reload.clone());
    let oncontested = {
        let (is_contested, reload, onchanged) =
            (is_contested.clone(), letter.reload.clone(), props.onchanged.clone());
        Callback::from(move |()| {
            is_contested.set(true);
            reload.emit(());
            onchanged.emit(());
        })
    };
    if is_gone {
        return match (&outcome.data, &outcome.failure) {
            (Some(outcome), _) => dealt_with(outcome, &props.view),
            (None, Some(failure)) if failure.status() == Some(404) => {
                html! { <Empty title={words::NO_SUCH_LETTER} /> }
            }
            (None, Some(failure)) => {
                html! { <Problem failure={failure.clone()} onretry={outcome.reload.clone()} /> }
            }
            (None, None) => html! {},
        };
    }
    html! {
        <>
            if let Some(failure) = letter.failure.clone() {
                <Problem {failure} onretry={letter.reload.clone()} />
            }
            if let Some(letter) = &letter.data {
                { facts(&letter.summary, &props.view) }
                <Form letter={(**letter).clone()} onchanged={props.onchanged.clone()} onclose={props.onclose.clone()} {oncontested} />
            }
        </>
    }
}

fn line(label: words::Text, value: Html) -> Html {
    html! { <><dt>{ label }</dt><dd>{ value }</dd></> }
}

fn facts(letter: &Summary, view: &View) -> Html {
    html! {
        <dl class="facts" data-testid="letter">
            { line(words::WHY, html! { words::letter_code(letter.code.as_deref()) }) }
            if let Some(reason) = &letter.reason {
                { line(words::DETAIL, html! { <bdi>{ reason }</bdi> }) }
            }
            { line(words::SET_ASIDE, html! { view.zone.stamp(&letter.stored_at) }) }
            if let Some(subject) = &letter.subject {
                { line(words::STREAM_SUBJECT, id(subject)) }
            }
            if let Some(sequence) = letter.stream_sequence {
                { line(words::STREAM_SEQUENCE, html! { sequence }) }
            }
            { line(words::SIZE, html! { format::bytes(letter.size_bytes as f64) }) }
            if let Some(click_id) = letter.click_id.map(|click_id| click_id.to_string()) {
                { line(words::CLICK_ID, html! { <span class="with-copy">{ id(&click_id) }<Copy text={click_id} what={words::THE_ID} /></span> }) }
            }
        </dl>
    }
}

fn dealt_with(outcome: &LetterOutcome, view: &View) -> Html {
    html! {
        <div class="part" data-testid="outcome">
            <p role="status">{ words::DEALT_WITH }</p>
            <dl class="facts">
                { line(words::OUTCOME, html! { words::outcome(&outcome.action, outcome.is_edited) }) }
                { line(words::BY, html! { <bdi>{ words::person(&outcome.actor) }</bdi> }) }
                { line(words::TIME, html! { view.zone.stamp(&outcome.acted_at) }) }
                if let Some(reason) = &outcome.reason {
                    { line(words::REASON, html! { <bdi>{ reason }</bdi> }) }
                }
                if let Some(click_id) = outcome.click_id {
                    { line(words::CLICK_ID, id(&click_id.to_string())) }
                }
                if let Some(advertiser) = &outcome.named_advertiser {
                    { line(words::ADVERTISER, id(advertiser)) }
                }
            </dl>
        </div>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FormProps {
    letter: DeadLetter,
    onchanged: Callback<()>,
    onclose: Callback<()>,
    /// Hears that another operator handles the dead letter, or has done so.
    oncontested: Callback<()>,
}

/// Returns the advertiser that a replay would name and the original message does not.
fn named_advertiser(original: Option<&str>, message: &str) -> Option<String> {
    let named = json::text_in(message, "advertiser_id")?;
    let original = original.and_then(|original| json::text_in(original, "advertiser_id"));
    (original.as_ref() != Some(&named)).then_some(named)
}

/// The message, and what can be done with it.
#[component]
fn Form(props: &FormProps) -> Html {
    let (access, toast, mutation) = (use_access(), use_toast(), use_mutation());
    let original = props.letter.payload.as_deref();
    let begin = original.map(|text| json::laid_out(text).unwrap_or_else(|| text.to_owned()));
    let edited = use_state_eq(|| None::<String>);
    let (reason, onreason) = use_field("");
    let dismisses = use_state_eq(|| false);
    let url = format!("{LETTERS}/{}", props.letter.summary.sequence);
    let shown = edited.as_ref().or(begin.as_ref()).cloned().unwrap_or_default();
    let is_edited = edited.as_ref().is_some_and(|text| Some(text) != begin.as_ref());
    let named = named_advertiser(original, &shown);
    let is_admin = access.role() == Role::Admin;
    let may_replay = (original.is_some() || is_edited) && (named.is_none() || is_admin);
    {
        let oncontested = props.oncontested.clone();
        let is_contested =
            mutation.failure.as_ref().is_some_and(|failure| matches!(failure.status(), Some(404 | 409)));
        use_effect_with(is_contested, move |&is_contested| {
            if is_contested {
                oncontested.emit(());
            }
        });
    }
    let finished = {
        let (onchanged, onclose) = (props.onchanged.clone(), props.onclose.clone());
        Callback::from(move |()| {
            onchanged.emit(());
            onclose.emit(());
        })
    };
    let onsubmit = {
        let (mutation, toast, finished, url) =
            (mutation.clone(), toast.clone(), finished.clone(), format!("{url}/replay"));
        let mut body = json!({});
        if is_edited {
            body["payload"] = json!(shown);
        }
        if !reason.trim().is_empty() {
            body["reason"] = json!(reason);
        }
        on_submit(move || {
            let (toast, finished) = (toast.clone(), finished.clone());
            let then = Callback::from(move |Replayed { is_repeated, .. }| {
                toast.emit(if is_repeated { words::REPLAYED_AGAIN } else { words::REPLAYED }.into());
                finished.emit(());
            });
            mutation.run(Request::with(Method::Post, &url, &body), then);
        })
    };
    let onedit = {
        let edited = edited.clone();
        Callback::from(move |text| edited.set(Some(text)))
    };
    let onrestore = {
        let edited = edited.clone();
        Callback::from(move |_: MouseEvent| edited.set(None))
    };
    let (label, hint) = match original {
        Some(_) => (words::MESSAGE, words::MESSAGE_HINT),
        None => (words::MESSAGE_INSTEAD, words::MESSAGE_INSTEAD_HINT),
    };
    html! {
        <>
            if let Some(bytes) = &props.letter.payload_base64 {
                <p>{ words::MESSAGE_BINARY }</p>
                <pre class="bytes" tabindex="0">{ bytes }</pre>
            }
            <form class="form message" {onsubmit}>
                <Area id="letter-message" {label} {hint} value={shown} oninput={onedit} lines={LINES} is_code=true />
                if let Some(named) = &named {
                    <p class="notice" role="status">{ if is_admin { words::names_advertiser(named) } else { words::only_an_administrator(named) } }</p>
                }
                <Field id="letter-reason" label={words::REASON} value={reason} oninput={onreason} required={named.is_some() && is_admin}
                    hint={if named.is_none() { words::REPLAY_REASON_HINT.get() } else { "" }} error={wrong(&mutation, "reason")} />
                { match &mutation.failure {
                    Some(Failure::Refused { reason: Some(reason), .. }) => html! { <p class="problem" role="alert">{ words::not_replayable(reason) }</p> },
                    _ => beside(&mutation, &["reason"]),
                } }
                <div class="form-end">
                    <button type="submit" class="primary" data-testid="replay" disabled={mutation.is_busy || !may_replay}>{ if is_edited { words::REPLAY_EDITED } else { words::REPLAY } }</button>
                    if is_edited {
                        <button type="button" class="quiet" onclick={onrestore}>{ words::RESTORE }</button>
                    }
                    <button type="button" class="quiet danger" data-testid="dismiss" onclick={sets(&dismisses, true).reform(|_: MouseEvent| ())}>{ words::DISMISS_MORE }</button>
                </div>
            </form>
            if *dismisses {
                <Dismiss {url} onclose={sets(&dismisses, false)} onchanged={finished} oncontested={props.oncontested.clone()} />
            }
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct DismissProps {
    /// The dead letter's URL in the API.
    url: String,
    onclose: Callback<()>,
    onchanged: Callback<()>,
    oncontested: Callback<()>,
}

/// The question before a dead letter is dismissed, with the reason that is recorded.
#[component]
fn Dismiss(props: &DismissProps) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (reason, onreason) = use_field("");
    {
        let (oncontested, onclose) = (props.oncontested.clone(), props.onclose.clone());
        let is_contested =
            mutation.failure.as_ref().is_some_and(|failure| matches!(failure.status(), Some(404 | 409)));
        use_effect_with(is_contested, move |&is_contested| {
            if is_contested {
                oncontested.emit(());
                onclose.emit(());
            }
        });
    }
    let onconfirm = {
        let (mutation, url) = (mutation.clone(), format!("{}/dismiss", props.url));
        let body = json!({ "reason": reason });
        let then = done(&toast, words::DISMISSED, &props.onchanged);
        Callback::from(move |()| mutation.send(Request::with(Method::Post, &url, &body), then.clone()))
    };
    html! {
        <Confirm title={words::DISMISS_TITLE} text={words::DISMISS_WHY} action={words::DISMISS} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Field id="dismiss-reason" label={words::REASON} value={reason} oninput={onreason} required=true first=true error={wrong(&mutation, "reason")} />
            { beside(&mutation, &["reason"]) }
        </Confirm>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::Access, account::Credential, api::Session, kit::render, query::Query, route::Route,
        router::Place, zone::Zone,
    };

    #[derive(Clone, PartialEq, Properties)]
    struct AsProps {
        role: Role,
        form: FormProps,
    }

    /// The form as a role sees it.
    #[component]
    fn As(props: &AsProps) -> Html {
        let session = Session { name: "Anna".into(), role: props.role, advertisers: None };
        let access = Access { session: Some(session), ..Access::new(Credential::Cookie) };
        html! { <ContextProvider<Access> context={access}><Form ..props.form.clone() /></ContextProvider<Access>> }
    }

    fn letter(payload: Option<&str>) -> DeadLetter {
        let summary = Summary {
            sequence: 7,
            code: Some("refused".into()),
            reason: Some("an <id>".into()),
            subject: Some("clicks.3".into()),
            stream_sequence: Some(17),
            stored_at: "2026-11-28T10:00:00Z".into(),
            size_bytes: 120,
            click_id: None,
        };
        DeadLetter {
            summary,
            payload: payload.map(str::to_owned),
            payload_base64: payload.is_none().then(|| "/wA=".to_owned()),
        }
    }

    async fn form(role: Role, payload: Option<&str>) -> String {
        let form = FormProps {
            letter: letter(payload),
            onchanged: Callback::noop(),
            onclose: Callback::noop(),
            oncontested: Callback::noop(),
        };
        render::<As>(AsProps { role, form }).await
    }

    #[tokio::test]
    async fn a_message_is_laid_out_and_goes_back_as_it_came() {
        let form = form(Role::Ops, Some(r#"{"advertiser_id":"adv_001"}"#)).await;
        assert!(
            form.contains("\n  &quot;advertiser_id&quot;: ") || form.contains("\n  \"advertiser_id\": "),
            "{form}"
        );
        assert!(form.contains(words::REPLAY.get()) && !form.contains(words::REPLAY_EDITED.get()), "{form}");
        assert!(!form.contains("disabled"), "{form}");
    }

    #[tokio::test]
    async fn bytes_are_shown_and_only_a_message_in_their_place_goes_back() {
        let form = form(Role::Admin, None).await;
        assert!(form.contains("/wA=") && form.contains(words::MESSAGE_INSTEAD.get()), "{form}");
        assert!(form.contains("disabled"), "{form}");
    }

    #[test]
    fn whose_click_it_is_is_said_by_the_original_or_by_a_person() {
        let (own, other) = (r#"{"advertiser_id":"adv_001"}"#, r#"{"advertiser_id":"adv_002"}"#);
        for (original, message, expected) in [
            (Some(own), own, None),
            (Some(own), other, Some("adv_002")),
            (Some("{"), own, Some("adv_001")),
            (None, own, Some("adv_001")),
            (Some(own), "{", None),
        ] {
            assert_eq!(named_advertiser(original, message).as_deref(), expected, "{original:?} {message}");
        }
    }

    #[test]
    fn who_comes_second_reads_what_was_done() {
        let outcome = LetterOutcome {
            action: "replay".into(),
            acted_at: "2026-11-28T10:00:00Z".into(),
            actor: "account:berta".into(),
            reason: Some("cut off".into()),
            click_id: None,
            is_edited: true,
            named_advertiser: None,
        };
        let view = View {
            place: Place::new(Route::DeadLetters(Some(7)), Query::default()),
            scope: None,
            zone: Zone::utc(),
        };
        let said = format!("{:?}", dealt_with(&outcome, &view));
        for expected in ["Replayed, edited", "\"berta\"", "cut off", "2026-11-28 10:00:00"] {
            assert!(said.contains(expected), "{expected}: {said}");
        }
    }
}
