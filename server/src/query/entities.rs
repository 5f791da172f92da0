//! Names of advertisers and campaigns, for menus and legends.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::Caller,
    query::state::QueryState,
    store::database,
};

#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Advertiser {
    pub(crate) advertiser_id: String,
    pub(crate) name: String,
}

#[derive(Serialize, ToSchema, sqlx::FromRow)]
pub(crate) struct Campaign {
    pub(crate) campaign_id: String,
    pub(crate) name: String,
}

/// Advertisers that the caller may see.
#[utoipa::path(get, path = "/api/v1/advertisers", tag = "viewer", params(InPages),
    responses((status = 200, body = Page<Advertiser>), Refused<(crate::identity::error::Viewer, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn advertisers(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Page<Advertiser>>, Error> {
    list_advertisers(&state, &caller, parameters).await.map(Json)
}

/// A page of advertisers, for whichever door asks.
pub(crate) async fn list_advertisers(
    state: &QueryState,
    caller: &Caller,
    mut parameters: Parameters,
) -> Result<Page<Advertiser>, Error> {
    let asked: Asked<String> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let data = sqlx::query_as(
        "SELECT advertiser_id, name FROM advertisers \
         WHERE ($1::text[] IS NULL OR advertiser_id = ANY($1)) AND ($2::text IS NULL OR advertiser_id > $2) \
         ORDER BY advertiser_id LIMIT $3",
    )
    .bind(caller.scope.advertisers())
    .bind(asked.after())
    .bind(asked.limit());
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(None)).await?;
    let data: Vec<Advertiser> = database::answer(data.fetch_all(&mut *tenants)).await?;
    Ok(asked.page(data, |advertiser| advertiser.advertiser_id.clone()))
}

/// An advertiser's campaigns.
#[utoipa::path(get, path = "/api/v1/campaigns", tag = "viewer",
    params(("advertiser_id" = Option<String>, Query, description = "Required of a caller that sees more than one."), InPages),
    responses((status = 200, body = Page<Campaign>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn campaigns(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Json<Page<Campaign>>, Error> {
    list_campaigns(&state, &caller, parameters).await.map(Json)
}

/// A page of an advertiser's campaigns, for whichever door asks.
pub(crate) async fn list_campaigns(
    state: &QueryState,
    caller: &Caller,
    mut parameters: Parameters,
) -> Result<Page<Campaign>, Error> {
    let advertiser_id = parameters.text("advertiser_id").map(AdvertiserId::unchecked);
    let asked: Asked<String> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let advertiser_id = caller.scope.advertiser(advertiser_id.as_ref())?;
    let data = sqlx::query_as(
        "SELECT campaign_id, name FROM campaigns \
         WHERE advertiser_id = $1 AND ($2::text IS NULL OR campaign_id > $2) ORDER BY campaign_id LIMIT $3",
    )
    .bind(advertiser_id)
    .bind(asked.after())
    .bind(asked.limit());
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(Some(advertiser_id))).await?;
    let data: Vec<Campaign> = database::answer(data.fetch_all(&mut *tenants)).await?;
    Ok(asked.page(data, |campaign| campaign.campaign_id.clone()))
}
