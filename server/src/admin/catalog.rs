//! The catalog below `/api/v1/admin`: advertisers, with the template that passes a click's id to them; their campaigns;
//! the campaigns' ads, with their targets. Redirects follow a change as soon as it is made. What was counted under a
//! name stays counted when the name is deleted.

use std::sync::Arc;

use std::{fmt::Display, str::FromStr};

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use clickwire_protocol::ids::{self, AdId, AdvertiserId, CampaignId};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, Postgres, postgres::PgArguments, query::Query};
use utoipa::ToSchema;

use crate::{
    admin::state::AdminState,
    http::{
        body::Object,
        cursor::{Asked, InPages, Page},
        error::Error,
        openapi::{self, Refused},
        parameters::Parameters,
    },
    identity::access::{Admin, Operator},
    redirect::{landing::LandingHost, query::Name, target::Target, template::Template},
    store::database::answer,
};

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// Hosts of one ad, and names of one advertiser's parameters, at most.
const MAX_LISTED: usize = 20;

/// Template that passes a click's id to a new advertiser, unless the order gives another.
const TEMPLATE: &str = "cw_click_id={click_id}";

/// The refusal of a new thing whose id is another's.
const REGISTERED: Error =
    Error::Conflict("This ID is registered already. Choose another one, or change what has it.");

/// An ad as it is registered.
#[derive(Serialize, ToSchema, FromRow)]
pub(super) struct Ad {
    ad_id: String,
    advertiser_id: String,
    campaign_id: String,
    name: String,
    target_url: String,
    /// Further hosts that a link may lead to if it names a page in `url` or `lpurl`.
    landing_hosts: Vec<String>,
}

/// The wanted state of an ad.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedAd {
    #[schema(value_type = String)]
    campaign_id: CampaignId,
    name: String,
    /// Target of the ad; may have macros.
    target_url: String,
    /// Hosts, with the port if it is not the usual one, or `self` for the target's own; empty: none. Not given:
    /// as it is, or `self` for a new one.
    landing_hosts: Option<Vec<String>>,
    /// The order is refused (409) if the id is registered: nothing is changed by mistake. By default it is changed.
    #[serde(default)]
    if_absent: bool,
}

/// An advertiser as it is registered.
#[derive(Serialize, ToSchema, FromRow)]
#[schema(as = RegisteredAdvertiser)]
pub(super) struct Advertiser {
    advertiser_id: String,
    name: String,
    click_id_template: String,
    /// Query parameters of a link that are forwarded to the advertiser.
    forwarded_params: Vec<String>,
}

/// The wanted state of an advertiser.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedAdvertiser {
    name: String,
    /// Template that passes a click's id on. Not given: unchanged, or the default for a new one.
    click_id_template: Option<String>,
    /// Names, beginnings of names that end in `*`, or `*` for all; empty: none. Not given: as it is, or all for
    /// a new one.
    forwarded_params: Option<Vec<String>>,
    /// The order is refused (409) if the id is registered: nothing is changed by mistake. By default it is changed.
    #[serde(default)]
    if_absent: bool,
}

/// A campaign as it is registered.
#[derive(Serialize, ToSchema, FromRow)]
#[schema(as = RegisteredCampaign)]
pub(super) struct Campaign {
    campaign_id: String,
    advertiser_id: String,
    name: String,
}

/// The wanted state of a campaign. Its advertiser can't change: counted clicks are billed to that one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedCampaign {
    #[schema(value_type = String)]
    advertiser_id: AdvertiserId,
    name: String,
    /// The order is refused (409) if the id is registered: nothing is changed by mistake. By default it is changed.
    #[serde(default)]
    if_absent: bool,
}

/// An ad as it is registered.
#[utoipa::path(get, path = "/ads/{ad_id}", tag = "operator", params(("ad_id" = String, Path)),
    responses((status = 200, body = Ad), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, crate::store::error::Database
    )>))]
pub(super) async fn show_ad(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    ad_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Ad>, Error> {
    Ok(Json(ad(&state.reading, &id("ad_id", ad_id, AdId::new)?).await?.ok_or(Error::NotFound)?))
}

/// Registers an ad or changes it.
#[utoipa::path(put, path = "/ads/{ad_id}", tag = "admin", params(("ad_id" = String, Path)),
    request_body = WantedAd,
    responses((status = 200, body = Ad), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::store::error::Record, crate::redirect::error::Announced
    )>))]
