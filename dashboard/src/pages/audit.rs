//! `/audit`: the audit log: each change with its actor, and the values before and after.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use yew::prelude::*;

use super::{Sheet, chosen::use_chosen, id, name, on_submit};
use crate::{
    api::{Entries, Entry},
    ask::use_pages,
    frame::View,
    http,
    kit::{Column, Drawer, Empty, Field, Pager, Problem, Select, Table, use_field},
    query::{self, Query},
    route::Route,
    router::{Link, Place, use_router},
    words,
};

/// Path of the log.
const LOG: &str = "/api/v1/admin/audit";

/// Kinds of subjects of the log.
const SUBJECTS: [&str; 12] = [
    "accounts",
    "account_tokens",
    "api_keys",
    "advertisers",
    "campaigns",
    "ads",
    "fraud_rules",
    "alerts",
    "adjustments",
    "erasures",
    "report_schedules",
    "webhook_deliveries",
];

/// A search of the log, as an address has it: `subject:ads actor:Anna id:ad_001`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Search {
    subject: String,
    actor: String,
    id: String,
}

impl Search {
    fn read(text: &str) -> Self {
        let of = |name: &str| {
            let mut parts = text.split(' ').filter_map(|part| part.split_once(':'));
            parts.find(|(known, _)| *known == name).map(|(_, value)| query::decode(value)).unwrap_or_default()
        };
        Self { subject: of("subject"), actor: of("actor"), id: of("id") }
    }

    fn write(&self) -> String {
        let parts = [("subject", &self.subject), ("actor", &self.actor), ("id", &self.id)];
        let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
        let parts: Vec<String> =
            parts.map(|(name, value)| format!("{name}:{}", query::encode(value))).collect();
        parts.join(" ")
    }

    /// Returns the question for what it looks for.
    fn url(&self) -> String {
        let some = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
        let parameters =
            [("subject", some(&self.subject)), ("actor", some(&self.actor)), ("subject_id", some(&self.id))];
        http::url(LOG, parameters)
    }
}

/// Returns the question for one entry, whatever the list looks for: the latest up to it. `None`: the text names none.
fn url_of(entry: &str) -> Option<String> {
    let before = entry.parse::<i64>().ok().filter(|entry| *entry >= 0)?.checked_add(1)?;
    Some(format!("{LOG}?limit=1&before={before}"))
}

/// Properties of the page.
#[derive(Clone, PartialEq, Properties)]
pub struct Props {
    /// The address.
    pub view: View,
}

/// The page.
#[component]
pub fn Audit(props: &Props) -> Html {
    let router = use_router();
    let query = props.view.place.query.clone();
    let search = Search::read(&query.search);
    let list = use_pages::<Entries>(Some(search.url()));
    let chosen = query.part.clone();
    let at = move |part: Option<String>| Place::new(Route::Audit, Query { part, ..query.clone() });
    let onsearch = {
        let router = router.clone();
        Callback::from(move |search: Search| {
            router.change(|query| {
                query.search = search.write();
                query.part = None;
            });
        })
    };
    let (found, again) = use_chosen::<_, Entries>(
        &list,
        |entry| Some(entry.entry_id.to_string()) == chosen,
        chosen.as_deref().and_then(url_of),
        |entries| entries.data.first(),
    );
    let aside = chosen.is_some().then(|| {
        let entry = found.row();
        let onclose = {
            let (router, to) = (router.clone(), at(None));
            Callback::from(move |()| router.go(to.clone()))
        };
        let title = entry
            .map_or(words::ENTRY.to_string(), |entry| words::change_of(&entry.subject, &entry.subject_id));
        html! {
            <Drawer {title} {onclose}>
                if let Some(entry) = entry {
                    <p class="soft">{ words::changed_by(&entry.actor, &props.view.zone.stamp(&entry.at)) }</p>
                    { difference(entry) }
                } else {
                    { found.state(words::NO_SUCH_ENTRY, &again) }
                }
            </Drawer>
        }
    });
    let row = {
        let (rows, at, zone) = (list.rows.clone(), at.clone(), props.view.zone.clone());
        Callback::from(move |index: usize| {
            let entry = &rows[index];
            vec![
                html! { <Link to={at(Some(entry.entry_id.to_string()))}>{ zone.stamp(&entry.at) }</Link> },
                name(&entry.actor),
                html! { words::action(&entry.action) },
                html! { words::subject(&entry.subject) },
                id(&entry.subject_id),
                html! { <span class="soft">{ changed(entry).join(", ") }</span> },
                html! { <code class="id">{ entry.origin.chars().take(12).collect::<String>() }</code> },
            ]
        })
    };
    let columns =
        [words::TIME, words::WHO, words::DID, words::SUBJECT, words::ID, words::CHANGED, words::ORIGIN];
    html! {
        <Sheet title={words::AUDIT} {aside}>
            <Filters key={search.write()} search={search.clone()} {onsearch} />
            if let Some(failure) = list.failure.clone() {
                <Problem {failure} onretry={list.reload.clone()} />
            }
            <Table caption={words::AUDIT} columns={columns.map(Column::text).to_vec()} rows={list.rows.len()} {row}
                selected={list.rows.iter().position(|entry| Some(entry.entry_id.to_string()) == chosen)} loaded={list.loaded()}
                empty={html! { <Empty title={words::NO_ENTRIES} text={words::NO_ENTRIES_WHY} /> }} />
            <Pager shown={list.rows.len()} has_more={list.has_more} is_loading={list.is_loading} onmore={list.more.clone()} />
        </Sheet>
    }
}

