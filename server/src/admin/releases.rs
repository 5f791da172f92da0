//! `/api/v1/admin/clicks/release`: the release of all clicks that a search finds and that a rule has convicted, some
//! hundred at a time, so that counting goes on in between; whoever asks goes on until nothing is left.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_ledger::release::{self, ClickKey};
use clickwire_protocol::ids::AdvertiserId;
use futures_util::future::join_all;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::verdicts::{Order, renew_screens};
use crate::{
    admin::{reason, state::AdminState},
    http::{
        body::Object,
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Admin,
    query::clicks::{Addresses, OfAddress, Search, Wanted},
    store::{database::answer, error::of_question},
};

/// Clicks that one order releases, at most: counting waits meanwhile.
const AT_ONCE: i64 = 500;

/// More clicks are not counted.
const COUNTED: i64 = 10_000;

/// The result of an order, or of its count beforehand.
#[derive(Serialize, ToSchema)]
#[schema(as = Releases)]
pub(super) struct Answer {
    /// Clicks that are valid now.
    released: u64,
    /// Clicks that are found, convicted, and can still be released; 10,000 stands for these and more, and for a number
    /// that could not be counted.
    left: i64,
}

/// A search for the clicks of one advertiser, or of one address.
struct Sought(Wanted);

impl Sought {
    fn read(parameters: Parameters) -> Result<Self, Error> {
        let wanted = Wanted::read(parameters, OffsetDateTime::now_utc(), Some(Addresses::LEDGER))?;
        if wanted.advertiser_id.is_none() && !wanted.is_of_address() {
            return Err(Error::field(
                "advertiser_id",
                "Name the advertiser of the clicks, or their ip_hash.",
            ));
        }
        if wanted.is_of_the_past() {
            return Err(Error::field("as_of", "What was known once can't be released now."));
        }
        Ok(Self(wanted))
    }

    async fn clicks(&self, connection: &mut PgConnection) -> Result<Vec<ClickKey>, Error> {
        let mut sql = self.0.releasable(AT_ONCE);
        let found = answer(sql.build_query_as().fetch_all(connection)).await.map_err(of_question)?;
        let key = |(click_id, clicked_at, advertiser_id)| ClickKey { click_id, clicked_at, advertiser_id };
        Ok(found.into_iter().map(key).collect())
    }

    /// Advertisers whose clicks it may be about.
    async fn advertisers(&self, connection: &mut PgConnection) -> Result<Vec<AdvertiserId>, Error> {
        if let Some(advertiser_id) = &self.0.advertiser_id {
            return Ok(vec![advertiser_id.clone()]);
        }
        let mut sql = self.0.advertisers_of_address();
        answer(sql.build_query_scalar().fetch_all(connection)).await.map_err(of_question)
    }

    /// The same where an error would hide what was done.
    async fn left_or_many(&self, reading: &PgPool) -> i64 {
        let counted = async { self.left(&mut *reading.acquire().await?).await };
        counted.await.unwrap_or_else(|error: Error| {
            tracing::warn!(%error, "clicks that are left to release could not be counted");
            COUNTED
        })
    }

    async fn left(&self, connection: &mut PgConnection) -> Result<i64, Error> {
        let mut sql = self.0.count_releasable(COUNTED);
        answer(sql.build_query_scalar().fetch_one(connection)).await.map_err(of_question)
    }
}

/// Returns the number of clicks that a release would be about.
#[utoipa::path(get, path = "/release", operation_id = "count_releasable_clicks", tag = "admin", params(Search, OfAddress),
    responses((status = 200, body = Answer), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Searched)>))]
pub(super) async fn count(
    State(state): State<Arc<AdminState>>,
    _admin: Admin,
    parameters: Parameters,
) -> Result<Json<Answer>, Error> {
    let sought = Sought::read(parameters)?;
    let mut connection = state.reading.acquire().await?;
    Ok(Json(Answer { released: 0, left: sought.left(&mut connection).await? }))
}

/// Makes clicks valid that a rule has convicted wrongly: those that a search finds, the first 500 of them.
///
/// The search names an advertiser, or the address that all of the clicks are of.
/// Invalid traffic; duplicates only where `disposition` names what is meant.
/// Ask again until nothing is left. Clicks that are more than 8 days old stay as they are.
#[utoipa::path(post, path = "/release", operation_id = "release_clicks", tag = "admin", params(Search, OfAddress), request_body = Order,
    responses((status = 200, body = Answer), Refused<(
        crate::identity::error::Scoped, openapi::Body, crate::store::error::Record, crate::store::error::Searched,
        crate::redirect::error::Announced
    )>))]
pub(super) async fn release(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    parameters: Parameters,
    body: Result<Object<Order>, Error>,
) -> Result<Json<Answer>, Error> {
    let Object(order) = body?;
    let reason = reason(&order.reason)?;
    let sought = Sought::read(parameters)?;
    // Before anything is locked: it may take long. What has changed by then is passed over.
    let mut reading = state.reading.acquire().await?;
    let (clicks, advertisers) = (sought.clicks(&mut reading).await?, sought.advertisers(&mut reading).await?);
    drop(reading);
    let mut transaction = admin.begin(&state.writing).await?;
    let by = (admin.actor(), reason.as_str());
    let released =
        answer(release::release_all(&mut transaction, &state.names, state.partitions, &clicks, by)).await?;
    answer(transaction.commit()).await?;
    // As the aggregators count theirs: buckets of final minutes that changed.
    metrics::counter!("clickwire_corrections_total").increment(released.corrections);
    tracing::info!(?advertisers, clicks = released.clicks, "clicks released");
    // Also where nothing was left to release: an order before this one may not have told them. Each is tried.
    let renewed =
        join_all(advertisers.iter().map(|advertiser_id| renew_screens(&state, advertiser_id))).await;
    renewed.into_iter().collect::<Result<(), _>>()?;
    let left = if clicks.len() < AT_ONCE as usize { 0 } else { sought.left_or_many(&state.reading).await };
    Ok(Json(Answer { released: released.clicks, left }))
}
