//! Names for ids, over HTTP. Whatever fails here costs names, not numbers: ids stand in for them. And the
//! numbers themselves, where no socket brings them.

use std::collections::BTreeMap;

use clickwire_protocol::{feed::Position, live::View};
use gloo_net::http::{Request, RequestBuilder};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{account::Credential, clock, session::Polled};

/// Names by id.
pub type Names = BTreeMap<String, String>;

/// What a list of names has to say beside them.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names by id.
    pub names: Names,
    /// The server's clock minus this machine's, in milliseconds.
    pub ahead_ms: Option<i64>,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Advertiser {
    advertiser_id: String,
    name: String,
}

#[derive(Deserialize)]
struct Campaign {
    campaign_id: String,
    name: String,
}

/// The advertisers that may be watched.
pub async fn advertisers(credential: &Credential) -> Option<Answer> {
    let (list, ahead_ms) = get::<Advertiser>("/api/v1/advertisers", credential).await?;
    let names = list.into_iter().map(|advertiser| (advertiser.advertiser_id, advertiser.name)).collect();
    Some(Answer { names, ahead_ms })
}

/// An advertiser's campaigns.
pub async fn campaigns(advertiser_id: &str, credential: &Credential) -> Option<Answer> {
    let id = String::from(js_sys::encode_uri_component(advertiser_id));
    let (list, ahead_ms) =
        get::<Campaign>(&format!("/api/v1/campaigns?advertiser_id={id}"), credential).await?;
    let names = list.into_iter().map(|campaign| (campaign.campaign_id, campaign.name)).collect();
    Some(Answer { names, ahead_ms })
}

/// What has changed in a view, for who can't have a socket.
pub async fn poll(view: &View, since: Option<&Position>, credential: &Credential) -> Polled {
    let encoded = |text: &str| String::from(js_sys::encode_uri_component(text));
    let mut url = format!(
        "/api/v1/live/poll?advertiser_id={}&group_by=campaign_id&window_minutes={}",
        encoded(&view.advertiser_id),
        view.window_minutes
    );
    if let Some(Position { epoch, seq }) = since {
        url += &format!("&since={}:{seq}", encoded(epoch));
    }
    match request(&url, credential).send().await {
        Ok(response) if response.ok() => response.json().await.map_or(Polled::Failed, Polled::Told),
        Ok(response) if matches!(response.status(), 401 | 403) => Polled::Refused,
        Ok(_) | Err(_) => Polled::Failed,
    }
}

fn request(url: &str, credential: &Credential) -> RequestBuilder {
    let request = Request::get(url);
    match credential.token() {
        Some(token) => request.header("Authorization", &format!("Bearer {token}")),
        None => request,
    }
}

async fn get<T: DeserializeOwned>(url: &str, credential: &Credential) -> Option<(Vec<T>, Option<i64>)> {
    let response = request(url, credential).send().await.ok().filter(gloo_net::http::Response::ok)?;
    let ahead_ms = response.headers().get("date").and_then(|date| clock::ahead_ms(&date));
    let list: List<T> = response.json().await.ok()?;
    Some((list.data, ahead_ms))
}
