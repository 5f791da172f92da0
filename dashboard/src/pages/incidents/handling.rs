//! Actions on an incident: acknowledge, take, assign, silence, resolve, confirm, and notes. Each of them reaches the
//! other operators' pages as news.

use clickwire_protocol::alerts::{Alert, Assignees, Outcome, Written};
use serde_json::json;
use uuid::Uuid;
use yew::prelude::*;

use super::{
    super::{beside, done, on_submit, sets, wrong},
    silence::Silencing,
};
use crate::{
    access::use_access,
    ask::{use_mutation, use_query},
    frame::View,
    http::{Method, Request},
    incidents::is_silenced_now,
    kit::{Area, Confirm, Field, Select, use_field, use_toast},
    words,
};

/// The value of nobody in the list of people.
const NOBODY: &str = "";

/// Returns the URL of an order about an incident.
pub(super) fn order(id: Uuid, what: &str) -> String {
    format!("/api/v1/alerts/{id}/{what}")
}

/// Properties of the actions.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The incident.
    pub(super) alert: Alert,
    /// The address.
    pub(super) view: View,
    /// Hears that it was changed.
    pub(super) onchanged: Callback<()>,
}

/// The question that is open before an action.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Nothing,
    Silence,
    Resolve,
    Confirm,
}

/// The actions on an incident.
#[component]
pub(super) fn Handling(props: &Props) -> Html {
    let (access, mutation, toast) = (use_access(), use_mutation(), use_toast());
    let assignees = use_query::<Assignees>(Some("/api/v1/alerts/assignees".to_owned()));
    let asks = use_state_eq(|| Asks::Nothing);
    let alert = &props.alert;
    let id = alert.alert_id;
    let me = access.session.as_ref().map(|session| session.name.clone()).unwrap_or_default();
    let is_open = alert.resolved_at.is_none();
    let is_mine = alert.assigned_to.as_ref() == Some(&me);
    let send = |method: Method, what: &str, said: words::Text| {
        let (mutation, url) = (mutation.clone(), order(id, what));
        let then = done(&toast, said, &props.onchanged);
        Callback::from(move |_: MouseEvent| mutation.send(Request::bare(method, &url), then.clone()))
    };
    let assign = {
        let (mutation, toast, onchanged) = (mutation.clone(), toast.clone(), props.onchanged.clone());
        let (from, me) = (alert.assigned_to.clone(), me.clone());
        Callback::from(move |to: Option<String>| {
            let said = if to.as_ref() == Some(&me) { words::TAKEN } else { words::GIVEN };
            let body = json!({ "from": from, "to": to });
            let then = done(&toast, said, &onchanged);
            mutation.send(Request::with(Method::Post, &order(id, "assign"), &body), then);
        })
    };
    let mut people = assignees.data.as_ref().map(|known| known.data.clone()).unwrap_or_default();
    for known in alert.assigned_to.iter().chain([&me]) {
        if !people.contains(known) {
            people.push(known.clone());
        }
    }
    let nobody = (AttrValue::from(NOBODY), AttrValue::from(words::NOBODY));
    let people = people.into_iter().map(|name| {
        let shown = AttrValue::from(words::person(&name).to_owned());
        (AttrValue::from(name), shown)
    });
    let onchoose = assign.reform(|to: AttrValue| (to != NOBODY).then(|| to.to_string()));
    let taken = if is_mine { None } else { Some(me) };
    let ontake = assign.reform(move |_: MouseEvent| taken.clone());
    let asks_for = |what| sets(&asks, what).reform(|_: MouseEvent| ());
    let close = sets(&asks, Asks::Nothing);
    html! {
        <>
            <div class="form-end begin" data-testid="handling">
                if is_open && alert.acknowledged_at.is_none() {
                    <button type="button" class="primary" data-testid="acknowledge" disabled={mutation.is_busy} onclick={send(Method::Post, "acknowledge", words::ACKNOWLEDGED)}>{ words::ACKNOWLEDGE }</button>
                }
                if is_open {
                    <button type="button" class="quiet" data-testid="take" disabled={mutation.is_busy} onclick={ontake}>{ if is_mine { words::GIVE_BACK } else { words::TAKE } }</button>
                    <button type="button" class="quiet" data-testid="silence" onclick={asks_for(Asks::Silence)}>{ words::SILENCE_MORE }</button>
                    if alert.kind.is_about_convictions() {
                        <button type="button" class="quiet" data-testid="confirm" onclick={asks_for(Asks::Confirm)}>{ words::CONFIRM_MORE }</button>
                    }
                    <button type="button" class="quiet" data-testid="resolve" onclick={asks_for(Asks::Resolve)}>{ words::RESOLVE_MORE }</button>
                }
                if is_silenced_now(alert) {
                    <button type="button" class="quiet" data-testid="lift" disabled={mutation.is_busy} onclick={send(Method::Delete, "silence", words::LIFTED)}>{ words::LIFT }</button>
                }
            </div>
            { beside(&mutation, &[]) }
            if is_open {
                <Select id="assignee" label={words::ASSIGNED} options={std::iter::once(nobody).chain(people).collect::<Vec<_>>()}
                    value={alert.assigned_to.clone().unwrap_or_default()} {onchoose} />
            }
            { match *asks {
                Asks::Nothing => html! {},
                Asks::Silence => html! { <Silencing {id} view={props.view.clone()} onclose={close} onchanged={props.onchanged.clone()} /> },
                Asks::Resolve | Asks::Confirm => html! {
                    <Resolving {id} confirms={*asks == Asks::Confirm} is_about_convictions={alert.kind.is_about_convictions()}
                        onclose={close} onchanged={props.onchanged.clone()} />
                },
            } }
        </>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct ResolvingProps {
    id: Uuid,
    /// The incident ends because its convictions are right.
    confirms: bool,
    /// The incident has invalid verdicts that can be confirmed.
    is_about_convictions: bool,
    onclose: Callback<()>,
    onchanged: Callback<()>,
}

/// The question before an incident ends by hand, with the reason that is recorded.
#[component]
fn Resolving(props: &ResolvingProps) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (reason, onreason) = use_field("");
    let outcome = use_state_eq(|| props.confirms.then_some(Outcome::Confirmed));
    let [title, text, action, said] = if props.confirms {
        [words::CONFIRM_TITLE, words::CONFIRM_WHY, words::CONFIRM, words::CONFIRMED_TOAST]
    } else {
        [words::RESOLVE_TITLE, words::RESOLVE_WHY, words::RESOLVE, words::RESOLVED_TOAST]
    };
    let onconfirm = {
        let (mutation, url) = (mutation.clone(), order(props.id, "resolve"));
        let body = json!({ "reason": reason, "outcome": *outcome });
        let then = done(&toast, said, &both(&props.onclose, &props.onchanged));
        Callback::from(move |()| mutation.send(Request::with(Method::Post, &url, &body), then.clone()))
    };
    let nothing = (AttrValue::default(), words::NOTHING_SAID.into());
    let outcomes = Outcome::ALL.map(|known| (known.as_str().into(), words::outcome_of(known).into()));
    let options: Vec<(AttrValue, AttrValue)> = std::iter::once(nothing).chain(outcomes).collect();
    let onoutcome = {
        let outcome = outcome.clone();
        Callback::from(move |chosen: AttrValue| {
            outcome.set(Outcome::ALL.into_iter().find(|known| chosen == known.as_str()));
        })
    };
    html! {
        <Confirm {title} {text} {action} {onconfirm} onclose={props.onclose.clone()} is_busy={mutation.is_busy}>
            <Field id="resolve-reason" label={words::REASON} value={reason} oninput={onreason} required=true first=true error={wrong(&mutation, "reason")} />
            if props.is_about_convictions && !props.confirms {
                <Select id="resolve-outcome" label={words::CONVICTIONS} {options} value={outcome.map_or("", Outcome::as_str)} onchoose={onoutcome} />
            }
            { beside(&mutation, &["reason"]) }
        </Confirm>
    }
}

/// Returns a callback that calls both, one after the other.
pub(super) fn both(first: &Callback<()>, second: &Callback<()>) -> Callback<()> {
    let (first, second) = (first.clone(), second.clone());
    Callback::from(move |()| {
        first.emit(());
        second.emit(());
    })
}

/// Properties of the notes.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct NotesProps {
    /// The incident.
    pub(super) id: Uuid,
    /// Its notes; `None`: not known yet.
    pub(super) notes: Option<Vec<Written>>,
    /// The address.
    pub(super) view: View,
    /// Hears that a note was added.
    pub(super) onchanged: Callback<()>,
}

