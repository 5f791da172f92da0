//! Names for ids, over HTTP. Whatever fails here costs names, not numbers: ids stand in for them.

use std::collections::BTreeMap;

use gloo_net::http::Request;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{account::Credential, clock};

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

async fn get<T: DeserializeOwned>(url: &str, credential: &Credential) -> Option<(Vec<T>, Option<i64>)> {
    let mut request = Request::get(url);
    if let Some(token) = credential.token() {
        request = request.header("Authorization", &format!("Bearer {token}"));
    }
    let response = request.send().await.ok().filter(gloo_net::http::Response::ok)?;
    let ahead_ms = response.headers().get("date").and_then(|date| clock::ahead_ms(&date));
    let list: List<T> = response.json().await.ok()?;
    Some((list.data, ahead_ms))
}
