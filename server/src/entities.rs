//! Names of advertisers and campaigns, for menus and legends.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    access::Caller,
    database,
    error::Error,
    openapi::{self, Refused},
};

#[derive(Serialize, ToSchema)]
pub(crate) struct List<T> {
    data: Vec<T>,
}

#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Advertiser {
    advertiser_id: String,
    name: String,
}

#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Campaign {
    campaign_id: String,
    name: String,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfAdvertiser {
    /// Required for who sees more than one.
    advertiser_id: Option<String>,
}

/// Advertisers that the caller may see.
#[utoipa::path(get, path = "/api/v1/advertisers", tag = "viewer",
    responses((status = 200, body = List<Advertiser>), Refused<(openapi::Viewer, openapi::Shared)>))]
pub(crate) async fn advertisers(
    State(state): State<AppState>,
    caller: Caller,
) -> Result<Json<List<Advertiser>>, Error> {
    let data = sqlx::query_as(
        "SELECT advertiser_id, name FROM advertisers \
         WHERE $1::text[] IS NULL OR advertiser_id = ANY($1) ORDER BY advertiser_id LIMIT 1000",
    )
    .bind(caller.scope.advertisers());
    let mut tenants = state.tenants.begin(&caller, None).await?;
    let data = database::answer(data.fetch_all(&mut *tenants)).await?;
    Ok(Json(List { data }))
}

/// An advertiser's campaigns.
#[utoipa::path(get, path = "/api/v1/campaigns", tag = "viewer", params(OfAdvertiser),
    responses((status = 200, body = List<Campaign>), Refused<(openapi::Scoped, openapi::Input, openapi::Shared)>))]
pub(crate) async fn campaigns(
    State(state): State<AppState>,
    caller: Caller,
    query: Result<Query<OfAdvertiser>, QueryRejection>,
) -> Result<Json<List<Campaign>>, Error> {
    let Query(of) = query.map_err(|_| Error::field("advertiser_id", "Expected once at most."))?;
    let advertiser_id = caller.scope.advertiser(of.advertiser_id.as_deref())?;
    let data = sqlx::query_as(
        "SELECT campaign_id, name FROM campaigns WHERE advertiser_id = $1 ORDER BY campaign_id LIMIT 1000",
    )
    .bind(advertiser_id);
    let mut tenants = state.tenants.begin(&caller, Some(advertiser_id)).await?;
    let data = database::answer(data.fetch_all(&mut *tenants)).await?;
    Ok(Json(List { data }))
}
