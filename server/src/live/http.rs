//! The same views for clients that can't have a WebSocket: as server-sent events, and for asking now and then; and news
//! about incidents as events.
//!
//! Both doors of a view carry the messages of [`clickwire_protocol::live`] for one subscription, number 1, and both go on
//! where the client says that its state ends, written `epoch:seq`. An event's id is that place, so an
//! `EventSource` resumes by itself; an answer's `ETag` is, too, so asking again costs nothing while nothing
//! changes.

use std::{
    collections::HashMap, convert::Infallible, sync::Arc, sync::Mutex, sync::PoisonError, time::Duration,
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use clickwire_process::now_ms;
use clickwire_protocol::{
    analytics::Dimension,
    counts::DeviceType,
    feed::Position,
    ids::{AdId, AdvertiserId, CampaignId},
    live::{Filters, MAX_INTERVAL_MS, MAX_WINDOW_MINUTES, ServerMessage, View},
};
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    feed::{
        alerts::{Alerts, Watcher},
        view::{Step, lock},
        watched::Watched,
    },
    session::{Source as _, permit::SessionPermit},
    stream::{Changes, Place},
    updates::Updates,
    watched,
    wire::frame::Frame,
};
use crate::{
    http::{
        error::Error,
        openapi::{self, Refused},
        page,
        parameters::Parameters,
        quota::{Holder, Quota, QuotaGuard},
        visitor::Visitor,
    },
    identity::access::{Caller, Operator, Scope},
    live::{error::LiveError, state::LiveState},
    store::error::StoreError,
};

/// The number of the one subscription.
const SUBSCRIPTION: u32 = 1;

/// The default window of a view, in minutes.
const WINDOW_MINUTES: u32 = 60;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The longest wait for an advertiser's state; reading it for the first time takes less.
const LOADED_WITHIN: Duration = Duration::from_secs(5);

/// Time for which a view that was asked for is kept up to date and need not be read again.
const KEPT: Duration = Duration::from_secs(30);

/// Views kept for those who ask, at most, and for each account or token.
const MAX_KEPT: usize = 1_000;
const MAX_KEPT_EACH: usize = 100;

/// Sends live data as server-sent events.
///
/// Each event's data is a message as a WebSocket has it, for subscription 1; its id is the end of the client's
/// state then. Comments in between keep the connection open.
#[utoipa::path(get, path = "/api/v1/live/sse", operation_id = "stream_live", tag = "viewer",
    params(
        ("advertiser_id" = Option<String>, Query), ("campaign_id" = Option<String>, Query),
        ("ad_id" = Option<String>, Query), ("country" = Option<String>, Query),
        ("device_type" = Option<DeviceType>, Query),
        ("group_by" = Option<String>, Query, description = "Any of `campaign_id`, `ad_id`, `country`, `device_type`, separated by commas."),
        ("window_minutes" = Option<u32>, Query, description = "1 to 240; by default 60."),
        ("min_interval_ms" = Option<u32>, Query, description = "1 to 60000: milliseconds between two events about changes, at least."),
        ("every_ms" = Option<u32>, Query, deprecated, description = "The old name of `min_interval_ms`."),
        ("since" = Option<String>, Query, description = "`epoch:seq`: where the client's state ends."),
        ("Last-Event-ID" = Option<String>, Header, description = "The same, by a client that comes back; it goes before `since`."),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "Events, without end."),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::live::error::Sessions)>
    ))]
pub(crate) async fn events(
    State(state): State<Arc<LiveState>>,
    caller: Caller,
    visitor: Visitor,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Error> {
    let ViewQuery { view, since, min_interval_ms } = asked(parameters, &caller.scope)?;
    let since = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).and_then(position).or(since);
    let place = Place::take(&state, &caller, &visitor)?;
    Ok(place.tell(Updates::watch(&state, &caller, view, since, min_interval_ms)?))
}

impl Changes for Updates {
    async fn changed(&mut self) -> Option<()> {
        self.changed().await
    }

