//! Names for ids, and the numbers themselves where no socket brings them, over HTTP. A failed list costs names,
//! not numbers: ids stand in for them.

use std::collections::BTreeMap;

use clickwire_protocol::{
    counts::Counts,
    feed::Position,
    ids::AdvertiserId,
    live::{ServerMessage, View},
    settings::Settings,
    times::Minute,
};
use gloo_net::http::RequestBuilder;
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    account::Credential,
    clock, events,
    http::{self, Asking},
    kept,
    session::{Polled, Streamed},
};

/// Names by id.
pub type Names<Id = String> = BTreeMap<Id, String>;

/// The answer with a list of names, and with the server's clock.
#[derive(Clone, Debug)]
pub struct Answer<Id> {
    /// Names by id.
    pub names: Names<Id>,
    /// The server's clock minus this machine's, in milliseconds.
    pub ahead_ms: Option<i64>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    /// Cursor of the next page: the value of `after`.
    next: Option<String>,
}

/// Pages of a list, at most: a hundred thousand names.
const MAX_PAGES: usize = 100;

#[derive(Deserialize)]
struct Advertiser {
    advertiser_id: AdvertiserId,
    name: String,
}

#[derive(Deserialize)]
struct Campaign {
    campaign_id: String,
    name: String,
}

/// The advertisers that may be watched.
pub async fn advertisers(credential: &Credential) -> Option<Answer<AdvertiserId>> {
    let (list, ahead_ms) = list::<Advertiser>("/api/v1/advertisers?", credential).await?;
    let names = list.into_iter().map(|advertiser| (advertiser.advertiser_id, advertiser.name)).collect();
    Some(Answer { names, ahead_ms })
}

/// An advertiser's campaigns.
pub async fn campaigns(advertiser_id: &AdvertiserId, credential: &Credential) -> Option<Answer<String>> {
    let id = String::from(js_sys::encode_uri_component(advertiser_id.as_str()));
    let (list, ahead_ms) =
        list::<Campaign>(&format!("/api/v1/campaigns?advertiser_id={id}&"), credential).await?;
    let names = list.into_iter().map(|campaign| (campaign.campaign_id, campaign.name)).collect();
    Some(Answer { names, ahead_ms })
}

/// Asks for the deployment's settings, by which it judges numbers.
pub async fn settings(credential: &Credential) -> Option<Settings> {
    let response = request("/api/v1/settings", credential).send().await.ok()?;
    response.json().await.ok().filter(|_| response.ok())
}

#[derive(Deserialize)]
struct Past {
    rows: Vec<PastRow>,
}

/// A row of a time series; of invalid traffic it does not tell the kinds apart.
#[derive(Deserialize)]
struct PastRow {
    billable: i64,
    fraud_count: i64,
}

/// Asks for the counts of each of an advertiser's minutes `from` up to `to`.
pub async fn past(
    advertiser_id: &AdvertiserId,
    from: Minute,
    to: Minute,
    credential: &Credential,
) -> Option<Vec<Counts>> {
    let id = String::from(js_sys::encode_uri_component(advertiser_id.as_str()));
    let [start, end] = [from, to].map(|minute| clock::rfc3339(minute.start().0));
    let url = format!(
        "/api/v1/analytics/timeseries?advertiser_id={id}&granularity=minute&start_time={start}&end_time={end}"
    );
    let response = request(&url, credential).send().await.ok().filter(gloo_net::http::Response::ok)?;
    let Past { rows } = response.json().await.ok()?;
    let counts = |row: PastRow| Counts { valid: row.billable, sivt: row.fraud_count, ..Counts::default() };
    // Fewer would be of other minutes: retention is shorter than the window.
    (i64::try_from(rows.len()) == Ok(to - from)).then(|| rows.into_iter().map(counts).collect())
}

/// Keeps a state of a view for when it is asked for without a server.
pub fn keep(view: &View, state: &ServerMessage, credential: &Credential) {
    // What a token opens is not kept.
    if let (Credential::Cookie, Ok(text)) = (credential, serde_json::to_string(state)) {
        kept::keep(&url("poll", view, None), &text);
    }
}

/// Builds a question about a view, from the position at which the state ends.
fn about(path: &str, view: &View, since: Option<&Position>, credential: &Credential) -> RequestBuilder {
    request(&url(path, view, since), credential)
}

fn url(path: &str, view: &View, since: Option<&Position>) -> String {
    let encoded = |text: &str| String::from(js_sys::encode_uri_component(text));
    let mut url = format!(
        "/api/v1/live/{path}?advertiser_id={}&group_by=campaign_id&window_minutes={}",
        encoded(view.advertiser_id.as_str()),
        view.window_minutes
    );
    if let Some(Position { epoch, seq }) = since {
        url += &format!("&since={}:{seq}", encoded(epoch));
    }
    url
}

/// Streams a view's changes as they happen, for a viewer who can't have a socket.
pub fn stream(
    view: &View,
    min_interval_ms: Option<u32>,
    credential: &Credential,
    tell: impl Fn(Streamed) + 'static,
) -> Asking {
    let mut url = url("sse", view, None);
    if let Some(ms) = min_interval_ms {
        url += &format!("&min_interval_ms={ms}");
    }
    events::stream(request(&url, credential), || (), tell)
}

/// Asks for a view's changes since a position, for a viewer who can't have a stream either.
pub async fn poll(view: &View, since: Option<&Position>, credential: &Credential) -> Polled {
    match about("poll", view, since, credential).send().await {
        Ok(response) if response.ok() => {
            let is_kept = response.headers().get(kept::HEADER).is_some();
            let answer = if is_kept { Polled::Kept } else { Polled::Told };
            response.json().await.map_or(Polled::Failed, answer)
        }
        Ok(response) if matches!(response.status(), 401 | 403) => Polled::Refused,
        Ok(_) | Err(_) => Polled::Failed,
    }
}

fn request(url: &str, credential: &Credential) -> RequestBuilder {
    http::builder(&http::Request::get(url), credential)
}

/// A list, page by page; `url` is open for more parameters.
async fn list<T: DeserializeOwned>(url: &str, credential: &Credential) -> Option<(Vec<T>, Option<i64>)> {
    let (mut rows, mut ahead_ms, mut after) = (Vec::new(), None, String::new());
    for _ in 0..MAX_PAGES {
        let response = request(&format!("{url}{after}"), credential).send().await.ok();
        let response = response.filter(gloo_net::http::Response::ok)?;
        ahead_ms = response.headers().get("date").and_then(|date| clock::ahead_ms(&date));
        let page: Page<T> = response.json().await.ok()?;
        rows.extend(page.data);
        let Some(next) = page.next else { break };
        // A cursor has only letters, digits, `-` and `_`.
        after = format!("after={next}");
    }
    Some((rows, ahead_ms))
}
