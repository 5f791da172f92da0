//! `GET /r/{ad_id}`: a click on an ad. The user goes on to the advertiser; the click is on its way into
//! the ledger before.
//!
//! - [`ads`]: the ads, from memory, Redis or the database; [`ad`] is one, [`shared`] is the part in Redis
//! - [`address`]: the ad that an address means, however it was copied
//! - [`target`]: the target of an ad; [`template`]: what is appended to its query; [`macros`]: the values that are filled in; [`query`]: the query of a link;
//!   [`landing`]: other pages that an ad may lead to
//! - [`purpose`]: requests without a click
//! - [`test_click`]: one test click on an ad's link, by a signed-in caller
//! - [`answer`]: redirects, and pages for those that can't be made
//!
//! Rules flag, they never block: robots, too, are sent on, and are not told what is thought of them.
//! A visitor that clicks more often than an address may is sent on, too, but those clicks are not taken.

mod ad;
mod address;
pub(crate) mod ads;
mod answer;
pub(crate) mod error;
pub(crate) mod landing;
pub(crate) mod macros;
mod purpose;
pub(crate) mod query;
mod shared;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod template;
mod test_click;

use axum::extract::FromRef;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Method, Uri, header::REFERER},
    response::{IntoResponse as _, Response},
};
use clickwire_protocol::{
    attribution::{self, Params},
    click::Click,
    ids::AdId,
};

use self::ad::Ad;
use self::{macros::ClickMacros, query::Query};
use crate::{
    http::{error::Error, openapi::Refused, visitor::Visitor},
    intake::{ClientRetry, enrich::Arrival},
    redirect::{error::RedirectError, state::RedirectState},
};

/// The circumstances of a click on a link, known before its ad.
struct Circumstances {
    is_ahead: bool,
    params: Params,
    referrer: Option<String>,
}

/// Follows an ad's link.
///
/// The click is taken in, and the visitor is sent on to the advertiser, with the click's id and what the link's own
/// query has.
#[utoipa::path(get, path = "/r/{ad_id}", operation_id = "follow_link", tag = "anybody",
    params(("ad_id" = String, Path, description = "The ad.")),
    responses(
        Refused<()>,
        (status = 302, description = "On to the advertiser; without a click id if the address has clicked too often to be counted.",
            headers(("Location" = String))),
        (status = 404, body = String, content_type = "text/html", description = "There is no such ad."),
        (status = 429, body = String, content_type = "text/html", headers(("Retry-After" = String)),
            description = "Too many requests of this address, for an ad that would have to be looked up."),
        (status = 503, body = String, content_type = "text/html", headers(("Retry-After" = String)),
            description = "The ad can't be looked up, or the click not be taken.")
    ))]
pub(crate) async fn redirect(
    State(state): State<Arc<RedirectState>>,
    method: Method,
    uri: Uri,
    ad_id: Result<Path<String>, PathRejection>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    let ad_id = ad_id.ok().map(|Path(ad_id)| ad_id);
    answered(&state, ad_id.as_deref(), &method, &uri, visitor, &headers).await
}

/// Answers a path that no route takes: an ad's link as people copy it, or nothing.
pub(crate) async fn elsewhere(
    State(state): State<Arc<RedirectState>>,
    method: Method,
    uri: Uri,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    let is_read = matches!(method, Method::GET | Method::HEAD);
    match address::link(uri.path()) {
        Some(ad_id) if is_read => answered(&state, ad_id.as_deref(), &method, &uri, visitor, &headers).await,
        None if is_read && address::is_person(&headers) => answer::nothing_here(),
        Some(_) | None => Error::NotFound.into_response(),
    }
}