/// The notes, and the form of a new one.
#[component]
pub(super) fn Notes(props: &NotesProps) -> Html {
    let (mutation, toast) = (use_mutation(), use_toast());
    let (text, ontext) = use_field("");
    let onsubmit = {
        let (mutation, toast, url) = (mutation.clone(), toast, order(props.id, "notes"));
        let body = json!({ "text": text });
        let clear = ontext.reform(|()| String::new());
        let then = both(&clear, &props.onchanged);
        on_submit(move || {
            mutation.send(Request::with(Method::Post, &url, &body), done(&toast, words::NOTED, &then));
        })
    };
    html! {
        <div class="part">
            <h3>{ words::NOTES }</h3>
            if let Some(notes) = &props.notes {
                if notes.is_empty() {
                    <p class="soft">{ words::NO_NOTES }</p>
                } else {
                    <ol class="notes" data-testid="notes">
                        { for notes.iter().map(|note| html! {
                            <li key={note.note_id}>
                                <p class="soft"><bdi>{ words::note_by(&note.author, &props.view.zone.stamp(&note.noted_at)) }</bdi></p>
                                <p class="note-text"><bdi>{ &note.text }</bdi></p>
                            </li>
                        }) }
                    </ol>
                }
            }
            <form class="form" {onsubmit}>
                <Area id="note" label={words::NEW_NOTE} hint={words::NOTE_HINT} value={text} oninput={ontext} lines=3 required=true error={wrong(&mutation, "text")} />
                { beside(&mutation, &["text"]) }
                <div class="form-end"><button type="submit" class="quiet" data-testid="add-note" disabled={mutation.is_busy}>{ words::ADD_NOTE }</button></div>
            </form>
        </div>
    }
}

