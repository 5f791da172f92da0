//! `POST /api/v1/clicks/batch`: many clicks in one body, a result for each.
//!
//! The body is read as it arrives and nothing is published before it has ended well: what is wrong
//! with it as a whole refuses all of it. What is wrong with one click refuses that click, and the
//! others are taken: too long, or a line that is no JSON. An array with an element that is none is none
//! itself. Memory is bounded: so many batches are in hand ([`in_hand`](super::in_hand)), each with so many
//! clicks.

use std::sync::Arc;

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use axum::{
    Json,
    body::{Body, Bytes, HttpBody as _},
    extract::State,
    http::{HeaderMap, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use clickwire_protocol::{
    answer::{BatchAnswer, BatchResult, InvalidBody, ProblemBody},
    click::{Click, NotRead, PostedClick, Rejection, UnknownFields},
    elements::{Element, Format, Malformed, Splitter},
    idempotency,
};
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    ClientRetry, Intake, Taken,
    hints::Hints,
    in_hand::Pieces,
    owners::{Named, Owners},
};
use crate::{
    http::{
        MAX_BODY_BYTES,
        content_type::essence,
        encoding::Encoding,
        error::{Error, RETRY_AFTER_SECONDS},
        openapi::{self, Refused},
        visitor::Visitor,
    },
    intake::{error::IntakeError, keys::Poster, posted::Posted, state::IntakeState},
};

/// Clicks in a batch, at most.
const MAX_CLICKS: usize = 5_000;
/// Largest body, in bytes.
pub(super) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

const TOO_MANY_CLICKS: IntakeError = IntakeError::BatchTooLarge("A batch may have 5,000 clicks at most.");
pub(super) const TOO_MANY_BYTES: IntakeError = IntakeError::BatchTooLarge("A batch may have 4 MiB at most.");
const CLICK_TOO_LARGE: IntakeError = IntakeError::BatchTooLarge("A click may have 16 KiB at most.");

/// Clicks of one batch on their way to the broker at the same time: enough to hide the way there and
/// back, few enough that other posts get their turn.
const IN_FLIGHT: usize = 256;

/// The answer where nothing was accepted.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described")]
enum WholeOrEach<E> {
    /// The error of the batch as a whole.
    Whole(E),
    /// The errors of each click.
    Each(BatchAnswer),
}

/// A click that can be published, or why not.
type Read = Result<Click, Error>;

/// Posts many clicks.
///
/// A JSON array, or a click a line. There is a result for each click, in order.
#[utoipa::path(post, path = "/api/v1/clicks/batch", tag = "poster",
    request_body(content((Vec<Posted> = "application/json"), (Posted = "application/x-ndjson"))),
    responses(
        (status = 202, body = BatchAnswer, description = "At least one click was accepted.", headers(
            ("RateLimit" = String, description = "What is left of each allowance."),
            ("RateLimit-Policy" = String, description = "The allowances.")
        )),
        Refused<(crate::intake::error::Poster, openapi::Input, crate::intake::error::Batch)>,
        (status = 400, body = WholeOrEach<InvalidBody>, description = "`invalid`, and nothing of it is kept; or every click was wrong."),
        (status = 503, body = WholeOrEach<ProblemBody>, headers(("Retry-After" = String)),
            description = "`too_many_batches`, `keys_unavailable`; or none was accepted, some or all because of the broker.")
    ))]