#[derive(Clone, PartialEq, Properties)]
struct FiltersProps {
    search: Search,
    onsearch: Callback<Search>,
}

#[component]
fn Filters(props: &FiltersProps) -> Html {
    let (actor, onactor) = use_field(&props.search.actor);
    let (id, onid) = use_field(&props.search.id);
    let mut options = vec![(AttrValue::default(), AttrValue::from(words::EVERYTHING))];
    options.extend(SUBJECTS.map(|subject| (subject.into(), words::subject(subject).into())));
    let search = Search { subject: props.search.subject.clone(), actor, id };
    let onsubject = {
        let search = search.clone();
        props
            .onsearch
            .reform(move |subject: AttrValue| Search { subject: subject.to_string(), ..search.clone() })
    };
    let onsubmit = {
        let (search, onsearch) = (search.clone(), props.onsearch.clone());
        on_submit(move || onsearch.emit(search.clone()))
    };
    html! {
        <form class="toolbar" {onsubmit} role="search">
            <Select id="audit-subject" label={words::SUBJECT} {options} value={search.subject.clone()} onchoose={onsubject} />
            <Field id="audit-actor" label={words::WHO} value={search.actor.clone()} oninput={onactor} />
            <Field id="audit-id" label={words::ID} value={search.id.clone()} oninput={onid} />
            <button type="submit" class="quiet">{ words::SEARCH }</button>
        </form>
    }
}

/// Returns the names of fields that differ; none where the subject was made or ended.
fn changed(entry: &Entry) -> Vec<String> {
    let nothing = BTreeMap::new();
    let (before, after) = match (&entry.before, &entry.after) {
        (Some(before), Some(after)) => (before, after),
        // All of it was made, or ended.
        _ => (&nothing, &nothing),
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// The values before and after; fields that differ come first.
fn difference(entry: &Entry) -> Html {
    let nothing = BTreeMap::new();
    let (before, after) =
        (entry.before.as_ref().unwrap_or(&nothing), entry.after.as_ref().unwrap_or(&nothing));
    let mut names: Vec<&String> =
        before.keys().chain(after.keys()).collect::<BTreeSet<_>>().into_iter().collect();
    names.sort_by_key(|name| before.get(*name) == after.get(*name));
    html! {
        <table class="difference">
            <caption class="hidden">{ words::BEFORE_AND_AFTER }</caption>
            <thead><tr><th scope="col">{ words::FIELD }</th><th scope="col">{ words::BEFORE }</th><th scope="col">{ words::AFTER }</th></tr></thead>
            <tbody>
                { for names.into_iter().map(|name| {
                    let (old, new) = (before.get(name), after.get(name));
                    html! {
                        <tr key={name.clone()} class={(old != new).then_some("differs")}>
                            <th scope="row">{ name }</th><td>{ text(old) }</td><td>{ text(new) }</td>
                        </tr>
                    }
                }) }
            </tbody>
        </table>
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_looked_for_is_the_same_again() {
        for (text, url) in [
            ("", "/api/v1/admin/audit"),
            ("subject:ads", "/api/v1/admin/audit?subject=ads"),
            (
                "subject:api_keys actor:Anna%20M. id:ck_1",
                "/api/v1/admin/audit?subject=api_keys&actor=Anna%20M.&subject_id=ck_1",
            ),
        ] {
            let search = Search::read(text);
            assert_eq!(search.write(), text);
            assert_eq!(search.url(), url);
        }
        assert_eq!(Search::read("colour:red x"), Search::default());
        assert_eq!(url_of("41").as_deref(), Some("/api/v1/admin/audit?limit=1&before=42"));
        assert_eq!([url_of("x"), url_of("-1"), url_of(&i64::MAX.to_string())], [None, None, None]);
    }

    #[test]
    fn every_table_that_is_audited_can_be_chosen_by_its_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        let files = std::fs::read_dir(folder).unwrap();
        let all: String = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        let triggers = all.lines().filter(|line| line.starts_with("CREATE TRIGGER audited AFTER "));
        let audited: BTreeSet<&str> = triggers.filter_map(|line| line.rsplit(' ').next()).collect();
        assert!(audited.contains("accounts"), "{audited:?}");
        let missing: Vec<_> = audited.iter().filter(|table| !SUBJECTS.contains(table)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for subject in SUBJECTS {
            assert_ne!(words::subject(subject), subject.replace('_', " "), "it has no word");
        }
    }

    #[test]
    fn what_differs_is_named() {
        let row = |name: &str, rate: i64| -> Option<BTreeMap<String, Value>> {
            Some([("name".to_owned(), json!(name)), ("rate".to_owned(), json!(rate))].into())
        };
        let entry = |before, after| Entry {
            entry_id: 1,
            at: String::new(),
            actor: String::new(),
            origin: String::new(),
            action: String::new(),
            subject: String::new(),
            subject_id: String::new(),
            before,
            after,
        };
        assert_eq!(changed(&entry(row("a", 1), row("b", 1))), ["name"]);
        assert!(changed(&entry(None, row("b", 1))).is_empty(), "all of it is new");
        assert_eq!(text(Some(&json!(null))), "–");
        assert_eq!(text(Some(&json!(["a"]))), r#"["a"]"#);
    }
}
