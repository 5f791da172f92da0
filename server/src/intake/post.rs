//! `POST /api/v1/clicks`: one click, answered 202 when it can't be lost any more.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{State, rejection::BytesRejection},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, HeaderName},
    },
    response::{IntoResponse as _, Response},
};
use clickwire_protocol::{answer::Accepted, click::PostedClick, idempotency::Key};

use super::{
    ClientRetry, Taken,
    idempotency::{self, Found},
};
use crate::{
    http::{
        MAX_BODY_BYTES,
        content_type::essence,
        encoding::Encoding,
        error::Error,
        openapi::{self, Refused},
        uuid_time::time_inside,
        visitor::Visitor,
    },
    intake::{error::IntakeError, keys::Poster, posted::Posted, state::IntakeState},
};

/// Header beside the first answer when it is given again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Posts a click.
///
/// With an `Idempotency-Key`, the same post is answered the same within 24 h.
#[utoipa::path(post, path = "/api/v1/clicks", tag = "poster", request_body = Posted,
    params(("Idempotency-Key" = Option<String>, Header, description = "Names the post; 1 to 255 visible ASCII characters.")),
    responses(
        (status = 202, body = Accepted, description = "It can't be lost any more.", headers(
            ("RateLimit" = String, description = "What is left of each allowance."),
            ("RateLimit-Policy" = String, description = "The allowances."),
            ("Idempotency-Replayed" = String, description = "`true`: this is the first post's answer.")
        )),
        Refused<(crate::intake::error::Poster, crate::intake::error::NotAllowed, openapi::Body, crate::intake::error::Repeated, crate::intake::error::Click)>
    ))]
pub(crate) async fn post_click(
    State(state): State<Arc<IntakeState>>,
    poster: Poster,
    visitor: Visitor,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    // Pages that name no type say that a text comes.
    if !matches!(essence(&headers).as_str(), "application/json" | "text/plain") {
        return Err(Error::UnsupportedMediaType);
    }
    let encoding = Encoding::of(&headers)?;
    let key = idempotency::key(&headers)?;
    let body = encoding.decode_all(body?, MAX_BODY_BYTES)?;
    let posted = PostedClick::parse(&body, poster.unknown_fields).map_err(|rejection| {
        metrics::counter!("clickwire_clicks_rejected_total").increment(1);
        Error::Invalid(rejection)
    })?;
    poster.check(&posted)?;
    if poster.is_bound() {
        state.owners.check(&posted).await?;
    }
    let Some(key) = key else {
        return Ok(accepted(take(&state, &poster, visitor, posted).await?));
    };
    // Goes on when the client hangs up: else its repetition would find the key in flight.
    let once = tokio::spawn(async move { take_once(&state, &poster, visitor, posted, &key, &body).await });
    once.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Err(IntakeError::BrokerAway(error.to_string()).into()),
    })
}

/// Takes a click in; the answer as JSON.
async fn take(
    state: &IntakeState,
    poster: &Poster,
    visitor: Visitor,
    posted: PostedClick,
) -> Result<Bytes, Error> {
    let click = state.enricher.posted(posted, visitor, poster);
    let (taken, is_fraudulent) =
        tokio::join!(state.intake.take(&click, ClientRetry::Retries), state.hints.of(poster, &click));
    let is_duplicate = taken? == Taken::Known;
    let accepted = Accepted { success: true, click_id: click.click_id, is_duplicate, is_fraudulent };
    let answer = serde_json::to_vec(&accepted)
        .map_err(|error| IntakeError::Broker { click_id: click.click_id, cause: error.to_string() })?;
    Ok(answer.into())
}

/// Takes a click in unless the same post was answered before, with its answer then.
async fn take_once(
    state: &IntakeState,
    poster: &Poster,
    visitor: Visitor,
    mut posted: PostedClick,
    key: &Key,
    body: &[u8],
) -> Result<Response, Error> {
    let begun = match state.idempotency.begin(&poster.key_id, key, body).await? {
        Found::Nothing(begun) => begun,
        Found::Answer(answer) => {
            let mut response = accepted(answer);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return Ok(response);
        }
    };
    let click_id = *posted.click_id.get_or_insert(begun.click_id);
    if time_inside(&click_id).is_none() {
        posted.clicked_at_ms.get_or_insert(begun.first_received_at_ms);
    }
    match take(state, poster, visitor, posted).await {
        Ok(answer) => {
            begun.answered(&answer).await;
            Ok(accepted(answer))
        }
        Err(error) => {
            begun.failed().await;
            Err(error)
        }
    }
}

fn accepted(answer: Bytes) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (StatusCode::ACCEPTED, headers, Body::from(answer)).into_response()
}
