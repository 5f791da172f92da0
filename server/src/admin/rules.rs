//! `/api/v1/admin/rules`: the fraud rules and every version they ever had. A change is a new version;
//! aggregators read it with their next batch.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_protocol::{
    alerts::{FraudRate, Spike},
    click::Rejection,
    rules::{Mode, NEWEST_LIST, Rule, Setting, parameters},
};
use clickwire_robots::{NEWEST, OLDEST};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use utoipa::ToSchema;

use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::{Admin, Operator},
    store::database::{answer, rfc3339},
};

/// Time from the change until it is in force: longer than a batch that has not seen it can take from being received to
/// asking for the rules, so that no click is judged by a version that was not in force when it came. Whole
/// milliseconds, as times of receipt are: what the answer says is what judges.
const NOTICE: &str = "INTERVAL '2 seconds'";

// The dashboard reads the newest list's number from the protocol.
const _: () = assert!(NEWEST == NEWEST_LIST, "the newest list of robots is not the protocol's");

/// The rules; how many there are the program says.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleVersions)]
pub(super) struct List {
    data: Vec<Version>,
}

/// One version of a rule.
#[derive(Serialize, ToSchema)]
#[schema(as = RuleVersion)]
pub(super) struct Version {
    rule: String,
    version: i32,
    pub(super) mode: String,
    pub(super) parameters: Value,
    /// The version judges clicks that are received from here on.
    #[schema(format = DateTime)]
    effective_at: String,
    changed_by: String,
    reason: String,
}

/// The wanted state of a rule. Parameters that are not given stay as they are.
#[derive(Deserialize, ToSchema)]
#[schema(as = RuleChange)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    mode: Mode,
    parameters: Option<Value>,
    reason: String,
    /// The version that the change was made from. If there is a newer one, the change is refused. Not given: the
    /// change is made from whichever is the newest.
    if_version: Option<i32>,
}

/// The rules as they are, or will be in a moment.
#[utoipa::path(get, path = "/", operation_id = "list_rules", tag = "operator",
    responses((status = 200, body = List), Refused<(crate::identity::error::Scoped, crate::store::error::Database)>))]
pub(super) async fn list(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
) -> Result<Json<List>, Error> {
    let latest = "SELECT DISTINCT ON (rule) * FROM fraud_rules ORDER BY rule, version DESC";
    Ok(Json(List { data: versions(&state.reading, latest, None).await? }))
}

/// All versions of a rule, the newest first.
#[utoipa::path(get, path = "/{rule}", operation_id = "show_rule", tag = "operator",
    params(("rule" = String, Path), InPages),
    responses((status = 200, body = Page<Version>), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, crate::store::error::Database
    )>))]
pub(super) async fn history(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    rule: Result<Path<String>, PathRejection>,
    mut parameters: Parameters,
) -> Result<Json<Page<Version>>, Error> {
    let Path(rule) = rule.map_err(|_| Error::NotFound)?;
    let asked: Asked<i32> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let before = asked.after().copied().unwrap_or(i32::MAX);
    let some = "SELECT * FROM fraud_rules WHERE rule = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    let sql = columns(&format!("({some}) AS versions"));
    let some = sqlx::query_as::<_, Row>(AssertSqlSafe(sql)).bind(&rule).bind(before).bind(asked.limit());
    let some = answer(some.fetch_all(&state.reading)).await?;
    // The first version is there from the beginning.
    if some.is_empty() && asked.after().is_none() {
        return Err(Error::NotFound);
    }
    Ok(Json(asked.page(some.into_iter().map(version).collect(), |version| version.version)))
}

