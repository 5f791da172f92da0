//! What administrators register: `/api/v1/admin/ads`, where an ad leads, and
//! `/api/v1/admin/advertisers`, how an advertiser is told a click's id. Redirects follow a change as soon
//! as it is made.

use axum::{
    Json,
    extract::{
        Path, State,
        rejection::{JsonRejection, PathRejection},
    },
};
use clickwire_protocol::click::{self, Rejection};
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, error::DatabaseError};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::Admin,
    database::answer,
    error::Error,
    openapi::{self, Refused},
    redirect::target::{Target, Template},
};

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;

/// An ad as it is registered.
#[derive(Serialize, ToSchema, FromRow)]
struct Ad {
    ad_id: String,
    advertiser_id: String,
    campaign_id: String,
    name: String,
    target_url: String,
}

/// What an administrator wants of an ad.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WantedAd {
    campaign_id: String,
    name: String,
    target_url: String,
}

/// An advertiser as it is registered.
#[derive(Serialize, ToSchema, FromRow)]
#[schema(as = RegisteredAdvertiser)]
struct Advertiser {
    advertiser_id: String,
    name: String,
    click_id_template: String,
}

/// What an administrator wants of an advertiser.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WantedAdvertiser {
    click_id_template: String,
}

/// What is registered, below `/api/v1/admin`.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(show_ad, put_ad)).routes(routes!(show_advertiser, put_advertiser))
}

/// An ad as it is registered.
#[utoipa::path(get, path = "/ads/{ad_id}", tag = "admin", params(("ad_id" = String, Path)),
    responses((status = 200, body = Ad), Refused<(
        openapi::Scoped, openapi::Input, openapi::Missing, openapi::Database
    )>))]
async fn show_ad(
    State(state): State<AppState>,
    _admin: Admin,
    ad_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Ad>, Error> {
    Ok(Json(ad(&state.database, &id("ad_id", ad_id)?).await?.ok_or(Error::NotFound)?))
}

/// Registers an ad or changes it.
#[utoipa::path(put, path = "/ads/{ad_id}", tag = "admin", params(("ad_id" = String, Path)),
    request_body = WantedAd,
    responses((status = 200, body = Ad), Refused<(
        openapi::Scoped, openapi::Body, openapi::Missing, openapi::Database, openapi::Announced
    )>))]
async fn put_ad(
    State(state): State<AppState>,
    _admin: Admin,
    ad_id: Result<Path<String>, PathRejection>,
    body: Result<Json<WantedAd>, JsonRejection>,
) -> Result<Json<Ad>, Error> {
    let ad_id = id("ad_id", ad_id)?;
    let Json(wanted) = body?;
    let target = wanted.check()?;
    let put = sqlx::query(
        "INSERT INTO ads (ad_id, campaign_id, name, target_url) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (ad_id) DO UPDATE SET campaign_id = excluded.campaign_id, name = excluded.name, \
           target_url = excluded.target_url",
    )
    .bind(&ad_id)
    .bind(&wanted.campaign_id)
    .bind(wanted.name.trim())
    .bind(target.as_str());
    answer(put.execute(&state.admin_database)).await.map_err(|error| {
        if error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation) {
            Error::field("campaign_id", "There is no such campaign.")
        } else {
            error.into()
        }
    })?;
    let ad = ad(&state.admin_database, &ad_id).await?.ok_or(Error::NotFound)?;
    tracing::info!(ad_id, "ad registered");
    state.ads.announce(&[ad_id]).await?;
    Ok(Json(ad))
}

/// An advertiser as it is registered.
#[utoipa::path(get, path = "/advertisers/{advertiser_id}", tag = "admin",
    params(("advertiser_id" = String, Path)),
    responses((status = 200, body = Advertiser), Refused<(
        openapi::Scoped, openapi::Input, openapi::Missing, openapi::Database
    )>))]
async fn show_advertiser(
    State(state): State<AppState>,
    _admin: Admin,
    advertiser_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Advertiser>, Error> {
    let advertiser = sqlx::query_as(
        "SELECT advertiser_id, name, click_id_template FROM advertisers WHERE advertiser_id = $1",
    )
    .bind(id("advertiser_id", advertiser_id)?);
    Ok(Json(answer(advertiser.fetch_optional(&state.database)).await?.ok_or(Error::NotFound)?))
}

/// Changes how an advertiser is told click ids.
#[utoipa::path(put, path = "/advertisers/{advertiser_id}", tag = "admin",
    params(("advertiser_id" = String, Path)), request_body = WantedAdvertiser,
    responses((status = 200, body = Advertiser), Refused<(
        openapi::Scoped, openapi::Body, openapi::Missing, openapi::Database, openapi::Announced
    )>))]
async fn put_advertiser(
    State(state): State<AppState>,
    _admin: Admin,
    advertiser_id: Result<Path<String>, PathRejection>,
    body: Result<Json<WantedAdvertiser>, JsonRejection>,
) -> Result<Json<Advertiser>, Error> {
    let advertiser_id = id("advertiser_id", advertiser_id)?;
    let Json(wanted) = body?;
    let template: Template = wanted
        .click_id_template
        .parse()
        .map_err(|invalid| Error::field("click_id_template", &format!("{invalid}")))?;
    let changed = sqlx::query_as(
        "UPDATE advertisers SET click_id_template = $2 WHERE advertiser_id = $1 \
         RETURNING advertiser_id, name, click_id_template",
    )
    .bind(&advertiser_id)
    .bind(template.to_string());
    let changed = answer(changed.fetch_optional(&state.admin_database)).await?.ok_or(Error::NotFound)?;
    let ads = sqlx::query_scalar(
        "SELECT ad_id FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = $1",
    )
    .bind(&advertiser_id);
    let ads: Vec<String> = answer(ads.fetch_all(&state.admin_database)).await?;
    tracing::info!(advertiser_id, ads = ads.len(), "advertiser changed");
    state.ads.announce(&ads).await?;
    Ok(Json(changed))
}

fn id(name: &str, path: Result<Path<String>, PathRejection>) -> Result<String, Error> {
    let Path(text) = path.map_err(|_| Error::NotFound)?;
    click::id(&text).map_err(|message| Error::field(name, &message))
}

async fn ad(database: &PgPool, ad_id: &str) -> Result<Option<Ad>, Error> {
    let ad = sqlx::query_as(
        "SELECT ad_id, advertiser_id, campaign_id, ads.name, target_url \
           FROM ads JOIN campaigns USING (campaign_id) WHERE ad_id = $1",
    )
    .bind(ad_id);
    Ok(answer(ad.fetch_optional(database)).await?)
}

impl WantedAd {
    /// Everything that is wrong with it, or where it leads.
    fn check(&self) -> Result<Target, Error> {
        let target = self.target_url.parse::<Target>();
        let wrong = [
            ("campaign_id", click::id(&self.campaign_id).err()),
            ("name", name(&self.name).err().map(str::to_owned)),
            ("target_url", target.as_ref().err().map(ToString::to_string)),
        ];
        let wrong = wrong.into_iter().filter_map(|(field, message)| Some((field.to_owned(), vec![message?])));
        let rejection = Rejection { form_errors: Vec::new(), field_errors: wrong.collect() };
        match target {
            Ok(target) if rejection.field_errors.is_empty() => Ok(target),
            Ok(_) | Err(_) => Err(Error::Invalid(rejection)),
        }
    }
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
