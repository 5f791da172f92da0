//! One connection to Redis, or one to each node of a cluster, for all channels that are followed.
//!
//! The follower of a channel is told when it has been subscribed to: what was published before may have
//! been missed. A connection that breaks is replaced by a new one, on which every channel is subscribed to
//! again. So it is done, too, when a node says that it has given a channel away, and when a shard does not answer here
//! but does over the connection for commands. Channels are subscribed to one by one, and a shard that answers nowhere
//! is asked nothing here: it must not hold up others.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clickwire_process::{
    Backoff,
    redis::{Connection, Link, slot},
};
use clickwire_protocol::feed;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use rand::seq::SliceRandom as _;
use redis::{AsyncCommands as _, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::{
    sync::{Semaphore, mpsc},
    time::interval,
};

use crate::live::feed::Event;

/// The longest wait between attempts to connect or subscribe: less than screens may be behind.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// Time between two pings; by them a connection that was cut without a word is noticed.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Channels subscribed to at the same time: Redis must answer each before its time is out.
const TURNS: usize = 256;

/// Requests to the subscriber.
pub(in crate::live) enum Request {
    /// A channel is to be followed.
    Follow { channel: String, events: mpsc::Sender<Event>, needs_resync: Arc<AtomicBool> },
    /// The follower of this channel has ended, unless another has begun since.
    Leave { channel: String },
}

/// The task that listens to Redis.
pub(in crate::live) struct Subscriber {
    redis: Connection,
    channels: HashMap<String, Channel>,
    /// Channels that have been left, before Redis has said so.
    leaving: HashSet<String>,
    requests: mpsc::UnboundedReceiver<Request>,
}

struct Channel {
    events: mpsc::Sender<Event>,
    needs_resync: Arc<AtomicBool>,
}

impl Channel {
    /// Passes an event on, without waiting: a feed that does not keep up reads the database again.
    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.needs_resync.store(true, Ordering::Relaxed);
        }
    }
}

/// The outcome of a command.
enum Answer {
    Subscribed(String),
    /// The channel was left; Redis says so by a push, too.
    Left,
    /// The channel could not be left.
    Kept(String),
    /// The answer to a ping: the channel is subscribed to as before.
    Pong(String),
}

/// A connection and its commands, while it lasts.
struct SubscriberGuard {
    link: Link,
    /// The connection for commands: asked whether a shard answers at all.
    redis: Connection,
    turns: Arc<Semaphore>,
    /// The parts of the slots that are being pinged.
    pinged: HashSet<usize>,
    /// Commands under way.
    answers: FuturesUnordered<BoxFuture<'static, RedisResult<Answer>>>,
}

impl Subscriber {
    pub(in crate::live) fn new(redis: Connection, requests: mpsc::UnboundedReceiver<Request>) -> Self {
        Self { redis, channels: HashMap::new(), leaving: HashSet::new(), requests }
    }

