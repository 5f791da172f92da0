//! The operations of the API out of its OpenAPI document, grouped by the tag that names their callers, as far as a role
//! may call them; each group has an example for the command line.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{api::Role, route::Route, words};

/// The document, limited to the parts that the page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Document {
    paths: BTreeMap<String, Methods>,
}

/// The operations of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Methods {
    get: Option<Described>,
    post: Option<Described>,
    put: Option<Described>,
    patch: Option<Described>,
    delete: Option<Described>,
}

/// An operation as the document describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Described {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    summary: String,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) summary: String,
}

/// The operations that the same callers may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The tag.
    pub(super) tag: String,
    pub(super) operations: Vec<Operation>,
}

/// Tags in the order of the page; those of a later server come after them.
const TAGS: [&str; 8] = ["viewer", "clicks", "poster", "staff", "operator", "admin", "account", "anybody"];

/// Returns whether a role may call the operations of a tag; administrators see those of an unknown tag.
fn may_call(role: Role, tag: &str) -> bool {
    match tag {
        "viewer" | "poster" | "account" | "anybody" => true,
        "clicks" => Route::Clicks.is_open_to(role),
        "staff" => role.is_staff(),
        "operator" => role.is_operators(),
        _ => role == Role::Admin,
    }
}

impl Document {
    /// The groups that a role may call.
    pub(super) fn groups(&self, role: Role) -> Vec<Group> {
        let mut groups: BTreeMap<(usize, &str), Vec<Operation>> = BTreeMap::new();
        for (path, methods) in &self.paths {
            let Methods { get, post, put, patch, delete } = methods;
            let all = [("GET", get), ("POST", post), ("PUT", put), ("PATCH", patch), ("DELETE", delete)];
            for (method, described) in all.into_iter().filter_map(|(method, of)| Some((method, of.as_ref()?)))
            {
                for tag in described.tags.iter().filter(|tag| may_call(role, tag)) {
                    let place = TAGS.iter().position(|known| known == tag).unwrap_or(TAGS.len());
                    groups.entry((place, tag)).or_default().push(Operation {
                        method,
                        path: path.clone(),
                        summary: described.summary.clone(),
                    });
                }
            }
        }
        groups.into_iter().map(|((_, tag), operations)| Group { tag: tag.to_owned(), operations }).collect()
    }
}