pub(crate) async fn post_batch(
    State(state): State<Arc<IntakeState>>,
    poster: Poster,
    visitor: Visitor,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let (format, encoding) = (format(&headers)?, Encoding::of(&headers)?);
    if headers.contains_key(idempotency::HEADER) {
        return Err(Error::field("Idempotency-Key", "Not for batches: send a click_id with each click."));
    }
    if body.size_hint().lower() > MAX_BATCH_BYTES as u64 {
        return Err(TOO_MANY_BYTES.into());
    }
    let mut pieces = Pieces::of(body);
    // Who sends nothing takes no place.
    let first = pieces.next().await?;
    let _in_hand = state.batches.begin(&poster.key_id, visitor.address).ok_or(IntakeError::TooManyBatches)?;
    let mut clicks: Vec<Read> = Vec::new();
    let arriving = pieces.after(first).boxed();
    let read = read(format, decoded(encoding, arriving).await?, poster.unknown_fields, |posted| {
        clicks.push(posted.and_then(|posted| {
            poster.check(&posted)?;
            Ok(state.enricher.posted(posted, visitor.clone(), &poster))
        }));
    });
    read.await?;
    if clicks.is_empty() {
        return Err(Error::Invalid(Rejection::form("The batch has no clicks.")));
    }
    // One was spent before the body was read.
    if let Some(others) = NonZeroU32::new(clicks.len() as u32 - 1) {
        poster.spend_others(others)?;
    }
    if poster.is_bound() {
        refuse_foreign(&state.owners, &mut clicks).await;
    }
    Ok(answer(take(&state.intake, &state.hints, &poster, clicks).await))
}

/// Refuses the clicks that name what another advertiser has registered.
async fn refuse_foreign(owners: &Owners, clicks: &mut [Read]) {
    let named: Vec<Named<'_>> = clicks.iter().flatten().map(Named::from).collect();
    let mut foreign = owners.are_foreign(&named).await.into_iter();
    for click in clicks.iter_mut().filter(|click| click.is_ok()) {
        if foreign.next() == Some(true) {
            *click = Err(Error::Forbidden);
        }
    }
}

/// A body's pieces as they come, or, if it is encoded, decoded when it is all there.
async fn decoded(
    encoding: Encoding,
    mut pieces: BoxStream<'static, Result<Bytes, Error>>,
) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
    if encoding == Encoding::Identity {
        return Ok(pieces);
    }
    let mut encoded = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        encoded.extend(piece);
    }
    // Others get their turn between two pieces.
    let decoded = stream::iter(encoding.decode(encoded.into())).then(async |piece| {
        tokio::task::yield_now().await;
        piece
    });
    Ok(decoded.boxed())
}

/// Reads a body to its end and gives each click to `take`.
async fn read(
    format: Format,
    mut pieces: impl Stream<Item = Result<Bytes, Error>> + Unpin,
    unknown: UnknownFields,
    mut take: impl FnMut(Result<PostedClick, Error>),
) -> Result<(), Error> {
    let mut splitter = Splitter::new(format, MAX_BODY_BYTES);
    let mut clicks = 0;
    let mut each = |element: Element<'_>| {
        clicks += 1;
        if clicks > MAX_CLICKS {
            return Err(TOO_MANY_CLICKS.into());
        }
        let Element::Whole(json) = element else {
            take(Err(CLICK_TOO_LARGE.into()));
            return Ok(());
        };
        let not_json = |error: serde_json::Error| {
            Error::Invalid(Rejection::form(format!("Click {clicks} of the batch is not JSON: {error}")))
        };
        match (PostedClick::read(json, "A click", unknown), format) {
            (Ok(posted), _) => take(Ok(posted)),
            (Err(NotRead::Refused(rejection)), _) => take(Err(Error::Invalid(rejection))),
            // The next line is another text; the rest of an array is the rest of what is no JSON.
            (Err(NotRead::NotJson(error)), Format::Lines) => take(Err(not_json(error))),
            (Err(NotRead::NotJson(error)), Format::Array) => return Err(not_json(error)),
        }
        Ok(())
    };
    let mut size_bytes = 0;
    let mut read = Ok(());
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size_bytes += piece.len();
        if size_bytes > MAX_BATCH_BYTES {
            return Err(TOO_MANY_BYTES.into());
        }
        // What follows a mistake is read too, for a client that is still sending may not read the answer.
        if read.is_ok() {
            read = splitter.push(&piece, &mut each);
        }
    }
    read.and_then(|()| splitter.finish(each))
}