    /// Works until there can be no more requests.
    pub(in crate::live) async fn run(mut self) {
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

    /// Takes a request into the books; returns the channel that Redis must be told of.
    fn note(&mut self, request: Request) -> Option<String> {
        match request {
            Request::Follow { channel, events, needs_resync } => {
                self.channels.insert(channel.clone(), Channel { events, needs_resync });
                Some(channel)
            }
            Request::Leave { channel } => {
                let is_left = self.channels.get(&channel).is_some_and(|channel| channel.events.is_closed());
                is_left.then(|| {
                    self.channels.remove(&channel);
                    channel
                })
            }
        }
    }

    /// Works until the connection breaks (an error) or there can be no more requests.
    async fn connected(&mut self, backoff: &mut Backoff, again: bool) -> Result<(), RedisError> {
        let (link, mut pushes) = self.redis.listen().await?;
        let mut redis = SubscriberGuard {
            link,
            redis: self.redis.clone(),
            turns: Arc::new(Semaphore::new(TURNS)),
            pinged: HashSet::new(),
            answers: FuturesUnordered::new(),
        };
        self.leaving.clear();
        self.channels.keys().for_each(|channel| redis.subscribe(channel, Answer::Subscribed));
        backoff.reset();
        if again {
            tracing::info!("redis: live feeds are back");
        }
        let mut ping = interval(PING_EVERY);
        loop {
            tokio::select! {
                request = self.requests.recv() => {
                    let Some(request) = request else { return Ok(()) };
                    if let Some(channel) = self.note(request) {
                        self.follow_or_leave(&redis, channel);
                    }
                }
                _ = ping.tick() => redis.ping(self.channels.keys()),
                Some(answer) = redis.answers.next() => match answer? {
                    Answer::Subscribed(channel) => match self.channels.get(&channel) {
                        Some(channel) => channel.tell(Event::Subscribed),
                        // It has been left meanwhile.
                        None => self.follow_or_leave(&redis, channel),
                    },
                    Answer::Pong(channel) => {
                        redis.pinged.remove(&part_of(&channel));
                        if !self.channels.contains_key(&channel) {
                            self.follow_or_leave(&redis, channel);
                        }
                    }
                    Answer::Kept(channel) => drop(self.leaving.remove(&channel)),
                    Answer::Left => {}
                },
                push = pushes.recv() => self.take(push, &redis)?,
            }
        }
    }

    /// Tells Redis whether we follow a channel.
    fn follow_or_leave(&mut self, redis: &SubscriberGuard, channel: String) {
        if self.channels.contains_key(&channel) {
            redis.subscribe(&channel, Answer::Subscribed);
        } else if self.leaving.insert(channel.clone()) {
            redis.unsubscribe(channel);
        }
    }

    /// Takes what was pushed; an error if the connection, or a channel, is gone.
    fn take(&mut self, push: Option<PushInfo>, redis: &SubscriberGuard) -> Result<(), RedisError> {
        let gone = || std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        let PushInfo { kind, data } = push.ok_or_else(gone)?;
        if kind == PushKind::Disconnection {
            return Err(gone());
        }
        let mut data = data.into_iter();
        let Some(Value::BulkString(name)) = data.next() else { return Ok(()) };
        let Ok(name) = std::str::from_utf8(&name) else { return Ok(()) };
        let channel = self.channels.get(name);
        match (kind, channel, data.next()) {
            (PushKind::SMessage, Some(channel), Some(Value::BulkString(message))) => {
                channel.tell(Event::Message(message));
            }
            (PushKind::SUnsubscribe, channel, _) => match (self.leaving.remove(name), channel) {
                // Somebody follows it again.
                (true, Some(_)) => redis.subscribe(name, Answer::Subscribed),
                // Its slot has moved to another node.
                (false, Some(_)) => return Err(gone()),
                (_, None) => {}
            },
            _ => {}
        }
        Ok(())
    }
}

impl SubscriberGuard {
    /// Subscribes to a channel, however often that has to be tried.
    fn subscribe(&self, channel: &str, answer: fn(String) -> Answer) {
        let (mut link, mut redis) = (self.link.clone(), self.redis.clone());
        let (turns, channel) = (Arc::clone(&self.turns), channel.to_owned());
        self.answers.push(Box::pin(async move {
            let mut backoff = Backoff::up_to(RETRY_WITHIN);
            let mut command = redis::cmd("SSUBSCRIBE");
            command.arg(&channel);
            loop {
                let turn = turns.acquire().await;
                let error = match answers(&mut redis, &channel).await {
                    Ok(()) => match command.query_async(&mut link).await {
                        Ok(()) => return Ok(answer(channel)),
                        // The shard answers, but not here.
                        Err(error) if error.is_timeout() && answers(&mut redis, &channel).await.is_ok() => {
                            return Err(error);
                        }
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                drop(turn);
                if backoff.is_first() {
                    tracing::warn!(channel, %error, "redis: a channel can't be subscribed to, or pinged, yet");
                }
                backoff.wait().await;
            }
        }));
    }

    fn unsubscribe(&self, channel: String) {
        let (mut link, mut redis) = (self.link.clone(), self.redis.clone());
        self.answers.push(Box::pin(async move {
            if answers(&mut redis, &channel).await.is_err() {
                return Ok(Answer::Kept(channel));
            }
            match redis::cmd("SUNSUBSCRIBE").arg(&channel).query_async(&mut link).await {
                Ok(()) => Ok(Answer::Left),
                // What still comes is dropped.
                Err(_) => Ok(Answer::Kept(channel)),
            }
        }));
    }

    /// Pings shards: subscribes once more to a channel of each part of the slots, another one each time, which changes
    /// nothing.
    fn ping<'a>(&mut self, channels: impl Iterator<Item = &'a String>) {
        let mut channels: Vec<_> = channels.collect();
        channels.shuffle(&mut rand::rng());
        for channel in channels {
            if self.pinged.insert(part_of(channel)) {
                self.subscribe(channel, Answer::Pong);
            }
        }
    }
}

/// Asks the shard of a channel for any answer.
async fn answers(redis: &mut Connection, channel: &str) -> RedisResult<()> {
    redis.exists::<_, Value>(channel).await.map(drop)
}

/// The part of the slots that a channel is pinged for.
fn part_of(channel: &str) -> usize {
    feed::part(slot(channel.as_bytes()))
}
