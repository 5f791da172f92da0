//! Operators' orders about an incident: acknowledge, take and give away, note, silence, end it. Each answers with the
//! incident after the order; the change also publishes news, which update all operators' screens.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
};
use clickwire_ledger::incidents::{self, Error as Cause};
use clickwire_protocol::alerts::{Alert, MAX_SILENCE_DAYS, Outcome};
use serde::Deserialize;
use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
    },
    identity::access::Operator,
    query::incidents::find,
    store::database::answer,
};

/// The refusals of an order about an incident.
type Refusals = (
    crate::identity::error::Scoped,
    openapi::Body,
    openapi::Missing,
    openapi::Conflict,
    crate::store::error::Record,
);

type Id = Result<Path<Uuid>, PathRejection>;

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::NotFound => Self::NotFound,
            Cause::Resolved => Self::Conflict("This incident is over."),
            Cause::Assigned => {
                Self::Conflict("Somebody has given this incident to another person meanwhile.")
            }
            Cause::TooManyNotes => Self::Conflict("This incident has as many notes as it may have."),
            Cause::NotAboutConvictions => {
                Self::field("outcome", "This incident is not about clicks that rules have convicted.")
            }
            Cause::NotSilenced => Self::Conflict("This incident is not silenced, or a later one is."),
            Cause::End => {
                Self::field("until", &format!("Expected a time within the next {MAX_SILENCE_DAYS} days."))
            }
            Cause::Database(error) => error.into(),
        }
    }
}

/// An order that is being carried out.
struct Order<'a> {
    state: &'a AdminState,
    alert_id: Uuid,
    transaction: Transaction<'static, Postgres>,
}

impl<'a> Order<'a> {
    async fn begin(state: &'a AdminState, operator: &Operator, alert_id: Id) -> Result<Self, Error> {
        let Path(alert_id) = alert_id.map_err(|_| Error::NotFound)?;
        Ok(Self { state, alert_id, transaction: operator.begin(&state.writing).await? })
    }

    /// The incident after the order.
    async fn done(self) -> Result<Json<Alert>, Error> {
        answer(self.transaction.commit()).await?;
        Ok(Json(find(&self.state.reading, self.alert_id).await?.ok_or(Error::NotFound)?))
    }
}

/// Acknowledges an incident.
///
/// The first acknowledgement is kept; another one does nothing.
#[utoipa::path(post, path = "/{alert_id}/acknowledge", operation_id = "acknowledge_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)),
    responses((status = 200, body = Alert), Refused<(crate::identity::error::Scoped, openapi::Missing, crate::store::error::Record)>))]
pub(in crate::admin) async fn acknowledge(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
) -> Result<Json<Alert>, Error> {
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    answer(incidents::acknowledge(&mut order.transaction, order.alert_id, operator.actor())).await?;
    order.done().await
}

/// The person who is to look after an incident.
#[derive(Deserialize, ToSchema)]
#[schema(as = AlertAssignment)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Assignment {
    /// The person who has it, as far as the caller knows; `null`: nobody.
    from: Option<String>,
    /// The person who is to have it, one of the assignees or the caller; `null`: nobody.
    to: Option<String>,
}

/// Gives an open incident to a person, or to nobody.
///
/// If somebody else has it by now than `from` says, nothing is done: 409.
#[utoipa::path(post, path = "/{alert_id}/assign", operation_id = "assign_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)), request_body = Assignment,
    responses((status = 200, body = Alert), Refused<Refusals>))]
pub(in crate::admin) async fn assign(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
    body: Result<Object<Assignment>, Error>,
) -> Result<Json<Alert>, Error> {
    let Object(Assignment { from, to }) = body?;
    if let Some(to) = &to
        && to != operator.actor()
        && !state.access.directory.operators().iter().any(|name| **name == **to)
    {
        return Err(Error::field("to", "Expected one of the assignees."));
    }
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    incidents::assign(&mut order.transaction, order.alert_id, from.as_deref(), to.as_deref()).await?;
    order.done().await
}

/// A note about an incident.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAlertNote)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewNote {
    /// Some lines; at most 2,000 bytes.
    text: String,
}

/// Writes a note about an incident, open or over. Notes are kept as they are written; an incident has 200 at most.
#[utoipa::path(post, path = "/{alert_id}/notes", operation_id = "note_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)), request_body = NewNote,
    responses((status = 200, body = Alert), Refused<Refusals>))]
pub(in crate::admin) async fn note(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
    body: Result<Object<NewNote>, Error>,
) -> Result<Json<Alert>, Error> {
    let Object(NewNote { text }) = body?;
    let text = text.parse().map_err(|message: String| Error::field("text", &message))?;
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    incidents::note(&mut order.transaction, order.alert_id, operator.actor(), &text).await?;
    order.done().await
}

/// A silence: the time until which nobody is called, and the reason.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAlertSilence)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct NewSilence {
    /// Time at which the silence ends by itself: within the next 30 days.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    until: OffsetDateTime,
    reason: String,
}

/// Silences what an open incident is about until a time.
///
/// The silence is on the kind and the subject, so it goes on when the incident ends and another is opened. Meanwhile
/// nothing is sent to the webhook of what is found; what is still open when the silence ends is sent then. Another
/// silence replaces the one before.
#[utoipa::path(post, path = "/{alert_id}/silence", operation_id = "silence_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)), request_body = NewSilence,
    responses((status = 200, body = Alert), Refused<Refusals>))]
pub(in crate::admin) async fn silence(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
    body: Result<Object<NewSilence>, Error>,
) -> Result<Json<Alert>, Error> {
    let Object(NewSilence { until, reason: words }) = body?;
    let reason = reason(&words)?;
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    incidents::silence(&mut order.transaction, order.alert_id, until, operator.actor(), &reason).await?;
    order.done().await
}

/// Lifts the silence on what an incident is about. The incident must be the latest about it; it may be over.
#[utoipa::path(delete, path = "/{alert_id}/silence", operation_id = "unsilence_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)),
    responses((status = 200, body = Alert), Refused<(
        crate::identity::error::Scoped, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(in crate::admin) async fn unsilence(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
) -> Result<Json<Alert>, Error> {
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    incidents::unsilence(&mut order.transaction, order.alert_id).await?;
    order.done().await
}

/// The end of an incident by hand, with its reason.
#[derive(Deserialize, ToSchema)]
#[schema(as = AlertResolution)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Resolution {
    reason: String,
    /// The caller's judgement of the convictions that it is about; not given for other incidents.
    outcome: Option<Outcome>,
}

/// Ends an open incident by hand. What is still so is found again, and opened as another incident.
///
/// Of a burst or of too much invalid traffic, `outcome` says whether the convictions are right. It changes no click:
/// `released` records that clicks were released.
#[utoipa::path(post, path = "/{alert_id}/resolve", operation_id = "resolve_alert", tag = "operator",
    params(("alert_id" = Uuid, Path)), request_body = Resolution,
    responses((status = 200, body = Alert), Refused<Refusals>))]
pub(in crate::admin) async fn resolve(
    State(state): State<Arc<AdminState>>,
    operator: Operator,
    alert_id: Id,
    body: Result<Object<Resolution>, Error>,
) -> Result<Json<Alert>, Error> {
    let Object(Resolution { reason: words, outcome }) = body?;
    let reason = reason(&words)?;
    let mut order = Order::begin(&state, &operator, alert_id).await?;
    let actor = operator.actor();
    incidents::resolve_by_hand(&mut order.transaction, order.alert_id, actor, &reason, outcome).await?;
    order.done().await
}
