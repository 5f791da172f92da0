//! `POST /api/v1/ads/{ad_id}/test-click`: one test click on an ad's link, by a signed-in caller.
//!
//! The click goes through the same intake as any other and is marked as a test: it is in the ledger, on no bill, and
//! speaks against no other click. Nobody is sent on: the answer says where the link leads.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use clickwire_protocol::{attribution::Params, click::Click, ids::AdId, registry::TestClick};

use super::{query::Query, state::RedirectState, taken};
use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        visitor::Visitor,
    },
    identity::access::Caller,
    intake::{ClientRetry, enrich::Arrival},
};

/// Makes a test click on an ad.
///
/// The click is counted as `test`. An ad of an advertiser that the caller may not see is not found, as one that is not
/// registered.
#[utoipa::path(post, path = "/api/v1/ads/{ad_id}/test-click", operation_id = "make_test_click", tag = "clicks",
    params(("ad_id" = String, Path)),
    responses((status = 202, body = TestClick, description = "The click can't be lost any more."), Refused<(
        crate::identity::error::Scoped, openapi::Missing, crate::redirect::error::LookUp, crate::intake::error::Click
    )>))]
pub(crate) async fn make(
    State(state): State<Arc<RedirectState>>,
    caller: Caller,
    ad_id: Result<Path<String>, PathRejection>,
    visitor: Visitor,
) -> Result<(StatusCode, Json<TestClick>), Error> {
    caller.sees_clicks()?;
    // Before anything is looked up: what is no ad of the caller's costs as much as one that is.
    state.testers.spend(&caller.holder())?;
    let Path(text) = ad_id.map_err(|_| Error::NotFound)?;
    let ad_id = AdId::new(&text).map_err(|_| Error::NotFound)?;
    let ad = state.ads.find(&ad_id).await?.filter(|ad| caller.scope.includes(&ad.advertiser_id));
    let ad = ad.ok_or(Error::NotFound)?;
    let arrival = Arrival {
        advertiser_id: ad.advertiser_id.clone(),
        campaign_id: ad.campaign_id.clone(),
        ad_id,
        is_ahead: false,
        params: Params::default(),
        referrer: None,
    };
    let click = Click { test: true, ..state.enricher.redirected(visitor, arrival) };
    state.intake.take(&click, ClientRetry::Retries).await?;
    let answer = TestClick {
        click_id: click.click_id,
        advertiser_id: click.advertiser_id.to_string(),
        campaign_id: click.dimensions.campaign_id.to_string(),
        ad_id: click.dimensions.ad_id.to_string(),
        location: taken(&state, &ad, &click, &Query::read(None)),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