#[cfg(test)]
mod tests {
    use clickwire_protocol::alerts::Severity;

    use super::*;
    use crate::{
        incidents::tests::alert, kit::render, query::Query, route::Route, router::Place, zone::Zone,
    };

    fn view() -> View {
        View { place: Place::new(Route::Incidents(None), Query::default()), scope: None, zone: Zone::utc() }
    }

    async fn handling(alert: Alert) -> String {
        render::<Handling>(Props { alert, view: view(), onchanged: Callback::noop() }).await
    }

    #[tokio::test]
    async fn what_is_over_can_only_be_looked_at() {
        let open = handling(alert(1, Severity::Warning)).await;
        for expected in
            [words::ACKNOWLEDGE, words::TAKE, words::SILENCE_MORE, words::RESOLVE_MORE, words::NOBODY]
        {
            assert!(open.contains(&*expected), "{expected}: {open}");
        }
        assert!(!open.contains(words::LIFT.get()), "{open}");
        let over = Alert { resolved_at: Some("2026-11-28T12:00:00Z".into()), ..alert(1, Severity::Warning) };
        let over = handling(over).await;
        assert!(!over.contains("<button") && !over.contains("<select"), "{over}");
    }

    #[tokio::test]
    async fn convictions_are_confirmed_where_there_are_some() {
        for kind in clickwire_protocol::alerts::Kind::ALL {
            let open = handling(Alert { kind, ..alert(1, Severity::Warning) }).await;
            assert_eq!(
                open.contains(words::CONFIRM_MORE.get()),
                kind.is_about_convictions(),
                "{kind:?}: {open}"
            );
        }
    }

    #[tokio::test]
    async fn notes_say_who_wrote_them_and_when() {
        let note = Written {
            note_id: 1,
            noted_at: "2026-11-28T10:00:00Z".into(),
            author: "account:anna@x.example".into(),
            text: "the <shop> is told".into(),
        };
        let props = |notes| NotesProps { id: Uuid::nil(), notes, view: view(), onchanged: Callback::noop() };
        let notes = render::<Notes>(props(Some(vec![note]))).await;
        for expected in ["anna@x.example, 2026-11-28 10:00:00", "the &lt;shop&gt; is told"] {
            assert!(notes.contains(expected), "{expected}: {notes}");
        }
        assert!(render::<Notes>(props(Some(Vec::new()))).await.contains(words::NO_NOTES.get()));
        assert!(!render::<Notes>(props(None)).await.contains(words::NO_NOTES.get()), "not known is not none");
    }
}
