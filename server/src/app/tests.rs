//! Tests of the OpenAPI document: each operation is described, and the description is true.

use std::collections::BTreeSet;

use clickwire_protocol::{
    click::{MAX_USER_ID_BYTES, PostedClick, UnknownFields},
    ids::MAX_ID_BYTES,
};
use serde_json::{Map, Value, json};
use utoipa::PartialSchema as _;

use clap::ValueEnum as _;

use super::*;
use crate::{
    config::ServerRole,
    http::openapi::{ROLES, document},
    intake::{self, posted::Posted},
};

fn served() -> Value {
    let document =
        document(routes::api(&intake::routes(), ServerRole::value_variants()).into_openapi()).unwrap();
    serde_json::from_slice(&document).unwrap()
}

/// Every operation: path, method, what is said of it.
fn described(document: &Value) -> Vec<(&str, &str, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods
                .map(|(method, operation)| (path.as_str(), method.as_str(), operation.as_object().unwrap()))
        })
        .collect()
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = served();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for reference in found {
        let target = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(target.is_some_and(Value::is_object), "{reference}");
    }
}

#[test]
fn every_operation_says_what_it_is_who_may_do_it_and_how_it_ends() {
    let document = served();
    let operations = described(&document);
    assert!(operations.len() >= 30, "{}", operations.len());
    let ids: BTreeSet<_> =
        operations.iter().map(|(.., operation)| operation["operationId"].as_str()).collect();
    assert!(ids.len() == operations.len() && !ids.contains(&None), "{ids:?}");
    for (path, method, operation) in operations {
        let name = format!("{method} {path}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.contains('`')), "{name}");
        let [role] = operation["tags"].as_array().unwrap().as_slice() else {
            panic!("{name}: {operation:?}")
        };
        let (_, schemes) = ROLES.iter().find(|(known, _)| role == known).unwrap();
        let required: Vec<Value> = schemes.iter().map(|scheme| json!({*scheme: []})).collect();
        assert_eq!(operation["security"], Value::Array(required), "{name}");

        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.as_str() < "400"), "{name}");
        assert!(responses.contains_key("408"), "{name}");
        // Who signs in may have a wrong password.
        let may_be_nobody = role != "anybody" || operation["operationId"] == "sign_in";
        assert_eq!(responses.contains_key("401"), may_be_nobody, "{name}");
        let is_scoped = ["operator", "admin", "account"].iter().any(|scoped| role == scoped);
        assert!(!is_scoped || responses.contains_key("403"), "{name}");
        for (status, response) in responses {
            assert_ne!(response["description"], "", "{name}: {status}");
            let content = response.get("content").and_then(Value::as_object);
            let is_empty = ["101", "204", "302", "304"].contains(&status.as_str());
            assert_eq!(content.is_none(), is_empty, "{name}: {status}");
        }
        let named = path.split('{').skip(1).filter_map(|part| part.split('}').next());
        let parameters = operation.get("parameters").and_then(Value::as_array);
        for named in named {
            let is_named = |parameter: &&Value| parameter["name"] == named && parameter["in"] == "path";
            assert!(parameters.is_some_and(|all| all.iter().any(|parameter| is_named(&parameter))), "{name}");
        }
    }
}

#[test]
fn refusals_are_described_as_they_are_answered() {
    let document = served();
    let post = &document["paths"]["/api/v1/clicks"]["post"]["responses"];
    let codes = |status: &str| {
        let description = post[status]["description"].as_str().unwrap_or_default();
        description
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| !code.contains(' '))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(codes("503"), ["keys_unavailable", "broker_unavailable", "broker_unavailable", "unread"]);
    assert_eq!(codes("409"), ["idempotency_key_in_flight"]);
    assert!(post["429"]["headers"]["retry-after"].is_object(), "{post}");
    let batch = &document["paths"]["/api/v1/clicks/batch"]["post"];
    let whole_or_each = batch.pointer("/responses/400/content/application~1json/schema/$ref").unwrap();
    assert_ne!(whole_or_each, "#/components/schemas/Invalid");
    assert!(batch.pointer("/requestBody/content/application~1x-ndjson").is_some(), "{batch}");
}

#[test]
fn a_posted_click_is_described_as_it_is_read() {
    let schema = serde_json::to_value(Posted::schema()).unwrap();
    let mut click = json!({
        "click_id": "01890a5d-ac96-774b-bcce-b302099a8057.c2lnbmF0dXJl", "advertiser_id": "adv_001",
        "campaign_id": "camp_001", "ad_id": "ad_001", "user_id": "u", "clicked_at": "2026-11-21T21:00:00Z",
        "ip_address": "192.0.2.1", "user_agent": "b", "country": "DE", "device_type": "tv",
        "referrer": "https://news.example/", "gclid": "a", "wbraid": "a", "gbraid": "a", "msclkid": "a", "fbclid": "a",
        "ttclid": "a", "utm_source": "a", "utm_medium": "a", "utm_campaign": "a", "utm_term": "a", "utm_content": "a",
        "utm_id": "a", "sub1": "a", "sub2": "a", "sub3": "a", "sub4": "a", "sub5": "a", "sub6": "a", "sub7": "a",
        "sub8": "a", "sub9": "a", "sub10": "a",
    });
    let described: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(described, click.as_object().unwrap().keys().collect());
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["advertiser_id", "campaign_id", "ad_id"]));
    // Every field that is read: another one has no value here and does not compile.
    let PostedClick {
        click_id: Some(_),
        signature: Some(_),
        advertiser_id: _,
        campaign_id: _,
        ad_id: _,
        user_id: Some(_),
        clicked_at_ms: Some(_),
        ip_address: Some(_),
        user_agent: Some(_),
        country: Some(_),
        device_type: Some(_),
        params,
        referrer: Some(_),
    } = PostedClick::parse(click.to_string().as_bytes(), UnknownFields::Refused).unwrap()
    else {
        panic!("a field is not read")
    };
    assert_eq!(params.len(), 22, "{params:?}");
    for (name, max_bytes) in [("ad_id", MAX_ID_BYTES), ("user_id", MAX_USER_ID_BYTES)] {
        assert_eq!(schema["properties"][name]["maxLength"], max_bytes, "{name}");
        click[name] = Value::String("a".repeat(max_bytes + 1));
        assert!(PostedClick::parse(click.to_string().as_bytes(), UnknownFields::Refused).is_err(), "{name}");
    }
}

#[test]
fn the_documents_list_every_code_that_an_operation_is_refused_with() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/integrate/errors.md"));
    let document = served();
    let mut codes = BTreeSet::new();
    for (.., operation) in described(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            // Each refusal is a paragraph: `code`: message.
            let paragraphs = response["description"].as_str().unwrap_or_default().split("\n\n");
            codes.extend(paragraphs.filter_map(|text| {
                let (code, _) = text.strip_prefix('`')?.split_once("`: ")?;
                Some(format!("| `{code}` | {status} |"))
            }));
        }
    }
    assert!(codes.len() > 20, "{codes:?}");
    let missing: Vec<_> = codes.iter().filter(|line| !page.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "`cargo xtask docs` does not write: {missing:?}");
}