/// Publishes clicks, many at a time and in order; returns what became of each, in their order.
///
/// A broker that acknowledges nothing would cost every window of clicks its patience. So once a click
/// has failed, none is begun any more when the first has waited for as long as a single post may.
async fn take(
    intake: &Intake,
    hints: &Hints,
    poster: &Poster,
    clicks: Vec<Read>,
) -> Vec<Result<BatchResult, Error>> {
    let (begun, failed) = (Instant::now(), &AtomicBool::new(false));
    let taken = clicks.into_iter().map(|click| async move {
        let click = click?;
        let click_id = click.click_id;
        if failed.load(Ordering::Relaxed) && begun.elapsed() >= intake.publish_timeout {
            return Err(IntakeError::Broker {
                click_id,
                cause: "not tried: clicks before it failed".to_owned(),
            }
            .into());
        }
        let (taken, is_fraudulent) =
            tokio::join!(intake.take(&click, ClientRetry::Retries), hints.of(poster, &click));
        match taken {
            Ok(taken) => {
                let is_duplicate = taken == Taken::Known;
                Ok(BatchResult::Accepted { click_id, is_duplicate, is_fraudulent })
            }
            Err(error) => {
                failed.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    });
    stream::iter(taken).buffered(IN_FLIGHT).collect().await
}

fn answer(taken: Vec<Result<BatchResult, Error>>) -> Response {
    let mut answer = BatchAnswer::default();
    let mut first_failure = None;
    for taken in taken {
        answer.results.push(taken.map_or_else(
            |error| {
                if matches!(error.of_wing(), Some(IntakeError::Broker { .. })) {
                    answer.failed += 1;
                    first_failure.get_or_insert_with(|| error.to_string());
                } else {
                    answer.rejected += 1;
                }
                BatchResult::Refused { error: error.of_click() }
            },
            |accepted| {
                answer.accepted += 1;
                accepted
            },
        ));
    }
    metrics::counter!("clickwire_clicks_rejected_total").increment(answer.rejected as u64);
    if let Some(cause) = first_failure {
        tracing::warn!(clicks = answer.failed, cause, "clicks of a batch were not taken");
    }
    match (answer.accepted, answer.failed) {
        (1.., _) => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        (0, 1..) => (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_AFTER_SECONDS)], Json(answer))
            .into_response(),
        (0, 0) => (StatusCode::BAD_REQUEST, Json(answer)).into_response(),
    }
}

fn format(headers: &HeaderMap) -> Result<Format, Error> {
    match essence(headers).as_str() {
        "application/json" => Ok(Format::Array),
        "application/x-ndjson" => Ok(Format::Lines),
        _ => Err(IntakeError::BatchMediaType.into()),
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid(Rejection::form(malformed.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    async fn told(taken: Vec<Result<BatchResult, Error>>) -> (u16, bool, Value) {
        let response = answer(taken);
        let (status, again) = (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER));
        let body = axum::body::to_bytes(response.into_body(), MAX_BATCH_BYTES).await.unwrap();
        (status, again, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_status_says_whether_sending_again_helps() {
        let click_id = Uuid::from_u128(7);
        let accepted = || Ok(BatchResult::Accepted { click_id, is_duplicate: false, is_fraudulent: false });
        let failed = || Err(IntakeError::Broker { click_id, cause: "a secret".to_owned() }.into());
        let wrong = || Err(Error::field("ad_id", "Required."));
        let forbidden = || Err(Error::Forbidden);

        let (status, again, body) = told(vec![wrong(), failed(), accepted(), forbidden()]).await;
        assert_eq!((status, again), (202, false));
        assert_eq!(
            body,
            json!({"accepted": 1, "rejected": 2, "failed": 1, "results": [
                {"error": {"formErrors": [], "fieldErrors": {"ad_id": ["Required."]}}},
                {"error": {"code": "broker_unavailable", "click_id": click_id,
                    "message": "It is not certain that the click was taken. Send it again, with this click_id."}},
                {"click_id": click_id, "is_duplicate": false, "is_fraudulent": false},
                {"error": {"code": "forbidden", "message": "This account or token does not open that."}},
            ]})
        );
        // Programs read it back as it was written.
        let read: BatchAnswer = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), body);

        let (status, again, _) = told(vec![failed(), wrong()]).await;
        assert_eq!((status, again), (503, true));
        let (status, again, _) = told(vec![wrong(), forbidden()]).await;
        assert_eq!((status, again), (400, false));
    }
}
