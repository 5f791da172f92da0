//! The rule behind an incident, in the version that was in force when the incident was opened: a later one has judged
//! nothing of it.

use clickwire_protocol::rules::parameters;
use yew::prelude::*;

use super::super::rules::{in_force, since};
use crate::{
    api::{Page, Rule},
    ask::{use_pages, use_until},
    frame::View,
    kit::Problem,
    route::Route,
    router::{Link, Place},
    words, zone,
};

/// Properties of the rule.
#[derive(Clone, PartialEq, Properties)]
pub(super) struct Props {
    /// Its name.
    pub(super) rule: &'static str,
    /// Time at which the incident was opened.
    pub(super) at: AttrValue,
    /// The address.
    pub(super) view: View,
}

/// The rule as it was then.
#[component]
pub(super) fn RuleThen(props: &Props) -> Html {
    let list = use_pages::<Page<Rule>>(Some(format!("/api/v1/admin/rules/{}?limit=50", props.rule)));
    let then = zone::at_ms(&props.at).and_then(|at_ms| in_force(&list.rows, at_ms));
    use_until(&list, then.is_some());
    html! {
        <>
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            if let Some((then, newest)) = then.zip(list.rows.first()) {
                { shown(then, newest, &props.view) }
            }
        </>
    }
}

/// A version with its values, and the link to the newest where that is another one.
fn shown(then: &Rule, newest: &Rule, view: &View) -> Html {
    let known = parameters::of(&then.rule);
    let values = then.parameters.as_object().into_iter().flatten();
    let to = Place::new(Route::Rules(parameters::named(&then.rule)), view.place.query.carried());
    html! {
        <>
            <h3>{ words::rule_at(&then.rule, then.version) }</h3>
            <dl class="facts">
                { for values.map(|(name, value)| {
                    let unit = known.iter().find(|known| known.name == name).map(|known| known.unit);
                    html! { <><dt>{ words::parameter(name) }</dt><dd>{ words::parameter_value(unit, Some(value)) }</dd></> }
                }) }
            </dl>
            <p class="soft">{ words::rule_since(&then.mode, &since(then, &view.zone), &then.changed_by) }</p>
            if then.version != newest.version {
                <p data-testid="rule-changed">{ words::rule_changed_since(newest.version, &since(newest, &view.zone)) }{ " " }<Link {to}>{ words::ITS_VERSIONS }</Link></p>
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{kit::render, query::Query, zone::Zone};

    #[derive(Clone, PartialEq, Properties)]
    struct GivenProps {
        versions: Vec<Rule>,
        at: AttrValue,
    }

    #[component]
    fn Given(props: &GivenProps) -> Html {
        let place = Place::new(Route::Incidents(None), Query::default());
        let view = View { place, scope: None, zone: Zone::utc() };
        let then = zone::at_ms(&props.at).and_then(|at_ms| in_force(&props.versions, at_ms));
        html! { if let Some(then) = then { { shown(then, &props.versions[0], &view) } } }
    }

    fn version(version: i64, effective_at: &str, threshold: i64) -> Rule {
        Rule {
            rule: "ip_velocity".into(),
            version,
            mode: "report_only".into(),
            parameters: json!({"threshold": threshold, "window_seconds": 60}),
            effective_at: effective_at.into(),
            changed_by: "account:anna@x.example".into(),
            reason: String::new(),
        }
    }

    #[tokio::test]
    async fn an_old_incident_has_the_rule_of_its_time() {
        let versions = vec![version(2, "2026-11-28T11:00:00Z", 5), version(1, "2026-11-28T09:00:00Z", 1_000)];
        let at = async |at: &'static str| {
            render::<Given>(GivenProps { versions: versions.clone(), at: at.into() }).await
        };
        let before = at("2026-11-28T10:00:00Z").await;
        for expected in [
            "Rule: Too many clicks of one address, version 1",
            "<dt>Clicks at most</dt><dd>1,000</dd><dt>Window</dt><dd>60 s</dd>",
            "Report only since 2026-11-28 09:00:00, by anna@x.example",
            "The newest one is version 2, from 2026-11-28 11:00:00 on.",
            r#"href="/rules/ip_velocity""#,
        ] {
            assert!(before.contains(expected), "{expected}: {before}");
        }
        let after = at("2026-11-28T12:00:00Z").await;
        assert!(after.contains("version 2") && after.contains("<dd>5</dd>"), "{after}");
        assert!(!after.contains("rule-changed"), "{after}");
    }
}
