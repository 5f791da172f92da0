//! One connection to Redis for all feeds, the news about incidents and about ads, and those feeds that
//! are watched.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{Backoff, redis::Connection};
use clickwire_protocol::{
    feed::{Keys, alerts_channel},
    live::View,
};
use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    database::Tenants,
    live::{
        alerts::Alerts,
        feed::{Event, Feed, Source},
        listeners::Listeners,
        view::SharedView,
        watchers::Advertiser,
    },
};

/// Messages that wait for one feed, at most; when more come, they are dropped and the feed reads the
/// database again.
const MAX_EVENTS: usize = 256;

/// Connecting and subscribing may take so long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waiting between attempts to connect: less than screens may be behind.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// A connection that was cut without a word is noticed so soon.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Hands out views; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    feeds: Arc<Mutex<HashMap<String, Weak<Feed>>>>,
    alerts: Arc<Mutex<Weak<Alerts>>>,
    requests: mpsc::UnboundedSender<Request>,
    source: Source,
    /// Where news about incidents are.
    database: PgPool,
}

/// A view that is watched. Feed and view live as long as somebody holds one of these.
#[derive(Clone)]
pub(crate) struct Watched {
    pub(crate) view: SharedView,
    feed: Arc<Feed>,
}

impl Watched {
    /// Those that are told as soon as the feed has something to tell.
    pub(super) fn listeners(&self) -> &Listeners {
        self.feed.listeners()
    }
}

enum Request {
    Follow {
        channel: String,
        events: mpsc::Sender<Event>,
        suspect: Arc<AtomicBool>,
    },
    /// The feed of this channel ended, unless another has begun since.
    Leave {
        channel: String,
    },
}

impl Hub {
    /// Starts the connection to Redis, which ends with `stop`.
    pub(crate) fn start(
        config: &Config,
        client: Client,
        redis: Connection,
        database: PgPool,
        tenants: Tenants,
        stop: &CancellationToken,
    ) -> Self {
        // Emptied at least at every attempt to connect, so what waits here is a few seconds' worth.
        let (requests, received) = mpsc::unbounded_channel();
        let subscriber = Subscriber { client, channels: HashMap::new(), requests: received };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! { () = subscriber.run() => {}, () = stop.cancelled() => {} }
        });
        let source = Source {
            tenants,
            redis,
            prefix: config.redis_prefix.as_str().into(),
            tick: Duration::from_millis(config.live_tick_ms),
            cells_max: config.live_cells_max,
        };
        Self { feeds: Arc::default(), alerts: Arc::default(), requests, source, database }
    }

    /// The shared state of `view`; the first watcher of an advertiser starts its feed. `None` if the
    /// advertiser is watched in too many different ways.
    pub(crate) fn watch(&self, view: View) -> Option<Watched> {
        let feed = self.feed(&view.advertiser_id);
        Some(Watched { view: feed.view(view)?, feed })
    }

    /// The news about incidents, shared by every session that watches them.
    pub(crate) fn alerts(&self) -> Arc<Alerts> {
        let mut watched = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alerts) = watched.upgrade() {
            return alerts;
        }
        let database = self.database.clone();
        let channel = alerts_channel(&self.source.prefix);
        let alerts = self.follow(channel, |events, suspect| Alerts::start(database, events, suspect));
        *watched = Arc::downgrade(&alerts);
        alerts
    }

    /// Whose views are watched by how many.
    pub(super) fn watchers(&self) -> Vec<Advertiser> {
        let feeds: Vec<(String, Arc<Feed>)> = {
            let feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
            feeds.iter().filter_map(|(id, feed)| Some((id.clone(), feed.upgrade()?))).collect()
        };
        feeds.into_iter().map(|(id, feed)| Advertiser::new(id, feed.watchers())).collect()
    }

    fn feed(&self, advertiser_id: &str) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(advertiser_id).and_then(Weak::upgrade) {
            return feed;
        }
        let channel = Keys::new(&self.source.prefix, advertiser_id).channel;
        let source = self.source.clone();
        let feed =
            self.follow(channel, |events, suspect| Feed::start(advertiser_id, source, events, suspect));
        feeds.retain(|_, feed| feed.strong_count() > 0);
        feeds.insert(advertiser_id.to_owned(), Arc::downgrade(&feed));
        feed
    }

    /// Starts what follows a channel, and has the channel left when that ends.
    pub(crate) fn follow<T>(
        &self,
        channel: String,
        start: impl FnOnce(mpsc::Receiver<Event>, Arc<AtomicBool>) -> (T, JoinHandle<()>),
    ) -> T {
        let (events, received) = mpsc::channel(MAX_EVENTS);
        let suspect = Arc::new(AtomicBool::new(false));
        let (follower, ended) = start(received, Arc::clone(&suspect));
        let requests = self.requests.clone();
        self.request(Request::Follow { channel: channel.clone(), events, suspect });
        tokio::spawn(async move {
            // However it ended, its receiver is gone, and without a subscriber the server is stopping.
            let _ = ended.await;
            let _ = requests.send(Request::Leave { channel });
        });
        follower
    }

    fn request(&self, request: Request) {
        if self.requests.send(request).is_err() {
            tracing::debug!("the subscriber has stopped");
        }
    }
}