pub(super) async fn put_ad(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    ad_id: Result<Path<String>, PathRejection>,
    body: Result<Object<WantedAd>, Error>,
) -> Result<Json<Ad>, Error> {
    let ad_id = id("ad_id", ad_id, AdId::new)?;
    let Object(wanted) = body?;
    let (target, hosts) = wanted.check()?;
    let put = sqlx::query(
        "INSERT INTO ads (ad_id, campaign_id, name, target_url, landing_hosts) \
         VALUES ($1, $2, $3, $4, coalesce($5, '{self}')) \
         ON CONFLICT (ad_id) DO UPDATE SET campaign_id = excluded.campaign_id, name = excluded.name, \
           target_url = excluded.target_url, landing_hosts = coalesce($5, ads.landing_hosts) WHERE NOT $6",
    )
    .bind(&ad_id)
    .bind(&wanted.campaign_id)
    .bind(wanted.name.trim())
    .bind(target.to_string())
    .bind(hosts)
    .bind(wanted.if_absent);
    let mut transaction = admin.begin(&state.writing).await?;
    let put = answer(put.execute(&mut *transaction))
        .await
        .map_err(orphan(|| Error::field("campaign_id", "There is no such campaign.")))?;
    if put.rows_affected() == 0 {
        return Err(REGISTERED);
    }
    answer(transaction.commit()).await?;
    let ad = ad(&state.writing, &ad_id).await?.ok_or(Error::NotFound)?;
    tracing::info!(ad_id = ad_id.as_str(), "ad registered");
    state.ads.announce(&[ad_id]).await?;
    Ok(Json(ad))
}

/// An advertiser as it is registered.
#[utoipa::path(get, path = "/advertisers/{advertiser_id}", tag = "operator",
    params(("advertiser_id" = String, Path)),
    responses((status = 200, body = Advertiser), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, crate::store::error::Database
    )>))]
pub(super) async fn show_advertiser(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    advertiser_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Advertiser>, Error> {
    let advertiser = sqlx::query_as(
        "SELECT advertiser_id, name, click_id_template, forwarded_params FROM advertisers WHERE advertiser_id = $1",
    )
    .bind(id("advertiser_id", advertiser_id, AdvertiserId::new)?);
    Ok(Json(answer(advertiser.fetch_optional(&state.reading)).await?.ok_or(Error::NotFound)?))
}

/// Registers an advertiser or changes it.
#[utoipa::path(put, path = "/advertisers/{advertiser_id}", tag = "admin",
    params(("advertiser_id" = String, Path)), request_body = WantedAdvertiser,
    responses((status = 200, body = Advertiser), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::store::error::Record, crate::redirect::error::Announced
    )>))]
pub(super) async fn put_advertiser(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    advertiser_id: Result<Path<String>, PathRejection>,
    body: Result<Object<WantedAdvertiser>, Error>,
) -> Result<Json<Advertiser>, Error> {
    let advertiser_id = id("advertiser_id", advertiser_id, AdvertiserId::new)?;
    let Object(wanted) = body?;
    name(&wanted.name).map_err(|message| Error::field("name", message))?;
    let template: Option<Template> = wanted
        .click_id_template
        .map(|template| template.parse())
        .transpose()
        .map_err(|invalid| Error::field("click_id_template", &format!("{invalid}")))?;
    let params = listed::<Name>(wanted.forwarded_params.as_deref())
        .map_err(|message| Error::field("forwarded_params", &message))?;
    let put = sqlx::query_as(
        "INSERT INTO advertisers (advertiser_id, name, click_id_template, forwarded_params) \
         VALUES ($1, $2, coalesce($3, $4), coalesce($5, '{*}')) \
         ON CONFLICT (advertiser_id) DO UPDATE SET name = excluded.name, \
           click_id_template = coalesce($3, advertisers.click_id_template), \
           forwarded_params = coalesce($5, advertisers.forwarded_params) WHERE NOT $6 \
         RETURNING advertiser_id, name, click_id_template, forwarded_params",
    )
    .bind(&advertiser_id)
    .bind(wanted.name.trim())
    .bind(template.as_ref().map(ToString::to_string))
    .bind(TEMPLATE)
    .bind(params)
    .bind(wanted.if_absent);
    let mut transaction = admin.begin(&state.writing).await?;
    let put = answer(put.fetch_optional(&mut *transaction)).await?.ok_or(REGISTERED)?;
    answer(transaction.commit()).await?;
    let ads = sqlx::query_scalar(
        "SELECT ad_id FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = $1",
    )
    .bind(&advertiser_id);
    let ads: Vec<AdId> = answer(ads.fetch_all(&state.writing)).await?;
    tracing::info!(advertiser_id = advertiser_id.as_str(), ads = ads.len(), "advertiser changed");
    state.ads.announce(&ads).await?;
    Ok(Json(put))
}