impl Operation {
    /// Returns whether the operation contains each word of a search.
    fn matches(&self, search: &str) -> bool {
        let text = format!("{} {} {}", self.method, self.path, self.summary).to_lowercase();
        search.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// Returns the operations that match a search, by group; groups without a match are left out.
pub(super) fn found(groups: &[Group], search: &str) -> Vec<Group> {
    let of = |group: &Group| Group {
        tag: group.tag.clone(),
        operations: group.operations.iter().filter(|operation| operation.matches(search)).cloned().collect(),
    };
    groups.iter().map(of).filter(|group| !group.operations.is_empty()).collect()
}

/// The number of operations in groups.
pub(super) fn count(groups: &[Group]) -> usize {
    groups.iter().map(|group| group.operations.len()).sum()
}

/// An example for the command line; `None`: no program calls these, or each of them needs further input.
pub(super) fn example(group: &Group, origin: &str) -> Option<String> {
    let token = format!("  -H 'Authorization: Bearer {}'", words::TOKEN_PLACEHOLDER);
    let header = match group.tag.as_str() {
        "account" => return None,
        "poster" => {
            return Some(format!(
                "curl {origin}/api/v1/clicks \\\n  -H 'X-Api-Key: {}' -H 'Content-Type: application/json' \\\n  \
                 -d '{{\"advertiser_id\": \"adv_001\", \"campaign_id\": \"camp_001\", \"ad_id\": \"ad_001\", \"country\": \"DE\", \"device_type\": \"mobile\"}}'",
                words::KEY_PLACEHOLDER
            ));
        }
        "anybody" => None,
        _ => Some(token),
    };
    let is_complete =
        |operation: &&Operation| operation.method == "GET" && !operation.path.contains(['{', '*']);
    // A list that everybody has something in, where there is one.
    let all = || group.operations.iter().filter(is_complete);
    let chosen = all()
        .find(|operation| matches!(operation.path.as_str(), "/api/v1/advertisers" | "/livez"))
        .or_else(|| all().next())?;
    let address = format!("curl {origin}{}", chosen.path);
    Some(header.map_or_else(|| address.clone(), |header| format!("{address} \\\n{header}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"openapi": "3.1.0", "paths": {
        "/api/v1/advertisers": {"get": {"tags": ["viewer"], "summary": "Advertisers that the caller may see."}},
        "/api/v1/clicks": {"post": {"tags": ["poster"], "summary": "Takes a click."},
                           "get": {"tags": ["viewer"], "summary": "Finds clicks.", "parameters": []}},
        "/api/v1/admin/rules/{rule}": {"get": {"tags": ["operator"], "summary": "All versions of a rule."},
                                       "put": {"tags": ["admin"], "summary": "Makes a new version."}},
        "/api/v1/admin/rules": {"get": {"tags": ["operator"]}},
        "/api/v1/account/password": {"post": {"tags": ["account"]}},
        "/api/v2/tomorrow": {"get": {"tags": ["finance"]}, "summary": "not an operation"},
        "/livez": {"get": {"tags": ["anybody"]}}
    }}"#;

    fn document() -> Document {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn tags(role: Role) -> Vec<(String, usize)> {
        document().groups(role).into_iter().map(|group| (group.tag, group.operations.len())).collect()
    }

    #[test]
    fn a_role_sees_the_operations_that_it_may_call() {
        let pairs = |of: &[(&str, usize)]| -> Vec<(String, usize)> {
            of.iter().map(|(tag, count)| ((*tag).to_owned(), *count)).collect()
        };
        let everybody = pairs(&[("viewer", 2), ("poster", 1), ("account", 1), ("anybody", 1)]);
        assert_eq!(tags(Role::Advertiser), everybody);
        assert_eq!(tags(Role::Other), everybody);
        let operators = [("viewer", 2), ("poster", 1), ("operator", 2), ("account", 1), ("anybody", 1)];
        assert_eq!(tags(Role::Ops), pairs(&operators));
        assert_eq!(tags(Role::Admin).len(), 7);
        assert_eq!(tags(Role::Admin).last(), Some(&("finance".to_owned(), 1)), "of a later server");
        assert!(Document::default().groups(Role::Admin).is_empty());
    }

    #[test]
    fn a_search_finds_words_wherever_they_are() {
        let groups = document().groups(Role::Admin);
        for (search, expected) in
            [("", 9), ("RULES", 3), ("put version", 1), ("get /api/v1/clicks", 1), ("x y", 0), ("  ", 9)]
        {
            assert_eq!(count(&found(&groups, search)), expected, "{search}");
        }
        assert!(found(&groups, "takes").iter().all(|group| group.tag == "poster"));
    }

    #[test]
    fn an_example_has_the_servers_address_and_a_placeholder() {
        let groups = document().groups(Role::Admin);
        let of = |tag: &str| {
            let group = groups.iter().find(|group| group.tag == tag).unwrap();
            example(group, "https://clicks.example").unwrap_or_default()
        };
        assert_eq!(
            of("viewer"),
            "curl https://clicks.example/api/v1/advertisers \\\n  -H 'Authorization: Bearer YOUR_TOKEN'"
        );
        assert!(of("operator").starts_with("curl https://clicks.example/api/v1/admin/rules \\"));
        assert!(of("poster").contains("X-Api-Key: YOUR_KEY"));
        assert_eq!(of("anybody"), "curl https://clicks.example/livez");
        assert_eq!([of("account"), of("admin")], ["", ""], "no program calls it, or only with more");
    }
}
