//! `GET /r/{ad_id}`: a click on an ad. The user goes on to the advertiser; the click is on its way into
//! the ledger before.
//!
//! - [`ads`]: which ads there are, from memory, Redis or the database; [`ad`] is one, [`shared`] is what
//!   Redis has
//! - [`target`]: where an ad leads, and how the click's id is told
//! - [`purpose`]: who asks without anybody having clicked
//! - [`answer`]: redirects, and pages for those that can't be made
//!
//! Rules flag, they never block: robots, too, are sent on, and nobody is told what is thought of them.
//! Whoever clicks more often than an address may is sent on, too, but those clicks are not taken.

mod ad;
pub(crate) mod ads;
mod answer;
mod purpose;
mod shared;
pub(crate) mod target;

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Method},
    response::Response,
};
use clickwire_protocol::click;
use url::Url;

pub(crate) use self::ad::Ad;
use self::target::Told;
use crate::{AppState, error::Error, intake::Sender, openapi::Refused, visitor::Visitor};

/// Follows an ad's link.
///
/// The click is taken in, and whoever clicked is sent on to the advertiser, with the click's id.
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
    State(state): State<AppState>,
    method: Method,
    ad_id: Result<Path<String>, PathRejection>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Response {
    let is_ahead = purpose::is_ahead(&method, &headers);
    let followed = match ad_id {
        Ok(Path(ad_id)) => follow(&state, &ad_id, visitor, is_ahead).await,
        // Not UTF-8: no ad's id.
        Err(_) => Err(Error::NotFound),
    };
    let outcome = match &followed {
        Ok(Followed::Taken(_)) if is_ahead => "prefetched",
        Ok(Followed::Taken(_)) => "redirected",
        Ok(Followed::Uncounted(_)) => "uncounted",
        Err(Error::NotFound) => "unknown_ad",
        Err(Error::AdsAway(_)) => "ads_away",
        Err(Error::TooMany { .. }) => "limited",
        Err(_) => "not_taken",
    };
    metrics::counter!("clickwire_redirects_total", "outcome" => outcome).increment(1);
    match followed {
        Ok(Followed::Taken(url)) => answer::redirect(url.as_str()),
        Ok(Followed::Uncounted(ad)) => answer::redirect(ad.target.as_str()),
        Err(error) => answer::page(error),
    }
}

/// Where a click goes on to.
enum Followed {
    /// It was taken in; the URL says under which id.
    Taken(Url),
    /// The address is beyond its allowance: on to the ad's target, and nothing else.
    Uncounted(Arc<Ad>),
}

/// Takes the click in and says where it goes on to.
async fn follow(state: &AppState, ad_id: &str, visitor: Visitor, is_ahead: bool) -> Result<Followed, Error> {
    let ad_id = click::id(ad_id).map_err(|_| Error::NotFound)?;
    if let Err(refusal) = state.addresses.spend(visitor.address) {
        // Neither broker nor database has to do with it, or the allowance would protect nothing.
        return state.ads.remembered(&ad_id).map(Followed::Uncounted).ok_or(refusal);
    }
    let ad = state.ads.find(&ad_id).await?.ok_or(Error::NotFound)?;
    let click = state.enricher.redirected(&ad, ad_id, visitor, is_ahead);
    // Who leaves can't come again, and is sent on whatever becomes of the click: the intake keeps it, or
    // counts it as lost.
    state.intake.take(&click, Sender::Leaves).await?;
    let told = Told {
        click_id: &state.click_ids.sign(click.click_id, &click.dimensions.ad_id),
        ad_id: &click.dimensions.ad_id,
        campaign_id: &click.dimensions.campaign_id,
    };
    Ok(Followed::Taken(ad.target.with(&ad.template, &told)))
}
