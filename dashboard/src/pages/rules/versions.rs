//! The versions of a rule, the newest first, each with its changes; for administrators the form of a new one.

use yew::prelude::*;

use super::{
    super::NEW,
    change::ChangeForm,
    difference::{self, Setting, changes},
};
use crate::{
    access::use_access,
    api::{Page, Role, Rule},
    ask::{use_interval, use_pages},
    clock,
    frame::View,
    kit::{Badge, Loaded, Pager, Problem, Tone},
    query::Query,
    route::Route,
    router::{Link, Place, use_router},
    words,
    zone::{self, Zone},
};

/// Interval between two requests for the versions, in milliseconds: another administrator may make one, too.
const AGAIN_MS: u32 = 5_000;

/// Properties of the list.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// The rule.
    pub(super) rule: &'static str,
    /// The address.
    pub(super) view: View,
    /// Hears that there is a new version.
    pub(super) onchanged: Callback<()>,
}

/// The state of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Force {
    /// The version comes into force at a later time.
    Later,
    /// The version is in force.
    Now,
    /// The version has been replaced by another one.
    Replaced,
}

/// Returns the states of a rule's versions, which come newest first.
pub(super) fn forces(versions: &[Rule], now_ms: i64) -> Vec<Force> {
    let mut is_taken = false;
    let force = |version: &Rule| match zone::at_ms(&version.effective_at) {
        Some(at_ms) if at_ms > now_ms => Force::Later,
        _ if std::mem::replace(&mut is_taken, true) => Force::Replaced,
        _ => Force::Now,
    };
    versions.iter().map(force).collect()
}

/// Returns the version that was in force at a time, out of a rule's versions, which come newest first; `None`: it is
/// older than these.
pub(in super::super) fn in_force(versions: &[Rule], at_ms: i64) -> Option<&Rule> {
    let states = forces(versions, at_ms);
    versions.iter().zip(states).find(|(_, state)| *state == Force::Now).map(|(version, _)| version)
}

/// The badge of a version's state.
fn force(force: Force, version: &Rule, zone: &Zone) -> Html {
    match force {
        Force::Later => {
            html! { <Badge text={words::in_force_from(&zone.stamp(&version.effective_at))} tone={Tone::Warning} /> }
        }
        Force::Now => html! { <Badge text={words::IN_FORCE} tone={Tone::Good} /> },
        Force::Replaced => html! { <Badge text={words::REPLACED} /> },
    }
}

/// The time at which a version came into force, in words; versions that a deployment begins with have none.
pub(in super::super) fn since(version: &Rule, zone: &Zone) -> String {
    match zone::at_ms(&version.effective_at) {
        Some(at_ms) if at_ms < 86_400_000 => words::since_beginning().to_owned(),
        _ => zone.stamp(&version.effective_at),
    }
}

/// The versions.
#[component]
pub(super) fn Versions(props: &Props) -> Html {
    let (access, router) = (use_access(), use_router());
    let list = use_pages::<Page<Rule>>(Some(format!("/api/v1/admin/rules/{}?limit=50", props.rule)));
    use_interval(if list.is_short { AGAIN_MS } else { 0 }, list.reload.clone());
    let query = props.view.place.query.clone();
    let changes_it = access.role() == Role::Admin && query.part.as_deref() == Some(NEW);
    let rule = props.rule;
    let at =
        move |part: Option<String>| Place::new(Route::Rules(Some(rule)), Query { part, ..query.clone() });
    let onsaved = {
        let (router, to, reload, onchanged) =
            (router.clone(), at(None), list.reload.clone(), props.onchanged.clone());
        Callback::from(move |()| {
            router.replace(to.clone());
            reload.emit(());
            onchanged.emit(());
        })
    };
    let newest = list.rows.first().cloned();
    html! {
        <div class="versions" data-testid="rule-versions">
            <p class="soft">{ words::rule_why(rule) }</p>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            if let Some(newest) = newest {
                if changes_it {
                    <ChangeForm {newest} view={props.view.clone()} {onsaved} onstale={list.reload.clone()} />
                } else if access.role() == Role::Admin {
                    <p><Link class="quiet" to={at(Some(NEW.to_owned()))}>{ words::CHANGE_RULE_MORE }</Link></p>
                }
            }
            if list.loaded() == Loaded::NotYet {
                <span class="skeleton line" />
            }
            { versions(rule, &list.rows, list.has_more, &props.view) }
            if !list.rows.is_empty() {
                <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
            }
        </div>
    }
}

/// Each version with its changes.
fn versions(rule: &str, versions: &[Rule], has_more: bool, view: &View) -> Html {
    let states = forces(versions, clock::now_ms());
    html! {
        <ol class="plain-list version-list">
            { for versions.iter().zip(states).enumerate().map(|(index, (version, state))| {
                let before = versions.get(index + 1);
                html! {
                    <li key={version.version} class="version" data-version={version.version.to_string()}>
                        <div class="version-head">
                            <h3>{ words::version_number(version.version) }</h3>
                            { force(state, version, &view.zone) }
                            <span class="soft">{ since(version, &view.zone) }</span>
                        </div>
                        <p class="note-text">{ words::made_by(&version.changed_by, &version.reason) }</p>
                        { difference(rule, before, version, has_more) }
                    </li>
                }
            }) }
        </ol>
    }
}

fn difference(rule: &str, before: Option<&Rule>, version: &Rule, has_more: bool) -> Html {
    if before.is_none() && has_more {
        return html! { <p class="soft">{ words::BEFORE_NOT_LOADED }</p> };
    }
    let before = before.map(Setting::of);
    let differences = changes(rule, before.as_ref(), &Setting::of(version));
    if differences.is_empty() {
        return html! { <p class="soft">{ words::SAME_AS_BEFORE }</p> };
    }
    let caption = if before.is_some() { words::BEFORE_AND_AFTER } else { words::FIRST_VERSION };
    difference::table(&caption, &differences)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(version: i64, effective_at: &str) -> Rule {
        Rule {
            rule: "ip_velocity".to_owned(),
            version,
            mode: "flag".to_owned(),
            parameters: json!({"threshold": 100 * version, "window_seconds": 60}),
            effective_at: effective_at.to_owned(),
            changed_by: "account:anna".to_owned(),
            reason: "why".to_owned(),
        }
    }

    #[test]
    fn one_version_is_in_force_and_a_new_one_soon() {
        let versions = [
            version(3, "2026-11-28T10:00:02Z"),
            version(2, "2026-11-28T09:00:00Z"),
            version(1, "1970-01-01T00:00:00Z"),
        ];
        let at = |text: &str| forces(&versions, zone::at_ms(text).unwrap());
        assert_eq!(at("2026-11-28T10:00:00Z"), [Force::Later, Force::Now, Force::Replaced]);
        assert_eq!(at("2026-11-28T10:00:02Z"), [Force::Now, Force::Replaced, Force::Replaced]);
        assert!(forces(&[], 0).is_empty());
        let then = |text: &str| in_force(&versions, zone::at_ms(text).unwrap()).map(|found| found.version);
        assert_eq!(then("2026-11-28T10:00:01Z"), Some(2));
        assert_eq!(then("2026-11-28T09:00:00Z"), Some(2), "from its first moment on");
        assert_eq!(then("2026-11-28T08:59:59Z"), Some(1));
        assert_eq!(in_force(&versions[..1], 0), None, "it is on a later page");
        let zone = Zone::utc();
        assert_eq!(since(&versions[2], &zone), "the beginning");
        assert_eq!(since(&versions[1], &zone), "2026-11-28 09:00:00");
    }
}
