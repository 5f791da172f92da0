//! `POST /api/v1/admin/rules/{rule}/preview`: verdicts on the last clicks as a changed rule would have given them, or
//! the incidents that it would have opened.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_ledger::preview::{
    self,
    incidents::{CampaignRule, IncidentHistory},
};
use clickwire_process::now_ms;
use clickwire_protocol::{
    alerts::{FraudRate, Spike},
    rules::{Mode, Rule, Setting, preview::Preview},
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
/// Nothing is changed. Of a rule that judges clicks at most 200,000 clicks are looked at, the last ones: `is_cut` says
/// that there were more. The other rules judge as they did. Of a rule that opens incidents the minutes of campaigns are
/// looked at, of the 500 with the most clicks, and incidents are counted as if the rule were asked at each minute's
/// end, and an incident were over after two minutes without an observation.
///
/// 400 where it can't be told: for another list of robots (user agents are not kept); for a rule that judges clicks and
/// was off in these hours, unless it is duplicate, ip_velocity or user_velocity; and for a window with more clicks than
/// are looked at.
#[utoipa::path(post, path = "/{rule}/preview", operation_id = "preview_rule", tag = "admin", params(("rule" = String, Path)),
    request_body = Question,
    responses((status = 200, body = Preview), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, crate::store::error::Shared
    )>))]
pub(super) async fn show(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    rule: Result<Path<String>, PathRejection>,
    body: Result<Object<Question>, Error>,
) -> Result<Json<Preview>, Error> {
    let Path(name) = rule.map_err(|_| Error::NotFound)?;
    let Object(question) = body?;
    let hours = question.hours.unwrap_or(HOURS);
    if !(1..=HOURS).contains(&hours) {
        return Err(Error::field("hours", "Must be from 1 to 24."));
    }
    let current = rules::latest(&state.reading, &name).await?;
    let parameters = question.parameters.unwrap_or_else(|| current.parameters.clone());
    check(&name, question.mode, &parameters)?;
    let end = UnixMs(now_ms());
    let start = end - i64::from(hours) * 3_600_000;
    // Each holds about 30 MB: they wait for each other.
    let turn =
        timeout(PATIENCE, state.preview.clone().lock_owned()).await.map_err(|_| Error::TooManyAtOnce)?;
    let begin = async || state.reading.begin_with(SNAPSHOT).await;
    // The turn ends with the work, also where the caller has gone.
    let judged = if let Some(rule) = Rule::named(&name) {
        let setting = Setting::new(rule, question.mode, &parameters)
            .map_err(|invalid| Error::field("parameters", &invalid.to_string()))?;
        let read = async { preview::Preview::read(&mut *begin().await?, rule, setting, start, end).await };
        let clicks = within(read).await?.map_err(refusal)?;
        spawn_blocking(move || (Preview::Verdicts(clicks.verdicts()), turn))
    } else {
        let was_on = current.mode != "off";
        let rules = [
            of_campaigns(&name, was_on, &current.parameters),
            of_campaigns(&name, question.mode != Mode::Off, &parameters),
        ];
        let read = async { IncidentHistory::read(&mut *begin().await?, rules, start, end).await };
        let minutes = within(read).await?.map_err(of_question)?;
        spawn_blocking(move || (Preview::Incidents(minutes.incidents()), turn))
    };
    judged.await.map(|(preview, _turn)| Json(preview)).map_err(|_| Error::Panicked)
}

/// Reads for as long as a caller waits.
async fn within<T>(read: impl Future<Output = T>) -> Result<T, Error> {
    timeout(PATIENCE, read).await.map_err(|_| StoreError::TooSlow.into())
}

/// A rule that opens incidents. Invalid parameters, written directly to the database, count as off, as the aggregator
/// has it.
fn of_campaigns(name: &str, is_on: bool, parameters: &Value) -> CampaignRule {
    let valid = match name {
        "campaign_spike" => {
            Spike::deserialize(parameters).ok().filter(Spike::is_valid).map(CampaignRule::Spike)
        }
        "fraud_rate" => {
            FraudRate::deserialize(parameters).ok().filter(FraudRate::is_valid).map(CampaignRule::FraudRate)
        }
        _ => None,
    };
    valid.filter(|_| is_on).unwrap_or(CampaignRule::Off)
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