    fn frames(&mut self) -> Option<Vec<Frame>> {
        Some(self.frames())
    }

    fn id(&self) -> Option<String> {
        self.told().map(|Position { epoch, seq }| format!("{epoch}:{seq}"))
    }
}

/// Sends news about incidents as server-sent events.
///
/// Each event's data is a message as a WebSocket has it: first the open incidents, then one piece of news each. A
/// client that comes back begins with the open incidents again. Comments in between keep the connection open.
#[utoipa::path(get, path = "/api/v1/live/sse/alerts", operation_id = "stream_alerts", tag = "operator",
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "Events, without end."),
        Refused<(crate::identity::error::Scoped, crate::live::error::Sessions)>
    ))]
pub(crate) async fn incidents(
    State(state): State<Arc<LiveState>>,
    _operator: Operator,
    caller: Caller,
    visitor: Visitor,
) -> Result<Response, Error> {
    let place = Place::take(&state, &caller, &visitor)?;
    Ok(place.tell(Incidents::watch(state.hub.alerts())))
}

/// News about incidents, for one client.
struct Incidents {
    watcher: Watcher,
    news: watch::Receiver<u64>,
}

impl Incidents {
    fn watch(alerts: Arc<Alerts>) -> Self {
        let mut news = alerts.subscribe();
        news.mark_changed();
        Self { watcher: Watcher::new(alerts), news }
    }
}

impl Changes for Incidents {
    async fn changed(&mut self) -> Option<()> {
        self.news.changed().await.ok()
    }

    fn frames(&mut self) -> Option<Vec<Frame>> {
        let mut frames = Vec::new();
        self.watcher.frames(SUBSCRIPTION, now_ms(), &mut frames).ok()?;
        Some(frames)
    }

    fn id(&self) -> Option<String> {
        None
    }
}

/// Tells what has changed.
///
/// A snapshot, or a delta when it is known what has changed since the client's state. 304 if nothing has.
#[utoipa::path(get, path = "/api/v1/live/poll", operation_id = "poll_live", tag = "viewer",
    params(
        ("advertiser_id" = Option<String>, Query), ("campaign_id" = Option<String>, Query),
        ("ad_id" = Option<String>, Query), ("country" = Option<String>, Query),
        ("device_type" = Option<DeviceType>, Query),
        ("group_by" = Option<String>, Query, description = "Any of `campaign_id`, `ad_id`, `country`, `device_type`, separated by commas."),
        ("window_minutes" = Option<u32>, Query, description = "1 to 240; by default 60."),
        ("since" = Option<String>, Query, description = "`epoch:seq`: where the client's state ends."),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer."),
    ),
    responses(
        (status = 200, body = ServerMessage, description = "A snapshot or a delta.", headers(("ETag" = String))),
        (status = 304, description = "Nothing has changed.", headers(("ETag" = String))),
        Refused<(crate::identity::error::Scoped, openapi::Input, crate::live::error::Sessions, crate::store::error::Database)>
    ))]
pub(crate) async fn poll(
    State(state): State<Arc<LiveState>>,
    caller: Caller,
    visitor: Visitor,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Error> {
    let ViewQuery { view, since, .. } = polled(parameters, &caller.scope)?;
    let _permit = SessionPermit::take(&state.sessions, &state.addresses, visitor.address)?;
    let watched =
        state.polled.watch(view, &caller, |view| state.hub.watch(view, &caller)).ok_or(LiveError::Full)?;
    let start = async {
        let mut news = lock(&watched.view).subscribe();
        loop {
            news.wait_for(|version| *version > 0).await.ok()?;
            if let Some(start) = lock(&watched.view).start(since.as_ref()) {
                return Some(start);
            }
            news.changed().await.ok()?;
        }
    };
    let start = timeout(LOADED_WITHIN, start).await.ok().flatten();
    let Step { body, to, .. } = start.ok_or(StoreError::Database(sqlx::Error::PoolTimedOut))?;
    let Position { epoch, seq } = to.position();
    let tag = format!("\"{epoch}:{seq}\"");
    let mut response = if page::is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let frame = body.frame(SUBSCRIPTION);
        let (own, shared) = frame.payload();
        let json = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CONTENT_LENGTH, HeaderValue::from(own.len() + shared.len())),
        ];
        let pieces = [Bytes::copy_from_slice(own), shared].map(Ok::<_, Infallible>);
        (json, Body::from_stream(stream::iter(pieces))).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Views that were asked for lately.