/// Deletes an advertiser that has no campaigns.
#[utoipa::path(delete, path = "/advertisers/{advertiser_id}", tag = "admin",
    params(("advertiser_id" = String, Path)),
    responses((status = 204, description = "It is gone."), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn delete_advertiser(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    advertiser_id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Error> {
    let advertiser_id = id("advertiser_id", advertiser_id, AdvertiserId::new)?;
    let delete = sqlx::query("DELETE FROM advertisers WHERE advertiser_id = $1").bind(advertiser_id);
    deleted(&state, &admin, delete).await
}

/// A campaign as it is registered.
#[utoipa::path(get, path = "/campaigns/{campaign_id}", tag = "operator", params(("campaign_id" = String, Path)),
    responses((status = 200, body = Campaign), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, crate::store::error::Database
    )>))]
pub(super) async fn show_campaign(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    campaign_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Campaign>, Error> {
    let campaign =
        sqlx::query_as("SELECT campaign_id, advertiser_id, name FROM campaigns WHERE campaign_id = $1")
            .bind(id("campaign_id", campaign_id, CampaignId::new)?);
    Ok(Json(answer(campaign.fetch_optional(&state.reading)).await?.ok_or(Error::NotFound)?))
}

/// Registers a campaign or renames it.
#[utoipa::path(put, path = "/campaigns/{campaign_id}", tag = "admin", params(("campaign_id" = String, Path)),
    request_body = WantedCampaign,
    responses((status = 200, body = Campaign), Refused<(
        crate::identity::error::Scoped, openapi::Body, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn put_campaign(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    campaign_id: Result<Path<String>, PathRejection>,
    body: Result<Object<WantedCampaign>, Error>,
) -> Result<Json<Campaign>, Error> {
    let campaign_id = id("campaign_id", campaign_id, CampaignId::new)?;
    let Object(wanted) = body?;
    let wrong = [
        ("advertiser_id", ids::check(wanted.advertiser_id.as_str()).err()),
        ("name", name(&wanted.name).err().map(str::to_owned)),
    ];
    Error::fields(wrong)?;
    let put = sqlx::query_as(
        "INSERT INTO campaigns (campaign_id, advertiser_id, name) VALUES ($1, $2, $3) \
         ON CONFLICT (campaign_id) DO UPDATE SET name = excluded.name \
           WHERE campaigns.advertiser_id = excluded.advertiser_id AND NOT $4 \
         RETURNING campaign_id, advertiser_id, name",
    )
    .bind(campaign_id)
    .bind(wanted.advertiser_id)
    .bind(wanted.name.trim())
    .bind(wanted.if_absent);
    let mut transaction = admin.begin(&state.writing).await?;
    let put = answer(put.fetch_optional(&mut *transaction))
        .await
        .map_err(orphan(|| Error::field("advertiser_id", "There is no such advertiser.")))?
        .ok_or(if wanted.if_absent {
            REGISTERED
        } else {
            Error::Conflict("This campaign is another advertiser's.")
        })?;
    answer(transaction.commit()).await?;
    Ok(Json(put))
}

/// Deletes a campaign that has no ads.
#[utoipa::path(delete, path = "/campaigns/{campaign_id}", tag = "admin", params(("campaign_id" = String, Path)),
    responses((status = 204, description = "It is gone."), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, openapi::Conflict, crate::store::error::Record
    )>))]
pub(super) async fn delete_campaign(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    campaign_id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Error> {
    let campaign_id = id("campaign_id", campaign_id, CampaignId::new)?;
    let delete = sqlx::query("DELETE FROM campaigns WHERE campaign_id = $1").bind(campaign_id);
    deleted(&state, &admin, delete).await
}

/// A campaign's ads.
#[utoipa::path(get, path = "/campaigns/{campaign_id}/ads", tag = "operator",
    params(("campaign_id" = String, Path), InPages),
    responses((status = 200, body = Page<Ad>), Refused<(crate::identity::error::Scoped, openapi::Input, openapi::Missing, crate::store::error::Database)>))]
pub(super) async fn list_ads(
    State(state): State<Arc<AdminState>>,
    _operator: Operator,
    campaign_id: Result<Path<String>, PathRejection>,
    mut parameters: Parameters,
) -> Result<Json<Page<Ad>>, Error> {
    let campaign_id = id("campaign_id", campaign_id, CampaignId::new)?;
    let asked: Asked<String> = Asked::read(&mut parameters);
    let asked = parameters.finish(asked)?;
    let ads = sqlx::query_as(
        "SELECT ad_id, advertiser_id, campaign_id, ads.name, target_url, landing_hosts \
           FROM ads JOIN campaigns USING (campaign_id) \
          WHERE campaign_id = $1 AND ($2::text IS NULL OR ad_id > $2) ORDER BY ad_id LIMIT $3",
    )
    .bind(campaign_id)
    .bind(asked.after())
    .bind(asked.limit());
    let ads: Vec<Ad> = answer(ads.fetch_all(&state.reading)).await?;
    Ok(Json(asked.page(ads, |ad| ad.ad_id.clone())))
}

