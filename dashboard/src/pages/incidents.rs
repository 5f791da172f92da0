//! `/incidents`: incidents that operators handle. Open ones are pushed by the server; others are requested. `j` and
//! `k` go through the list, `a` acknowledges.

mod evidence;
mod handling;
mod minutes;
mod rule;
mod shortcuts;
mod silence;
mod similar;

use std::rc::Rc;

use clickwire_protocol::alerts::{Alert, Kind, Page, Severity, WithNotes};
use uuid::Uuid;
use yew::prelude::*;

use self::shortcuts::{Key, use_keys};
use super::{Sheet, name};
use crate::{
    access::{Access, use_access},
    ask::{use_mutation, use_pages, use_query},
    frame::View,
    http::{Method, Request},
    incidents::{Open, is_silenced_now},
    kit::{Badge, Column, Drawer, Empty, Loaded, Pager, Problem, Table, Tabs, Tone, tabs, use_toast},
    preferences::{Switch, use_switch},
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words,
    zone::{self, Zone},
};

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// The id of the chosen incident.
    pub id: Option<Uuid>,
}

/// The part of the incidents that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Open,
    Silenced,
    Resolved,
    All,
}

impl Part {
    const ALL: [Self; 4] = [Self::Open, Self::Silenced, Self::Resolved, Self::All];

    fn read(text: Option<&str>) -> Self {
        match text {
            Some("silenced") => Self::Silenced,
            Some("resolved") => Self::Resolved,
            Some("all") => Self::All,
            Some(_) | None => Self::Open,
        }
    }

    fn write(self) -> Option<String> {
        match self {
            Self::Open => None,
            Self::Silenced => Some("silenced".to_owned()),
            Self::Resolved => Some("resolved".to_owned()),
            Self::All => Some("all".to_owned()),
        }
    }
}

/// The page.
#[component]
pub fn Incidents(props: &Props) -> Html {
    let (access, router, toast, mutation) = (use_access(), use_router(), use_toast(), use_mutation());
    let (has_shortcuts, _) = use_switch(Switch::Shortcuts);
    let open = use_context::<Open>().unwrap_or_default();
    let query = props.view.place.query.clone();
    let part = Part::read(query.part.as_deref());
    // The API lists what the push does not bring, and is asked again with every news.
    let asked = match part {
        Part::Open => None,
        Part::Silenced | Part::Resolved | Part::All => part.write(),
    };
    let list =
        use_pages::<Page>(asked.as_ref().map(|state| format!("/api/v1/alerts?limit=200&state={state}")));
    {
        let (reload, asks) = (list.reload.clone(), asked.is_some());
        use_effect_with(open.version, move |_| {
            if asks {
                reload.emit(());
            }
        });
    }
    let rows: Rc<Vec<Alert>> = if part == Part::Open { Rc::new(open.latest()) } else { list.rows.clone() };
    let at = {
        let query = query.clone();
        move |id: Option<Uuid>| Place::new(Route::Incidents(id), query.clone())
    };
    let acknowledge = {
        let (mutation, toast) = (mutation.clone(), toast.clone());
        let reload = list.reload.clone();
        Callback::from(move |id: Uuid| {
            let then = super::done(&toast, words::ACKNOWLEDGED, &reload);
            mutation.send(Request::bare(Method::Post, &format!("/api/v1/alerts/{id}/acknowledge")), then);
        })
    };
    let chosen = props.id.and_then(|id| rows.iter().position(|alert| alert.alert_id == id));
    use_keys(rows.clone(), chosen, {
        let (router, at, acknowledge) = (router.clone(), at.clone(), acknowledge.clone());
        Callback::from(move |key: Key| match key {
            Key::To(id) => router.replace(at(Some(id))),
            Key::Acknowledge(id) => acknowledge.emit(id),
        })
    });
    let aside = props.id.map(|id| {
        let onclose = {
            let (router, to) = (router.clone(), at(None));
            Callback::from(move |()| router.go(to.clone()))
        };
        let listed = chosen.map(|index| rows[index].clone());
        let title = listed.as_ref().map_or(words::INCIDENT.get(), |alert| words::kind(alert.kind));
        html! {
            <Drawer {title} {onclose} key={id.to_string()}>
                <Detail {id} {listed} version={open.version} view={props.view.clone()} onchanged={list.reload.clone()} />
            </Drawer>
        }
    });
    let row = {
        let (rows, at, zone, access) = (rows.clone(), at.clone(), props.view.zone.clone(), access.clone());
        Callback::from(move |index: usize| {
            let alert = &rows[index];
            vec![
                html! { <Link to={at(Some(alert.alert_id))}>{ words::kind(alert.kind) }</Link> },
                severity(alert),
                state(alert, &zone),
                name(alert.assigned_to.as_deref().map(words::person).unwrap_or_default()),
                name(&access.subject_of(alert)),
                html! { words::measured(alert) },
                html! { zone.stamp(&alert.opened_at) },
                html! { lasting(alert) },
            ]
        })
    };
    let columns = [
        words::INCIDENT,
        words::SEVERITY,
        words::STATE,
        words::ASSIGNED,
        words::SUBJECT,
        words::MEASURED,
        words::SINCE,
        words::LASTS,
    ];
    let tabs = Part::ALL.map(|tab| tabs::Tab {
        text: words::part(tab.write().as_deref()).into(),
        to: Place::new(Route::Incidents(None), Query { part: tab.write(), ..query.clone() }),
        is_current: tab == part,
    });
    let (loaded, has_more) = match part {
        Part::Open if open.is_known => (Loaded::Yes, false),
        Part::Open => (Loaded::NotYet, false),
        Part::Silenced | Part::Resolved | Part::All => (list.loaded(), list.has_more),
    };
    let actions = html! { if has_shortcuts { <span class="soft keys">{ words::KEYS_HINT }</span> } };
    html! {
        <Sheet title={words::INCIDENTS} {actions} {aside}>
            <Tabs label={words::INCIDENTS} tabs={tabs.to_vec()} />
            if let Some(failure) = list.failure.clone().filter(|_| asked.is_some()).or(mutation.failure.clone()) {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::INCIDENTS} columns={columns.map(Column::text).to_vec()} rows={rows.len()} {row} selected={chosen} {loaded}
                empty={html! { <Empty title={if part == Part::Open { words::ALL_CALM } else { words::NO_INCIDENTS }} text={words::NO_INCIDENTS_WHY} /> }} />
            <Pager shown={rows.len()} {has_more} is_loading={list.is_loading && asked.is_some()} onmore={list.more.clone()} />
        </Sheet>
    }
}