/// Follows a link and answers the request; `ad_id` is `None` if it is no text.
async fn answered(
    state: &RedirectState,
    ad_id: Option<&str>,
    method: &Method,
    uri: &Uri,
    visitor: Visitor,
    headers: &HeaderMap,
) -> Response {
    let query = Query::read(uri.query());
    let is_ahead = purpose::is_ahead(method, headers);
    let referrer = headers.get(REFERER).and_then(|page| page.to_str().ok()).and_then(attribution::referrer);
    let circumstances = Circumstances { is_ahead, params: query.kept(), referrer };
    let followed = match ad_id {
        Some(ad_id) => follow(state, ad_id, visitor, circumstances, &query).await,
        None => Err(Error::NotFound),
    };
    let outcome = match &followed {
        Ok(Followed::Taken(_)) if is_ahead => "prefetched",
        Ok(Followed::Taken(_)) => "redirected",
        Ok(Followed::Uncounted(_)) => "uncounted",
        Err(Error::NotFound) => "unknown_ad",
        Err(Error::TooMany { .. }) => "limited",
        Err(error) if matches!(error.of_wing(), Some(RedirectError::AdsAway(_))) => "ads_away",
        Err(_) => "not_taken",
    };
    metrics::counter!("clickwire_redirects_total", "outcome" => outcome).increment(1);
    match followed {
        Ok(Followed::Taken(url) | Followed::Uncounted(url)) => answer::redirect(&url),
        Err(error) => answer::page(error),
    }
}

/// The outcome of a link that was followed, with the URL that the click goes on to.
enum Followed {
    /// The click was taken in; the URL has its id.
    Taken(String),
    /// The address is beyond its allowance: on to the advertiser, without an id.
    Uncounted(String),
}

/// Takes the click in and returns the URL that it goes on to.
async fn follow(
    state: &RedirectState,
    text: &str,
    visitor: Visitor,
    circumstances: Circumstances,
    query: &Query<'_>,
) -> Result<Followed, Error> {
    let candidates = address::ad_ids(text);
    if candidates.is_empty() {
        return Err(Error::NotFound);
    }
    if let Err(refusal) = state.addresses.spend(visitor.address) {
        // Neither broker nor database has to do with it, or the allowance would protect nothing.
        let known = candidates.iter().find_map(|ad_id| Some((ad_id, state.ads.remembered(ad_id)?)));
        let (ad_id, ad) = known.ok_or(refusal)?;
        return Ok(Followed::Uncounted(uncounted(&ad, ad_id, query)));
    }
    let mut found = None;
    for ad_id in candidates {
        found = state.ads.find(&ad_id).await?.map(|ad| (ad_id, ad));
        if found.is_some() {
            break;
        }
    }
    let (ad_id, ad) = found.ok_or(Error::NotFound)?;
    let Circumstances { is_ahead, params, referrer } = circumstances;
    let arrival = Arrival {
        advertiser_id: ad.advertiser_id.clone(),
        campaign_id: ad.campaign_id.clone(),
        ad_id,
        is_ahead,
        params,
        referrer,
    };
    let click = state.enricher.redirected(visitor, arrival);
    // Who leaves can't come again, and is sent on whatever becomes of the click: the intake keeps it, or
    // counts it as lost.
    state.intake.take(&click, ClientRetry::FireAndForget).await?;
    Ok(Followed::Taken(taken(state, &ad, &click, query)))
}

/// The URL for a click that was taken in.
fn taken(state: &RedirectState, ad: &Ad, click: &Click, query: &Query<'_>) -> String {
    let told = ClickMacros {
        click_id: &state.click_ids.sign(click.click_id, &click.dimensions.ad_id),
        ad_id: click.dimensions.ad_id.as_str(),
        campaign_id: click.dimensions.campaign_id.as_str(),
        advertiser_id: click.advertiser_id.as_str(),
        country: &click.dimensions.country,
        device_type: click.dimensions.device_type.as_str(),
        os: click.os.as_deref().unwrap_or_default(),
        timestamp: click.clicked_at_ms.0.div_euclid(1_000),
        query,
    };
    ad.leads_to(&told, true)
}

/// The URL for a click that is not counted and has no id.
fn uncounted(ad: &Ad, ad_id: &AdId, query: &Query<'_>) -> String {
    let told = ClickMacros {
        click_id: "",
        ad_id: ad_id.as_str(),
        campaign_id: ad.campaign_id.as_str(),
        advertiser_id: ad.advertiser_id.as_str(),
        country: "",
        device_type: "",
        os: "",
        timestamp: clickwire_process::now_ms().div_euclid(1_000),
        query,
    };
    ad.leads_to(&told, false)
}

/// Follows links.
pub(crate) fn routes<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<RedirectState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(redirect))
}

/// Tries links out. Belongs to the servers that people sign in to, which may not follow links themselves.
pub(crate) fn trials<S>() -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<RedirectState>: FromRef<S>,
    Arc<crate::http::state::HttpState>: FromRef<S>,
    Arc<crate::identity::state::IdentityState>: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(test_click::make))
}