/// The task that holds the connection.
struct Subscriber {
    client: Client,
    channels: HashMap<String, Channel>,
    requests: mpsc::UnboundedReceiver<Request>,
}

struct Channel {
    events: mpsc::Sender<Event>,
    suspect: Arc<AtomicBool>,
}

impl Channel {
    /// Never waits: a feed that does not keep up reads the database again.
    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.suspect.store(true, Ordering::Relaxed);
        }
    }
}

impl Subscriber {
    async fn run(mut self) {
        let mut backoff = Backoff::up_to(RETRY_WITHIN);
        let mut connected_before = false;
        loop {
            while let Ok(request) = self.requests.try_recv() {
                self.note(request);
            }
            let error = match self.connected(&mut backoff, connected_before).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if !connected_before || backoff.is_first() {
                tracing::warn!(%error, "redis: live feeds are interrupted");
            }
            metrics::counter!("clickwire_live_interruptions_total").increment(1);
            connected_before = true;
            backoff.wait().await;
        }
    }

    /// Takes a request into the books.
    fn note(&mut self, request: Request) {
        match request {
            Request::Follow { channel, events, suspect } => {
                self.channels.insert(channel, Channel { events, suspect });
            }
            Request::Leave { channel } => {
                if self.channels.get(&channel).is_some_and(|channel| channel.events.is_closed()) {
                    self.channels.remove(&channel);
                }
            }
        }
    }

    /// Works until the connection breaks (an error) or the server stops.
    async fn connected(&mut self, backoff: &mut Backoff, again: bool) -> Result<(), RedisError> {
        let connection = within(self.client.get_async_pubsub()).await?;
        let (mut sink, mut messages) = connection.split();
        if !self.channels.is_empty() {
            within(sink.subscribe(self.channels.keys().collect::<Vec<_>>())).await?;
        }
        self.channels.values().for_each(|channel| channel.tell(Event::Subscribed));
        backoff.reset();
        if again {
            tracing::info!("redis: live feeds are back");
        }
        let mut ping = interval(PING_EVERY);
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    let name = request.channel().to_owned();
                    self.note(request);
                    match self.channels.get(&name) {
                        Some(channel) => {
                            within(sink.subscribe(&name)).await?;
                            channel.tell(Event::Subscribed);
                        }
                        None => within(sink.unsubscribe(&name)).await?,
                    }
                }
                _ = ping.tick() => drop(within(sink.ping::<redis::Value>()).await?),
                message = messages.next() => match message {
                    Some(message) => {
                        if let Some(channel) = self.channels.get(message.get_channel_name()) {
                            channel.tell(Event::Message(message.get_payload_bytes().to_vec()));
                        }
                    }
                    None => return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
                },
            }
        }
    }
}

impl Request {
    fn channel(&self) -> &str {
        match self {
            Self::Follow { channel, .. } | Self::Leave { channel } => channel,
        }
    }
}

async fn within<T>(work: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