fn severity(alert: &Alert) -> Html {
    match alert.severity {
        Severity::Critical => html! { <Badge text={words::CRITICAL} tone={Tone::Critical} /> },
        Severity::Warning => html! { <Badge text={words::WARNING} tone={Tone::Warning} /> },
    }
}

fn state(alert: &Alert, zone: &Zone) -> Html {
    let silenced =
        silence(alert, zone).map(|title| html! { <span {title}><Badge text={words::SILENCED} /></span> });
    let state = match (&alert.resolved_at, &alert.acknowledged_by) {
        (Some(_), _) => html! { <Badge text={words::RESOLVED} tone={Tone::Good} /> },
        (None, Some(by)) => html! { <span title={by.clone()}><Badge text={words::SEEN} /></span> },
        (None, None) => html! { <Badge text={words::OPEN} tone={Tone::Warning} /> },
    };
    html! { <span class="badges">{ state }{ silenced }</span> }
}

/// The silence in force, in words.
fn silence(alert: &Alert, zone: &Zone) -> Option<String> {
    let until = alert.silenced_until.as_ref().filter(|_| is_silenced_now(alert))?;
    let [by, reason] =
        [&alert.silenced_by, &alert.silence_reason].map(|text| text.as_deref().unwrap_or_default());
    Some(words::silenced_until(&zone.stamp(until), by, reason))
}

/// The time from the opening to the end, or to the last time that the incident was seen.
fn lasting(alert: &Alert) -> String {
    let until = alert.resolved_at.as_ref().unwrap_or(&alert.last_seen_at);
    match (zone::at_ms(&alert.opened_at), zone::at_ms(until)) {
        (Some(from), Some(until)) => words::age(until - from),
        _ => "–".to_owned(),
    }
}

#[derive(Clone, PartialEq, Properties)]
struct DetailProps {
    id: Uuid,
    /// The incident as the list has it, if it is in the list.
    listed: Option<Alert>,
    /// Number that grows with each change of any incident.
    version: u64,
    view: View,
    /// Hears that the list may have changed.
    onchanged: Callback<()>,
}