/// Makes a new version of a rule.
///
/// The new version judges what is received from two seconds later on.
#[utoipa::path(put, path = "/{rule}", operation_id = "change_rule", tag = "admin", params(("rule" = String, Path)),
    request_body = Change,
    responses((status = 200, body = Version), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn change(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    rule: Result<Path<String>, PathRejection>,
    body: Result<Object<Change>, Error>,
) -> Result<Json<Version>, Error> {
    let Path(rule) = rule.map_err(|_| Error::NotFound)?;
    let Object(change) = body?;
    let reason = reason(&change.reason)?;
    let before = latest(&state.writing, &rule).await?;
    if change.if_version.is_some_and(|version| version != before.version) {
        return Err(Error::Conflict("Somebody else has changed this rule meanwhile."));
    }
    let parameters = change.parameters.unwrap_or(before.parameters);
    check(&rule, change.mode, &parameters)?;
    let mode = serde_json::to_value(change.mode)
        .map_err(|error| Error::Invalid(Rejection::form(error.to_string())))?;
    // Who changes the same version at the same time is refused: this is the next one once only.
    let insert = format!(
        "WITH added AS (INSERT INTO fraud_rules (rule, version, mode, parameters, effective_at, changed_by, reason) \
           SELECT rule, $2 + 1, $3, $4::jsonb, \
                  date_trunc('milliseconds', greatest(clock_timestamp(), effective_at)) + {NOTICE}, $5, $6 \
             FROM fraud_rules WHERE rule = $1 AND version = $2 \
           ON CONFLICT DO NOTHING RETURNING *) {}",
        columns("added"),
    );
    let mut transaction = admin.begin(&state.writing).await?;
    let added = sqlx::query_as::<_, Row>(AssertSqlSafe(insert))
        .bind(&rule)
        .bind(before.version)
        .bind(mode.as_str())
        .bind(parameters.to_string())
        .bind(admin.actor())
        .bind(reason.as_str())
        .fetch_optional(&mut *transaction);
    let added = answer(added).await?.ok_or(Error::Conflict("Somebody else has just changed this rule."))?;
    answer(transaction.commit()).await?;
    tracing::info!(rule, version = added.1, "rule changed");
    Ok(Json(version(added)))
}

/// Checks a rule's mode and parameters, for rules that judge clicks and for those that only alert.
pub(super) fn check(rule: &str, mode: Mode, parameters: &Value) -> Result<(), Error> {
    let wrong = |message: &str| Error::field("parameters", message);
    // What versions before this check were stored with is still read.
    if !parameters.is_object() {
        return Err(wrong("Expected an object."));
    }
    if let Some(rule) = Rule::named(rule) {
        let setting = Setting::new(rule, mode, parameters).map_err(|invalid| wrong(&invalid.to_string()))?;
        // Without its number it would be the first list: whoever writes parameters names it.
        if rule == Rule::UserAgent && (parameters.get("list").is_none() || setting.list > NEWEST) {
            return Err(wrong(&format!("user_agent takes list: from {OLDEST} to {NEWEST}")));
        }
        return Ok(());
    }
    if mode == Mode::Flag {
        return Err(Error::field("mode", "This rule judges no click: it can be off or report_only."));
    }
    let is_valid = match rule {
        "campaign_spike" => Spike::deserialize(parameters).map(|spike| spike.is_valid()),
        "fraud_rate" => FraudRate::deserialize(parameters).map(|rate| rate.is_valid()),
        _ => return Err(Error::NotFound),
    };
    match is_valid {
        Ok(true) => Ok(()),
        Ok(false) => Err(wrong(&out_of_range(rule, parameters))),
        Err(error) => Err(wrong(&format!("Can't be read: {error}."))),
    }
}

/// Returns a message that names the parameter out of its bounds, for a rule that only alerts.
fn out_of_range(rule: &str, parameters: &Value) -> String {
    let number =
        |name| parameters.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let wrong =
        parameters::of(rule).iter().find(|one| number(one.name).is_some_and(|number| !one.takes(number)));
    match wrong {
        Some(one) => {
            let most = one.maximum.unwrap_or(u32::MAX);
            format!("{} must be from {} to {most}", one.name, one.minimum)
        }
        None => "critical_percent must not be below warning_percent".to_owned(),
    }
}

/// Reads a rule's newest version.
pub(super) async fn latest(database: &PgPool, rule: &str) -> Result<Version, Error> {
    let sql = "SELECT * FROM fraud_rules WHERE rule = $1 ORDER BY version DESC LIMIT 1";
    versions(database, sql, Some(rule)).await?.pop().ok_or(Error::NotFound)
}

type Row = (String, i32, String, String, String, String, String);

fn columns(from: &str) -> String {
    let effective_at = rfc3339("effective_at");
    format!("SELECT rule, version, mode, parameters::text, {effective_at}, changed_by, reason FROM {from}")
}

/// Runs a query for versions; `$1` is the rule, if there is one.
async fn versions(database: &PgPool, sql: &str, rule: Option<&str>) -> Result<Vec<Version>, Error> {
    let sql = columns(&format!("({sql}) AS versions"));
    let mut query = sqlx::query_as::<_, Row>(AssertSqlSafe(sql));
    if let Some(rule) = rule {
        query = query.bind(rule.to_owned());
    }
    Ok(answer(query.fetch_all(database)).await?.into_iter().map(version).collect())
}

fn version((rule, version, mode, parameters, effective_at, changed_by, reason): Row) -> Version {
    // The column is jsonb: what it prints is JSON.
    let parameters = serde_json::from_str(&parameters).unwrap_or_default();
    Version { rule, version, mode, parameters, effective_at, changed_by, reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_the_parameter_that_is_wrong() {
        let rate = |warning, critical, minutes| json!({"warning_percent": warning, "critical_percent": critical, "minimum_clicks": 30, "window_minutes": minutes});
        let spike = json!({"deviations": 6, "minimum_clicks": 30, "window_minutes": 9});
        for (rule, parameters, expected) in [
            ("fraud_rate", rate(3, 101, 10), "critical_percent must be from 1 to 100"),
            ("fraud_rate", rate(3, 5, 61), "window_minutes must be from 1 to 60"),
            ("fraud_rate", rate(5, 3, 10), "critical_percent must not be below warning_percent"),
            ("campaign_spike", spike, "window_minutes must be from 10 to 240"),
        ] {
            assert!(check(rule, Mode::ReportOnly, &parameters).is_err(), "{rule} {parameters}");
            assert_eq!(out_of_range(rule, &parameters), expected);
        }
    }
}