#[derive(Clone)]
pub(crate) struct Polled {
    kept: Arc<Mutex<HashMap<View, Kept>>>,
    shares: Quota<Holder>,
}

struct Kept {
    watched: Watched,
    until: Instant,
    _share: QuotaGuard<Holder>,
}

impl Default for Polled {
    fn default() -> Self {
        Self { kept: Arc::default(), shares: Quota::new(MAX_KEPT_EACH) }
    }
}

impl Polled {
    /// The view, kept up to date from now on; `None` if there are too many, or the caller has too many.
    fn watch(
        &self,
        view: View,
        caller: &Caller,
        start: impl FnOnce(View) -> Option<Watched>,
    ) -> Option<Watched> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + KEPT;
        if let Some(known) = kept.get_mut(&view) {
            known.until = until;
            return Some(known.watched.clone());
        }
        if kept.len() >= MAX_KEPT {
            return None;
        }
        let share = self.shares.try_take(caller.holder())?;
        let watched = start(view.clone())?;
        kept.insert(view, Kept { watched: watched.clone(), until, _share: share });
        Some(watched)
    }

    /// Forgets views that have not been asked for lately, until `stop`.
    pub(crate) async fn sweep(self, stop: CancellationToken) {
        let mut every = interval(KEPT / 2);
        loop {
            tokio::select! { _ = every.tick() => {}, () = stop.cancelled() => return }
            let now = Instant::now();
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, kept| kept.until > now);
        }
    }
}

/// The view and the settings that a query string asks for.
#[derive(Debug)]
struct ViewQuery {
    view: View,
    /// The end of the client's state.
    since: Option<Position>,
    min_interval_ms: Option<u32>,
}

fn asked(mut parameters: Parameters, scope: &Scope) -> Result<ViewQuery, Error> {
    let advertiser_id = parameters.text("advertiser_id").map(AdvertiserId::unchecked);
    // What the values are as they are stored is said by `watched`, as of a view from a socket.
    let filters = Filters {
        campaign_id: parameters.text("campaign_id").map(CampaignId::unchecked),
        ad_id: parameters.text("ad_id").map(AdId::unchecked),
        country: parameters.text("country"),
        device_type: parameters.take("device_type", str::parse::<DeviceType>),
    };
    let group_by = parameters.take("group_by", Dimension::list).unwrap_or_default();
    let window_minutes =
        parameters.number("window_minutes", 1..=MAX_WINDOW_MINUTES).unwrap_or(WINDOW_MINUTES);
    let min_interval_ms = parameters.number("min_interval_ms", 1..=MAX_INTERVAL_MS);
    let under_old_name = parameters.number("every_ms", 1..=MAX_INTERVAL_MS);
    if min_interval_ms.is_some() && under_old_name.is_some() {
        parameters.reject("every_ms", "The old name of min_interval_ms: give one of them.");
    }
    let min_interval_ms = min_interval_ms.or(under_old_name);
    let since = parameters.take("since", |text| position(text).ok_or("Expected epoch:seq."));
    let asked = (advertiser_id, filters, group_by, window_minutes, since, min_interval_ms);
    let (advertiser_id, filters, group_by, window_minutes, since, min_interval_ms) =
        parameters.finish(asked)?;
    let advertiser_id = scope.advertiser(advertiser_id.as_ref())?.clone();
    let view = watched(View { advertiser_id, filters, group_by, window_minutes }, scope)?;
    Ok(ViewQuery { view, since, min_interval_ms })
}