/// Deletes an ad.
///
/// Its links lead nowhere from then on.
#[utoipa::path(delete, path = "/ads/{ad_id}", tag = "admin", params(("ad_id" = String, Path)),
    responses((status = 204, description = "It is gone."), Refused<(
        crate::identity::error::Scoped, openapi::Input, openapi::Missing, openapi::Conflict, crate::store::error::Record, crate::redirect::error::Announced
    )>))]
pub(super) async fn delete_ad(
    State(state): State<Arc<AdminState>>,
    admin: Admin,
    ad_id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Error> {
    let ad_id = id("ad_id", ad_id, AdId::new)?;
    let gone =
        deleted(&state, &admin, sqlx::query("DELETE FROM ads WHERE ad_id = $1").bind(ad_id.clone())).await?;
    state.ads.announce(&[ad_id]).await?;
    Ok(gone)
}

/// Deletes something that nothing else belongs to.
async fn deleted(
    state: &AdminState,
    admin: &Admin,
    delete: Query<'_, Postgres, PgArguments>,
) -> Result<StatusCode, Error> {
    let mut transaction = admin.begin(&state.writing).await?;
    let deleted = answer(delete.execute(&mut *transaction))
        .await
        .map_err(orphan(|| Error::Conflict("Something belongs to it. Delete that first.")))?;
    answer(transaction.commit()).await?;
    if deleted.rows_affected() == 0 { Err(Error::NotFound) } else { Ok(StatusCode::NO_CONTENT) }
}

/// Returns a conversion of errors: a foreign key that is violated becomes what `said` returns.
fn orphan(said: impl FnOnce() -> Error) -> impl FnOnce(sqlx::Error) -> Error {
    |error| match error.as_database_error() {
        Some(cause) if cause.is_foreign_key_violation() => said(),
        Some(_) | None => error.into(),
    }
}

/// An id that stands in the path.
fn id<T>(
    name: &str,
    path: Result<Path<String>, PathRejection>,
    read: fn(&str) -> Result<T, String>,
) -> Result<T, Error> {
    let Path(text) = path.map_err(|_| Error::NotFound)?;
    read(&text).map_err(|message| Error::field(name, &message))
}

async fn ad(database: &PgPool, ad_id: &AdId) -> Result<Option<Ad>, Error> {
    let ad = sqlx::query_as(
        "SELECT ad_id, advertiser_id, campaign_id, ads.name, target_url, landing_hosts \
           FROM ads JOIN campaigns USING (campaign_id) WHERE ad_id = $1",
    )
    .bind(ad_id);
    Ok(answer(ad.fetch_optional(database)).await?)
}

impl WantedAd {
    /// Returns the ad's target and hosts, or all errors in its fields.
    fn check(&self) -> Result<(Target, Option<Vec<String>>), Error> {
        let target = self.target_url.parse::<Target>();
        let hosts = listed::<LandingHost>(self.landing_hosts.as_deref());
        let wrong = [
            ("campaign_id", ids::check(self.campaign_id.as_str()).err()),
            ("name", name(&self.name).err().map(str::to_owned)),
            ("target_url", target.as_ref().err().map(ToString::to_string)),
            ("landing_hosts", hosts.as_ref().err().cloned()),
        ];
        Error::fields(wrong)?;
        // They would have been refused.
        let target = target.map_err(|invalid| Error::field("target_url", &invalid.to_string()))?;
        Ok((target, hosts.unwrap_or_default()))
    }
}

/// A list as it is kept; the message says what is wrong with it.
fn listed<T: FromStr<Err: Display> + Display>(
    texts: Option<&[String]>,
) -> Result<Option<Vec<String>>, String> {
    let Some(texts) = texts else { return Ok(None) };
    if texts.len() > MAX_LISTED {
        return Err(format!("At most {MAX_LISTED}."));
    }
    let kept = texts.iter().map(|text| text.parse::<T>().map(|read| read.to_string()));
    kept.collect::<Result<_, _>>().map(Some).map_err(|invalid| invalid.to_string())
}

fn name(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        Err("Must not be empty.")
    } else if text.len() > MAX_NAME_BYTES {
        Err("At most 200 bytes.")
    } else if text.chars().any(char::is_control) {
        Err("Control characters are not allowed.")
    } else {
        Ok(())
    }
}