/// One incident: its facts, the actions on it, its notes and its evidence.
#[component]
fn Detail(props: &DetailProps) -> Html {
    let access = use_access();
    let asked = use_query::<WithNotes>(Some(format!("/api/v1/alerts/{}", props.id)));
    {
        let reload = asked.reload.clone();
        let is_first = use_mut_ref(|| true);
        use_effect_with(props.version, move |_| {
            if !is_first.replace(false) {
                reload.emit(());
            }
        });
    }
    let told = asked.data.as_ref().map(|incident| incident.alert.clone());
    let Some(alert) = props.listed.clone().into_iter().chain(told).max_by_key(|alert| alert.version) else {
        return match &asked.failure {
            Some(failure) if failure.status() == Some(404) => {
                html! { <Empty title={words::NO_SUCH_INCIDENT} /> }
            }
            Some(failure) => {
                html! { <Problem failure={failure.clone()} onretry={asked.reload.clone()} /> }
            }
            None => html! {},
        };
    };
    let notes = asked.data.as_ref().map(|incident| incident.notes.clone());
    let onchanged = {
        let (onchanged, reload) = (props.onchanged.clone(), asked.reload.clone());
        Callback::from(move |()| {
            onchanged.emit(());
            reload.emit(());
        })
    };
    html! {
        <>
            { summary(&alert, &props.view, &access) }
            <handling::Handling alert={alert.clone()} view={props.view.clone()} onchanged={onchanged.clone()} />
            if alert.kind == Kind::DeadLetters {
                <p><Link to={Place::new(Route::DeadLetters(None), props.view.place.query.carried())}>{ words::LOOK_AT_LETTERS }</Link></p>
            }
            <handling::Notes id={props.id} {notes} view={props.view.clone()} {onchanged} />
            <evidence::Evidence alert={alert.clone()} view={props.view.clone()} />
            <similar::Similar {alert} view={props.view.clone()} />
        </>
    }
}

fn summary(alert: &Alert, view: &View, access: &Access) -> Html {
    let line = |label: words::Text, value: Html| html! { <><dt>{ label }</dt><dd>{ value }</dd></> };
    let stamp = |at: &Option<String>| at.as_ref().map(|at| view.zone.stamp(at));
    html! {
        <dl class="facts" data-testid="incident">
            { line(words::SEVERITY, severity(alert)) }
            { line(words::SUBJECT, name(&access.subject_of(alert))) }
            { line(words::MEASURED, html! { words::measured(alert) }) }
            { line(words::SINCE, html! { view.zone.stamp(&alert.opened_at) }) }
            { line(words::LAST_SEEN, html! { view.zone.stamp(&alert.last_seen_at) }) }
            if let Some(at) = stamp(&alert.acknowledged_at) {
                { line(words::SEEN, html! { words::by_at(words::person(alert.acknowledged_by.as_deref().unwrap_or_default()), &at) }) }
            }
            if let Some((to, at)) = alert.assigned_to.as_ref().zip(stamp(&alert.assigned_at)) {
                { line(words::ASSIGNED, html! { <bdi>{ words::by_at(words::person(to), &at) }</bdi> }) }
            }
            if let Some(silence) = silence(alert, &view.zone) {
                { line(words::SILENCED, html! { <bdi>{ silence }</bdi> }) }
            }
            if let Some(at) = stamp(&alert.resolved_at) {
                { line(words::RESOLVED, match alert.resolved_by.as_ref().zip(alert.resolution.as_ref()) {
                    Some((by, reason)) => html! { <bdi>{ words::resolved_by(&at, by, reason) }</bdi> },
                    None => html! { at },
                }) }
            }
            if let Some(outcome) = alert.outcome {
                { line(words::CONVICTIONS, html! { words::outcome_of(outcome) }) }
            }
        </dl>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incidents::tests::alert;

    #[test]
    fn it_lasts_from_the_first_sight_to_the_last() {
        let mut alert = alert(0, Severity::Warning);
        assert_eq!(lasting(&alert), "5 min");
        alert.resolved_at = Some("2026-11-28T12:00:00Z".into());
        assert_eq!(lasting(&alert), "2 h");
        alert.opened_at = "?".into();
        assert_eq!(lasting(&alert), "–");
    }
}
