//! `POST /api/v1/admin/rules/{rule}/preview`: verdicts on the last clicks as a changed rule would have given them.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_ledger::preview::{self, Preview};
use clickwire_process::now_ms;
use clickwire_protocol::{
    rules::{Mode, Rule, Setting, preview::RulePreview},
    times::UnixMs,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::timeout};
use utoipa::ToSchema;

use crate::{
    admin::{
        rules::{self, check},
        state::AdminState,
    },
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
    },
    identity::access::Admin,
    store::{
        database::SNAPSHOT,
        error::{StoreError, of_question},
    },
};

/// Hours of clicks that are looked at unless the question names a number, and at most.
const HOURS: u32 = 24;

/// Longest wait for other previews, and longest time until the clicks are read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A change of a rule to preview. Parameters that are not given stay as they are.
#[derive(Deserialize, ToSchema)]
#[schema(as = RulePreviewOf)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    mode: Mode,
    parameters: Option<Value>,
    /// Hours up to now whose clicks are looked at: 1 to 24, by default 24.
    hours: Option<u32>,
}

/// Shows what a change of a rule would have made of the last clicks.
///
/// Nothing is changed. At most 200,000 clicks are looked at, the last ones: `is_cut` says that there were more. The
/// other rules judge as they did. 400 where it can't be told: for a rule that judges no click; for another list of robots
/// (user agents are not kept); for any rule but duplicate, ip_velocity and user_velocity that was off in these hours;
/// and for a window with more clicks than are looked at.
#[utoipa::path(post, path = "/{rule}/preview", operation_id = "preview_rule", tag = "admin", params(("rule" = String, Path)),
    request_body = Question,
    responses((status = 200, body = RulePreview), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, crate::store::error::Shared
    )>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    rule: Result<Path<String>, PathRejection>,
    body: Result<Object<Question>, Error>,
) -> Result<Json<RulePreview>, Error> {
    let Path(name) = rule.map_err(|_| Error::NotFound)?;
    let Object(question) = body?;
    let hours = question.hours.unwrap_or(HOURS);
    if !(1..=HOURS).contains(&hours) {
        return Err(Error::field("hours", "Must be from 1 to 24."));
    }
    let parameters = match question.parameters {
        Some(parameters) => parameters,
        None => rules::newest(&state.reading, &name).await?,
    };
    check(&name, question.mode, &parameters)?;
    let rule = Rule::named(&name)
        .ok_or_else(|| Error::field("mode", "This rule judges no click: there is no preview."))?;
    let setting = Setting::new(rule, question.mode, &parameters)
        .map_err(|invalid| Error::field("parameters", &invalid.to_string()))?;
    let end = UnixMs(now_ms());
    let start = end - i64::from(hours) * 3_600_000;
    // Each holds about 30 MB: they wait for each other.
    let turn =
        timeout(PATIENCE, state.preview.clone().lock_owned()).await.map_err(|_| Error::TooManyAtOnce)?;
    let read = async {
        let mut snapshot = state.reading.begin_with(SNAPSHOT).await?;
        Preview::read(&mut snapshot, rule, setting, start, end).await
    };
    let preview = match timeout(PATIENCE, read).await {
        Ok(read) => read.map_err(refusal)?,
        Err(_) => return Err(StoreError::TooSlow.into()),
    };
    // The turn ends with the work, also where the caller has gone.
    let judged = spawn_blocking(move || {
        let verdicts = preview.verdicts();
        drop(turn);
        verdicts
    });
    judged.await.map(Json).map_err(|_| Error::Panicked)
}

/// The reason why there is no preview, at the field that it is about.
fn refusal(error: preview::Error) -> Error {
    match error {
        preview::Error::Database(error) => of_question(error),
        preview::Error::NotKept => {
            Error::field("parameters", "User agents are not kept: what another list finds can't be told.")
        }
        preview::Error::WasOff => {
            Error::field("mode", "The rule was off in these hours: what it would have found is not kept.")
        }
        preview::Error::TooMany => {
            Error::field("parameters", "Such a window holds more clicks than a preview looks at (200,000).")
        }
    }
}
