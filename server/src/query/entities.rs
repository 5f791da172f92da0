//! Names of advertisers, campaigns and ads, for menus, legends and lists.

use std::sync::Arc;

use axum::{Json, extract::State};
use clickwire_protocol::{
    ids::{AdId, AdvertiserId, CampaignId},
    registry::ListedAd,
};
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
    params(("advertiser_id" = Option<String>, Query, description = "Required of a caller that sees more than one."),
        ("campaign_id" = Option<String>, Query, description = "Only this one."), InPages),
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
    let campaign_id = parameters.take("campaign_id", CampaignId::new);
    let asked: Asked<String> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let advertiser_id = caller.scope.advertiser(advertiser_id.as_ref())?;
    let data = sqlx::query_as(
        "SELECT campaign_id, name FROM campaigns \
         WHERE advertiser_id = $1 AND ($2::text IS NULL OR campaign_id > $2) \
           AND ($4::text IS NULL OR campaign_id = $4) ORDER BY campaign_id LIMIT $3",
    )
    .bind(advertiser_id)
    .bind(asked.after())
    .bind(asked.limit())
    .bind(campaign_id);
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(Some(advertiser_id))).await?;
    let data: Vec<Campaign> = database::answer(data.fetch_all(&mut *tenants)).await?;
    Ok(asked.page(data, |campaign| campaign.campaign_id.clone()))
}

/// Longest text that ads are searched by, in bytes.
const MAX_SEARCH_BYTES: usize = 200;

/// An advertiser's ads, with where their links lead.
#[utoipa::path(get, path = "/api/v1/ads", operation_id = "list_ads_of_advertiser", tag = "viewer",
    params(("advertiser_id" = Option<String>, Query, description = "Required of a caller that sees more than one."),
        ("campaign_id" = Option<String>, Query, description = "Only those of this campaign."),
        ("ad_id" = Option<String>, Query, description = "Only this one."),
        ("search" = Option<String>, Query, description = "Only those with this text, in upper or lower case, in the id, name, target or campaign."),
        InPages),
    responses((status = 200, body = Page<ListedAd>), Refused<(crate::identity::error::Scoped, openapi::Input, crate::store::error::Shared)>))]
pub(crate) async fn ads(
    State(state): State<Arc<QueryState>>,
    caller: Caller,
    mut parameters: Parameters,
) -> Result<Json<Page<ListedAd>>, Error> {
    let advertiser_id = parameters.text("advertiser_id").map(AdvertiserId::unchecked);
    let campaign_id = parameters.take("campaign_id", CampaignId::new);
    let ad_id = parameters.take("ad_id", AdId::new);
    let search = parameters.take("search", |text| {
        (text.len() <= MAX_SEARCH_BYTES).then(|| text.to_owned()).ok_or("At most 200 bytes.")
    });
    let asked: Asked<String> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let advertiser_id = caller.scope.advertiser(advertiser_id.as_ref())?;
    let found = sqlx::query_as(
        "SELECT ad_id, a.name, campaign_id, c.name AS campaign_name, target_url FROM ads a JOIN campaigns c USING (campaign_id) \
          WHERE c.advertiser_id = $1 AND ($2::text IS NULL OR ad_id > $2) \
            AND ($4::text IS NULL OR campaign_id = $4) AND ($5::text IS NULL OR ad_id = $5) \
            AND ($6::text IS NULL OR strpos(lower(concat_ws(E'\\n', ad_id, a.name, target_url, campaign_id, c.name)), lower($6)) > 0) \
          ORDER BY ad_id LIMIT $3",
    )
    .bind(advertiser_id)
    .bind(asked.after())
    .bind(asked.limit())
    .bind(campaign_id)
    .bind(ad_id)
    .bind(search);
    let mut tenants = state.tenants.begin(&caller.scope, caller.holders(Some(advertiser_id))).await?;
    let found: Vec<(String, String, String, String, String)> =
        database::answer(found.fetch_all(&mut *tenants)).await?;
    let ads = found.into_iter().map(|(ad_id, name, campaign_id, campaign_name, target_url)| ListedAd {
        ad_id,
        name,
        campaign_id,
        campaign_name,
        target_url,
    });
    Ok(Json(asked.page(ads.collect(), |ad| ad.ad_id.clone())))
}