/// The same for a client that asks now and then: it has no interval.
fn polled(mut parameters: Parameters, scope: &Scope) -> Result<ViewQuery, Error> {
    for name in ["min_interval_ms", "every_ms"] {
        if parameters.text(name).is_some() {
            parameters.reject(name, "Only for events; ask as often as you like.");
        }
    }
    asked(parameters, scope)
}

fn position(text: &str) -> Option<Position> {
    let (epoch, seq) = text.rsplit_once(':')?;
    Some(Position { epoch: epoch.to_owned(), seq: seq.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;

    use super::*;

    fn read(
        query: &str,
        by: impl Fn(Parameters, &Scope) -> Result<ViewQuery, Error>,
    ) -> Result<ViewQuery, Error> {
        let uri = format!("http://localhost/?{query}").parse().unwrap();
        let Query(given) = Query::try_from_uri(&uri).unwrap();
        by(Parameters::new(given), &Scope::Advertisers(vec![AdvertiserId::unchecked("adv_001")]))
    }

    fn question(query: &str) -> Result<ViewQuery, Error> {
        read(query, asked)
    }

    #[test]
    fn an_interval_of_a_poll_is_refused_under_the_name_that_was_sent() {
        assert!(read("window_minutes=5", polled).is_ok());
        for name in ["min_interval_ms", "every_ms"] {
            let Err(Error::Invalid(rejection)) = read(&format!("{name}=900"), polled) else {
                panic!("{name}")
            };
            assert_eq!(rejection.field_errors.into_keys().collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn a_query_names_a_view_and_a_place() {
        let ViewQuery { view, since, min_interval_ms } = question(
            "campaign_id=c&device_type=tv&group_by=ad_id,country&window_minutes=5&since=e-1:7&min_interval_ms=900",
        )
        .unwrap();
        assert_eq!((view.advertiser_id.as_str(), view.window_minutes), ("adv_001", 5));
        assert_eq!(view.group_by, [Dimension::AdId, Dimension::Country]);
        assert_eq!(view.filters.device_type, Some(DeviceType::Tv));
        assert_eq!((since, min_interval_ms), (Some(Position { epoch: "e-1".into(), seq: 7 }), Some(900)));
        assert_eq!(question("").unwrap().view.window_minutes, WINDOW_MINUTES);
        assert_eq!(question("every_ms=900").unwrap().min_interval_ms, Some(900), "the old name");
    }

    #[test]
    fn a_view_is_the_same_however_it_is_written() {
        let [plain, other] = ["country=us&group_by=ad_id", "country=US&group_by=%20ad_id"]
            .map(|query| question(query).unwrap().view);
        assert_eq!((plain.filters.country.as_deref(), &plain), (Some("US"), &other));
    }

    #[test]
    fn what_is_no_question_is_refused_under_its_name() {
        for (query, field) in [
            ("window_minutes=0", "window_minutes"),
            ("window_minutes=241", "window_minutes"),
            ("window_minutes=x", "window_minutes"),
            ("window_minutes=18446744073709551616", "window_minutes"),
            ("min_interval_ms=0", "min_interval_ms"),
            ("min_interval_ms=60001", "min_interval_ms"),
            ("every_ms=0", "every_ms"),
            ("every_ms=5&min_interval_ms=5", "every_ms"),
            ("group_by=os", "group_by"),
            ("group_by=ad_id,ad_id", "group_by"),
            ("device_type=fridge", "device_type"),
            ("country=Atlantis", "country"),
            ("campaign_id=", "campaign_id"),
            ("ad_id=a%00", "ad_id"),
            ("since=7", "since"),
            ("since=e:x", "since"),
            ("since=e:18446744073709551616", "since"),
            ("token=secret", "token"),
            ("country=DE&country=FR", "country"),
        ] {
            let Err(Error::Invalid(rejection)) = question(query) else { panic!("{query} is taken") };
            assert_eq!(rejection.field_errors.into_keys().collect::<Vec<_>>(), [field], "{query}");
        }
        assert!(matches!(question("advertiser_id=adv_002"), Err(Error::Forbidden)));
    }
}
