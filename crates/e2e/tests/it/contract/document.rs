//! The OpenAPI document as a judge: whether an answer, or a body that was taken, is what it says.
//!
//! Strict where the document is not: fields that it does not name are wrong.

use anyhow::{Context as _, Result, bail, ensure};
use clickwire_e2e::raw;
use serde_json::{Value, json};

/// The document that a server serves.
pub(super) struct Document(Value);

/// One operation of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operation {
    /// With names in place of parameters.
    pub(super) path: String,
    /// In capital letters.
    pub(super) method: String,
    /// The role that may do it.
    pub(super) role: String,
    described: Value,
}

impl Operation {
    /// Returns whether the operation has a parameter of this name in its query.
    pub(super) fn takes(&self, name: &str) -> bool {
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        parameters.into_iter().any(|parameter| parameter["name"] == name && parameter["in"] == "query")
    }
}

impl Operation {
    /// Names and places of what stands in its path and its query.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        let named = parameters.filter_map(|parameter| {
            Some((parameter["name"].as_str()?.to_owned(), parameter["in"].as_str()?.to_owned()))
        });
        named.filter(|(_, place)| place != "header").collect()
    }
}

impl Document {
    /// The fields of an operation's body, if it has one that is an object.
    pub(super) fn fields(&self, operation: &Operation) -> Result<Option<Vec<String>>> {
        let schema = operation.described.pointer("/requestBody/content/application~1json/schema");
        let Some(schema) = schema else { return Ok(None) };
        let mut fields = Vec::new();
        self.collect(schema, &mut fields)?;
        fields.sort();
        fields.dedup();
        Ok((!fields.is_empty()).then_some(fields))
    }

    fn collect(&self, schema: &Value, fields: &mut Vec<String>) -> Result<()> {
        if let Some(place) = schema["$ref"].as_str() {
            let place = place.trim_start_matches('#');
            return self.collect(self.0.pointer(place).with_context(|| format!("no {place}"))?, fields);
        }
        fields.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        for keyword in ["allOf", "oneOf", "anyOf"] {
            let parts = schema[keyword].as_array().into_iter().flatten();
            parts.into_iter().try_for_each(|part| self.collect(part, fields))?;
        }
        Ok(())
    }

    pub(super) async fn served_by(url: &str) -> Result<Self> {
        let answer = raw::send(url, "GET /api/v1/openapi.json", "", b"").await?;
        ensure!(answer.status == 200, "{answer:?}");
        ensure!(
            answer.header("cache-control") == Some("no-store") && answer.header("etag").is_none(),
            "{answer:?}"
        );
        let mut document = answer.body;
        for schema in document["components"]["schemas"].as_object_mut().context("no schemas")?.values_mut() {
            close_parts(schema);
        }
        Ok(Self(document))
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(path, item)| {
                item.as_object().into_iter().flatten().map(|(method, described)| Operation {
                    path: path.clone(),
                    method: method.to_uppercase(),
                    role: described["tags"][0].as_str().unwrap_or_default().to_owned(),
                    described: described.clone(),
                })
            })
            .collect()
    }

    /// The operation that a request such as `POST /api/v1/clicks` asks for.
    pub(super) fn operation(&self, request: &str) -> Result<Operation> {
        let (method, path) = request.split_once(' ').context("no method")?;
        let path = path.split('?').next().unwrap_or_default();
        let is_asked = |operation: &&Operation| operation.method == method && matches(&operation.path, path);
        // A path without parameters goes before one with them.
        let operations = self.operations();
        let found =
            operations.iter().filter(is_asked).min_by_key(|operation| operation.path.matches('{').count());
        found.cloned().with_context(|| format!("{request} is not in the document"))
    }

    /// Checks that an answer is as the operation describes it.
    pub(super) fn judge(&self, operation: &Operation, answer: &raw::Answer) -> Result<()> {
        let response = &operation.described["responses"][answer.status.to_string()];
        ensure!(response.is_object(), "the status {} is not in the document", answer.status);
        ensure!(answer.header("cache-control") == Some("no-store"), "somebody may keep it");
        let content_type = answer.header("content-type").map(essence);
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            ensure!(answer.body == Value::Null && content_type.is_none(), "there should be no body");
            return Ok(());
        };
        let content_type = content_type.context("there is no Content-Type")?;
        let content =
            content.get(content_type).with_context(|| format!("{content_type} is not in the document"))?;
        let names = response["headers"].as_object().into_iter().flatten().map(|(name, _)| name);
        for name in names.filter(|name| !is_optional(name)) {
            ensure!(answer.header(name).is_some(), "there is no header {name}");
        }
        if content_type == "application/json" { self.check(&content["schema"], &answer.body) } else { Ok(()) }
    }

    /// Checks that a body that was taken is as the operation describes it.
    pub(super) fn judge_body(&self, operation: &Operation, body: &Value) -> Result<()> {
        let schema = operation.described.pointer("/requestBody/content/application~1json/schema");
        self.check(schema.context("no body is in the document")?, body)
    }

    fn check(&self, schema: &Value, value: &Value) -> Result<()> {
        let mut schema = schema.clone();
        close(&mut schema);
        let root = json!({"allOf": [schema], "components": self.0["components"]});
        let validator = jsonschema::options().should_validate_formats(true).build(&root)?;
        let wrong: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if wrong.is_empty() { Ok(()) } else { bail!("{wrong:?}") }
    }
}

