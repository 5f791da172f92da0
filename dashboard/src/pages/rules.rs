//! `/rules`: the present fraud rules. `/rules/{rule}`: one rule with its versions and their changes; administrators
//! make new versions.

mod change;
mod difference;
mod draft;
mod preview;
mod versions;

use std::rc::Rc;

use clickwire_protocol::rules::{self, parameters};
use yew::prelude::*;

use self::versions::Versions;
pub(super) use self::versions::{in_force, since};
use super::{Sheet, name};
use crate::{
    api::{Rule, Rules as Listed},
    ask::{use_interval, use_query},
    frame::View,
    kit::{Badge, Column, Drawer, Empty, Problem, Table, Tone},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// Interval between two requests for the list, in milliseconds.
const AGAIN_MS: u32 = 10_000;

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
    /// The chosen rule.
    pub rule: Option<&'static str>,
}

/// Returns the rules in the order of precedence; those of a later server come after them.
fn ordered(mut rules: Vec<Rule>) -> Vec<Rule> {
    let place = |rule: &Rule| parameters::NAMES.iter().position(|name| *name == rule.rule);
    rules.sort_by_key(|rule| place(rule).unwrap_or(usize::MAX));
    rules
}

fn mode(rule: &Rule) -> Html {
    // A rule that does nothing is to be noticed; one that decides is as it should be.
    let tone = if rule.mode == "off" { Tone::Warning } else { Tone::Neutral };
    html! { <Badge text={words::rule_mode(&rule.mode).to_owned()} {tone} /> }
}

/// The page.
#[component]
pub fn Rules(props: &Props) -> Html {
    let router = use_router();
    let answer = use_query::<Listed>(Some("/api/v1/admin/rules".to_owned()));
    use_interval(AGAIN_MS, answer.reload.clone());
    let rows: Rc<Vec<Rule>> =
        Rc::new(answer.data.as_ref().map(|rules| ordered(rules.data.clone())).unwrap_or_default());
    // A form that was open is not carried on to another rule.
    let query = props.view.place.query.carried();
    let at = move |rule: Option<&'static str>| Place::new(Route::Rules(rule), query.clone());
    let aside = props.rule.map(|rule| {
        let onclose = {
            let (router, to) = (router.clone(), at(None));
            Callback::from(move |()| router.go(to.clone()))
        };
        html! {
            <Drawer title={words::rule(rule).to_owned()} {onclose} key={rule}>
                <Versions {rule} view={props.view.clone()} onchanged={answer.reload.clone()} />
            </Drawer>
        }
    });
    let row = {
        let (rows, zone) = (rows.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let rule = &rows[index];
            let title = words::rule(&rule.rule).to_owned();
            let makes = rules::Rule::named(&rule.rule).map(|rule| rule.disposition().as_str());
            vec![
                match parameters::named(&rule.rule) {
                    Some(known) => html! { <Link to={at(Some(known))}>{ title }</Link> },
                    None => html! { title },
                },
                mode(rule),
                html! { words::rule_makes(makes).to_owned() },
                html! { <span class="wraps">{ words::rule_parameters(&rule.rule, &rule.parameters).unwrap_or_else(|| rule.parameters.to_string()) }</span> },
                html! { rule.version },
                html! { since(rule, &zone) },
                name(words::person(&rule.changed_by)),
                name(&rule.reason),
            ]
        })
    };
    let columns = vec![
        Column::text(words::RULE),
        Column::text(words::MODE),
        Column::text(words::VERDICT),
        Column::text(words::PARAMETERS),
        Column::number(words::RULE_VERSION),
        Column::text(words::IN_FORCE_SINCE),
        Column::text(words::BY),
        Column::text(words::REASON),
    ];
    html! {
        <Sheet title={words::RULES} {aside}>
            if let Some(failure) = answer.failure.clone() {
                <Problem {failure} onretry={answer.reload.clone()} />
            }
            <Table caption={words::RULES} {columns} rows={rows.len()} {row} loaded={answer.loaded()}
                selected={rows.iter().position(|rule| Some(rule.rule.as_str()) == props.rule)}
                empty={html! { <Empty title={words::NO_RULES} /> }} />
        </Sheet>
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_stand_in_the_order_of_precedence() {
        let rule = |name: &str| Rule {
            rule: name.to_owned(),
            version: 1,
            mode: "flag".to_owned(),
            parameters: json!({}),
            effective_at: String::new(),
            changed_by: String::new(),
            reason: String::new(),
        };
        let names = ["of_tomorrow", "fraud_rate", "duplicate", "user_agent"].map(rule).to_vec();
        let names: Vec<String> = ordered(names).into_iter().map(|rule| rule.rule).collect();
        assert_eq!(names, ["user_agent", "duplicate", "fraud_rate", "of_tomorrow"]);
    }
}
