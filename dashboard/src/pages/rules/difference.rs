//! The difference between two versions of a rule: mode and parameters, before and after.

use std::collections::BTreeSet;

use clickwire_protocol::rules::parameters;
use serde_json::Value;
use yew::prelude::*;

use crate::{api::Rule, words};

/// The part of a rule that a version decides.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// The mode: `off`, `report_only` or `flag`.
    pub(super) mode: String,
    /// Its parameters by name.
    pub(super) parameters: Value,
}

impl Setting {
    /// Returns the setting of a version.
    pub(super) fn of(version: &Rule) -> Self {
        Self { mode: version.mode.clone(), parameters: version.parameters.clone() }
    }
}

/// A field that differs before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The name of the field, for people.
    pub(super) name: String,
    /// The value before; `None`: there was nothing before.
    pub(super) before: Option<String>,
    /// The value after.
    pub(super) after: String,
}

/// Returns the fields that differ; all of them where there is nothing before.
pub(super) fn changes(rule: &str, before: Option<&Setting>, after: &Setting) -> Vec<Change> {
    let mode = |setting: &Setting| words::rule_mode(&setting.mode).to_owned();
    let mut changes = Vec::new();
    if before.is_none_or(|before| before.mode != after.mode) {
        changes.push(Change { name: words::MODE.to_string(), before: before.map(mode), after: mode(after) });
    }
    // Those that are known in the order of the form, what else there is behind them.
    let known = parameters::of(rule);
    let mut names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
    let both = before.into_iter().chain([after]);
    let all: BTreeSet<&str> = both
        .filter_map(|setting| setting.parameters.as_object())
        .flat_map(|all| all.keys().map(String::as_str))
        .collect();
    names.extend(all.into_iter().filter(|name| known.iter().all(|known| known.name != *name)));
    for name in names {
        let unit = known.iter().find(|known| known.name == name).map(|known| known.unit);
        let (old, new) = (before.and_then(|before| before.parameters.get(name)), after.parameters.get(name));
        if before.is_none() || old != new {
            changes.push(Change {
                name: words::parameter(name),
                before: before.map(|_| words::parameter_value(unit, old)),
                after: words::parameter_value(unit, new),
            });
        }
    }
    changes
}

/// The changes as a table.
pub(super) fn table(caption: &str, changes: &[Change]) -> Html {
    let has_before = changes.iter().any(|change| change.before.is_some());
    html! {
        <table class="difference">
            <caption class="hidden">{ caption }</caption>
            <thead><tr>
                <th scope="col">{ words::FIELD }</th>
                if has_before {
                    <th scope="col">{ words::BEFORE }</th>
                }
                <th scope="col">{ words::AFTER }</th>
            </tr></thead>
            <tbody>
                { for changes.iter().map(|change| html! {
                    <tr key={change.name.clone()} class={has_before.then_some("differs")}>
                        <th scope="row">{ &change.name }</th>
                        if has_before {
                            <td>{ change.before.as_deref().unwrap_or("–") }</td>
                        }
                        <td>{ &change.after }</td>
                    </tr>
                }) }
            </tbody>
        </table>
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn setting(mode: &str, parameters: Value) -> Setting {
        Setting { mode: mode.to_owned(), parameters }
    }

    fn shown(rule: &str, before: Option<&Setting>, after: &Setting) -> Vec<String> {
        let changes = changes(rule, before, after).into_iter();
        changes
            .map(|Change { name, before, after }| format!("{name}: {} → {after}", before.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn what_differs_is_said_with_its_unit() {
        let strict = setting("flag", json!({"threshold": 5, "window_seconds": 60}));
        let mild = setting("report_only", json!({"threshold": 1_000, "window_seconds": 60}));
        for (before, after, expected) in [
            (Some(&strict), &mild, vec!["Mode: Flag → Report only", "Clicks at most: 5 → 1,000"]),
            (Some(&strict), &strict, vec![]),
            (None, &strict, vec!["Mode:  → Flag", "Clicks at most:  → 5", "Window:  → 60 s"]),
        ] {
            assert_eq!(shown("ip_velocity", before, after), expected);
        }
    }

    #[test]
    fn parameters_that_are_not_known_are_shown_as_they_are() {
        let before = setting("flag", json!({}));
        let after = setting("flag", json!({"list": 2, "of_tomorrow": ["x"]}));
        assert_eq!(
            shown("user_agent", Some(&before), &after),
            ["List of robots: – → 2", r#"of tomorrow: – → ["x"]"#]
        );
        assert_eq!(shown("of_tomorrow", Some(&after), &before).len(), 2);
        assert!(shown("ip_velocity", Some(&before), &setting("flag", json!(null))).is_empty());
    }
}