/// Sent only under certain conditions.
fn is_optional(name: &str) -> bool {
    ["idempotency-replayed", "ratelimit", "ratelimit-policy"].contains(&name.to_ascii_lowercase().as_str())
}

fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

fn matches(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(named, given)| named.starts_with('{') || *named == given)
}

/// Forbids fields that a schema does not name: where it is used, for as a part of another it can't know
/// the other parts' fields.
fn close(schema: &mut Value) {
    close_parts(schema);
    let Some(schema) = schema.as_object_mut() else { return };
    let is_open = !schema.contains_key("additionalProperties");
    if is_open && ["$ref", "properties", "allOf"].iter().any(|keyword| schema.contains_key(*keyword)) {
        schema.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}

fn close_parts(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    for (keyword, value) in schema {
        match keyword.as_str() {
            "properties" => value.as_object_mut().into_iter().flatten().for_each(|(_, schema)| close(schema)),
            "items" | "additionalProperties" => close(value),
            "oneOf" | "anyOf" => value.as_array_mut().into_iter().flatten().for_each(close),
            "allOf" => value.as_array_mut().into_iter().flatten().for_each(close_parts),
            _ => {}
        }
    }
}

/// The judge itself: nothing else shows that it would find something.
#[test]
fn what_the_document_does_not_name_is_wrong() -> Result<()> {
    let part = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}});
    let own = json!({"type": "object", "properties": {"b": {"type": "string", "format": "uuid"}}});
    let whole = json!({"allOf": [{"$ref": "#/components/schemas/Part"}, own]});
    let list = json!({"type": "array", "items": {"oneOf": [{"$ref": "#/components/schemas/Whole"}, part]}});
    let mut schemas = json!({"Part": part, "Whole": whole});
    schemas.as_object_mut().into_iter().flatten().for_each(|(_, schema)| close_parts(schema));
    let document = Document(json!({"components": {"schemas": schemas}}));
    let whole = json!({"$ref": "#/components/schemas/Whole"});
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    document.check(&whole, &json!({"a": 1, "b": id}))?;
    document.check(&list, &json!([{"a": 1, "b": id}]))?;
    for wrong in [json!({"b": id}), json!({"a": "1"}), json!({"a": 1, "b": "x"}), json!({"a": 1, "c": 1})] {
        assert!(document.check(&whole, &wrong).is_err(), "{wrong}");
        assert!(document.check(&list, &json!([wrong])).is_err(), "{wrong}");
    }
    Ok(())
}
