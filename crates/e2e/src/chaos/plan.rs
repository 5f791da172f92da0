//! The plan of a run: clicks to send and faults, drawn from a seed.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use clickwire_load::traffic;
use clickwire_services::Server as Service;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use uuid::{Builder, Uuid};

use super::{ADVERTISERS, Machines};
use crate::{Wire, naive::Name};

/// Ordinary clicks a second.
const RATE: u64 = 60;

/// A burst begins every so often.
const BURST_EVERY_MS: u64 = 5_000;

/// A fault begins so soon after the one before, at the earliest and at the latest.
const FAULT_EVERY_MS: std::ops::Range<u64> = 1_000..2_500;

/// Wires are half-open in longer runs only: finding out takes as long as the longest time-out.
const LONG: Duration = Duration::from_secs(60);

/// The time until a standby takes over.
const TAKES_OVER: Duration = Duration::from_secs(2);

/// Tells the lake's faults from the others of a seed; any number.
const LAKE: u64 = 0x6c61_6b65;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A run.
pub(crate) struct Plan {
    pub(crate) clicks: Vec<Click>,
    /// Posts, in the order of time.
    pub(crate) posts: Vec<Post>,
    /// Faults, in the order of time.
    pub(crate) faults: Vec<Fault>,
    /// Faults of the lake, in the order of time; beside the others, not after them.
    pub(crate) lake_faults: Vec<LakeFault>,
    /// Clicks may wait on the server's disk while the broker is away.
    pub(crate) spools_posts: bool,
    /// Clicks are on the server's disk before the broker has them.
    pub(crate) has_wal: bool,
}

/// A click, however often it is sent.
pub(crate) struct Click {
    pub(crate) id: Uuid,
    /// Its body but for the time.
    pub(crate) body: Value,
    /// All its times lie beyond the horizon.
    pub(crate) is_late: bool,
    /// Its advertiser's own key posts it.
    pub(crate) is_bound: bool,
}

impl Click {
    /// Returns the name by which the click is known.
    pub(crate) fn name(&self) -> Name {
        (self.id, self.text("advertiser_id").unwrap_or_default().to_owned())
    }

    /// A field of the body.
    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.body[field].as_str()
    }
}

/// One time that a click is sent.
#[derive(Clone, Copy)]
pub(crate) struct Post {
    /// After the start of the run.
    pub(crate) at_ms: u64,
    /// Index of the click.
    pub(crate) click: usize,
    /// Offset of the client's clock from ours, in milliseconds.
    pub(crate) clock_ms: i64,
    /// The client goes away so soon and then sends it again, as it was.
    pub(crate) gives_up_after: Option<Duration>,
}

/// A fault that breaks something for a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// After the start of the run.
    pub(crate) at_ms: u64,
    pub(crate) kind: FaultKind,
    /// The time until it is whole again.
    pub(crate) lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum FaultKind {
    /// SIGKILL; a successor starts afterwards.
    Aggregator(usize),
    /// SIGKILL; its successor has the same address.
    Server,
    /// SIGKILL of a service.
    Service(Service),
    /// A wire breaks.
    Wire(Service, Wire),
    /// One of three brokers is in trouble.
    Broker(usize, Trouble),
    /// A node of a cluster of Redis is in trouble.
    Redis(usize, Trouble),
    /// The other brokers do not reach this one, nor it them.
    CutOff(usize, Wire),
    /// SIGKILL of the database; its standby takes over. What breaks of the database later is the host from before.
    FailOver,
}

/// The trouble of one of several.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// SIGKILL; it is started again.
    Killed,
    /// SIGSTOP, then SIGCONT.
    Frozen,
}

/// A fault of the lake, or of what it alone uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LakeFault {
    /// After the start of the run.
    pub(crate) at_ms: u64,
    pub(crate) kind: LakeFaultKind,
    /// The time until it is whole again.
    pub(crate) lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LakeFaultKind {
    /// SIGKILL; its successor is at the same address.
    Killed,
    /// SIGSTOP, then SIGCONT.
    Frozen,
    /// The object store is gone.
    StoreAway,
}

impl Display for LakeFault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            LakeFaultKind::Killed => "lake killed",
            LakeFaultKind::Frozen => "lake frozen",
            LakeFaultKind::StoreAway => "object store away",
        };
        write!(formatter, "{what}, for {:?}", self.lasts)
    }
}

impl Display for Fault {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Aggregator(number) => write!(formatter, "aggregator {number} killed"),
            FaultKind::Server => write!(formatter, "server killed"),
            FaultKind::Service(service) => write!(formatter, "{} killed", service.name()),
            FaultKind::Wire(service, wire) => write!(formatter, "wire to {}: {wire:?}", service.name()),
            FaultKind::Broker(number, trouble) => write!(formatter, "broker {number}: {trouble:?}"),
            FaultKind::Redis(number, trouble) => write!(formatter, "Redis node {number}: {trouble:?}"),
            FaultKind::CutOff(number, wire) => write!(formatter, "broker {number} cut off: {wire:?}"),
            FaultKind::FailOver => write!(formatter, "database killed until its standby takes over"),
        }?;
        write!(formatter, ", for {:?}", self.lasts)
    }
}

impl Plan {
    pub(crate) fn draw(seed: u64, duration: Duration, machines: Machines) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plan = Self {
            clicks: Vec::new(),
            posts: Vec::new(),
            faults: Vec::new(),
            lake_faults: Vec::new(),
            spools_posts: seed % 2 == 1,
            has_wal: seed.div_ceil(2) % 2 == 1,
        };
        let end_ms = duration.as_millis() as u64;
        for number in 0..end_ms * RATE / 1_000 {
            let at_ms = number * 1_000 / RATE + random.random_range(0..300);
            plan.ordinary(&mut random, at_ms);
        }
        for number in 0..end_ms.div_ceil(BURST_EVERY_MS) {
            plan.burst(&mut random, number);
        }
        match machines {
            Machines::One => plan.break_things(&mut random, duration),
            Machines::Cluster => {
                plan.break_nodes(&mut random, duration);
                let half = Fault { at_ms: end_ms / 2, kind: FaultKind::FailOver, lasts: TAKES_OVER };
                let before = plan.faults.partition_point(|fault| fault.at_ms < half.at_ms);
                plan.faults.insert(before, half);
            }
        }
        // Of its own: what else a seed means stays.
        plan.break_the_lake(&mut StdRng::seed_from_u64(seed ^ LAKE), duration);
        plan.posts.sort_by_key(|post| post.at_ms);
        plan
    }

    fn ordinary(&mut self, random: &mut StdRng, at_ms: u64) {
        let click = self.click(random, None, None);
        self.clicks[click].is_late = random.random_bool(0.02);
        let is_late = self.clicks[click].is_late;
        self.post(random, at_ms, click, is_late);
        if random.random_bool(0.1) {
            // Under the same id, by a clock that says something else.
            let later_ms = at_ms + random.random_range(0..4_000);
            self.post(random, later_ms, click, is_late);
        }
        if random.random_bool(0.2) {
            self.rival(random, click, at_ms);
        }
        if random.random_bool(0.05) {
            let repeat = self.click(random, None, None);
            for field in ["user_id", "ad_id", "campaign_id", "advertiser_id"] {
                self.clicks[repeat].body[field] = self.clicks[click].body[field].clone();
            }
            let later_ms = at_ms + random.random_range(0..2_000);
            self.post(random, later_ms, repeat, false);
        }
    }

    /// Many clicks of one address or of one user: more than are believed, or almost.
    fn burst(&mut self, random: &mut StdRng, number: u64) {
        let name: u32 = random.random();
        let (clicks, address, user) = match number % 4 {
            0 => (130, Some(format!("203.0.113.{}", name % 254 + 1)), None),
            // One network of a customer, who has all of its addresses.
            1 => (random.random_range(90..140), Some(format!("2001:db8:{:x}:1::", name % 0xffff)), None),
            2 => (70, None, Some(format!("busy_{name}"))),
            _ => (45, None, Some(format!("eager_{name}"))),
        };
        let begins_ms = number * BURST_EVERY_MS;
        for number in 0..clicks {
            let address = address.as_ref().map(|address| match address.strip_suffix("::") {
                Some(network) => format!("{network}::{number:x}"),
                None => address.clone(),
            });
            let click = self.click(random, address.as_deref(), user.as_deref());
            // Ads of their own: the same ad again would be a duplicate before it is anything else.
            self.clicks[click].body["ad_id"] = json!(format!("burst_{name}_{number}"));
            let clock_ms = random.random_range(-25_000..25_000);
            let at_ms = begins_ms + random.random_range(0..3_000);
            self.posts.push(Post { at_ms, click, clock_ms, gives_up_after: None });
            if random.random_bool(0.4) {
                self.rival(random, click, at_ms);
            }
        }
    }

    fn click(&mut self, random: &mut StdRng, address: Option<&str>, user: Option<&str>) -> usize {
        let id = Builder::from_random_bytes(random.random()).into_uuid();
        let mut body = traffic::click(random, 0.04);
        body["click_id"] = json!(id);
        let of_somebody =
            format!("10.{}.{}.{}", random.random::<u8>(), random.random::<u8>(), random.random::<u8>());
        body["ip_address"] = json!(address.unwrap_or(&of_somebody));
        match user {
            Some(user) => body["user_id"] = json!(user),
            None if random.random_bool(0.1) => body["user_id"] = Value::Null,
            None => {}
        }
        if random.random_bool(0.01) {
            body["user_agent"] = json!("");
        }
        let is_bound = random.random_bool(0.3);
        self.clicks.push(Click { id, body, is_late: false, is_bound });
        self.clicks.len() - 1
    }

    /// Another advertiser's key names the same user, ad and address, and often the same click id. Ads that
    /// are registered it may not name.
    fn rival(&mut self, random: &mut StdRng, click: usize, at_ms: u64) {
        let Click { id, body, .. } = &self.clicks[click];
        let (mut id, mut body) = (*id, body.clone());
        let others: Vec<&str> =
            ADVERTISERS.into_iter().filter(|of| Some(*of) != body["advertiser_id"].as_str()).collect();
        body["advertiser_id"] = json!(others.choose(random));
        body["campaign_id"] = json!("nobodys");
        if body["ad_id"].as_str().is_some_and(|ad| ad.starts_with("ad_")) {
            body["ad_id"] = json!("nobodys");
        }
        if random.random_bool(0.3) {
            id = Builder::from_random_bytes(random.random()).into_uuid();
            body["click_id"] = json!(id);
        }
        self.clicks.push(Click { id, body, is_late: false, is_bound: true });
        let number = self.clicks.len() - 1;
        let (at_ms, clock_ms) =
            (at_ms.saturating_add_signed(random.random_range(-500..500)), -random.random_range(0..2_000));
        self.posts.push(Post { at_ms, click: number, clock_ms, gives_up_after: None });
    }

    fn post(&mut self, random: &mut StdRng, at_ms: u64, click: usize, is_late: bool) {
        // Nothing between three and eight hours: there ends the window of live views.
        let clock_ms = match random.random_range(0..20) {
            _ if is_late => -random.random_range(25 * HOUR_MS..60 * HOUR_MS),
            0 => random.random_range(0..4 * MINUTE_MS),
            1 => random.random_range(6 * MINUTE_MS..48 * HOUR_MS),
            2 => -random.random_range(0..3 * HOUR_MS),
            3 => -random.random_range(8 * HOUR_MS..23 * HOUR_MS),
            _ => -random.random_range(0..2_000),
        };
        let gives_up = random.random_bool(0.05).then(|| random.random_range(0..20));
        let gives_up_after = gives_up.map(Duration::from_millis);
        self.posts.push(Post { at_ms, click, clock_ms, gives_up_after });
    }

    fn break_the_lake(&mut self, random: &mut StdRng, duration: Duration) {
        let mut at_ms = random.random_range(FAULT_EVERY_MS);
        while at_ms < duration.as_millis() as u64 {
            let (kind, longest_ms) = match random.random_range(0..5) {
                0 | 1 => (LakeFaultKind::Killed, 2_000),
                2 | 3 => (LakeFaultKind::Frozen, 4_000),
                _ => (LakeFaultKind::StoreAway, 2_000),
            };
            let lasts = Duration::from_millis(random.random_range(100..longest_ms));
            self.lake_faults.push(LakeFault { at_ms, kind, lasts });
            at_ms += lasts.as_millis() as u64 + random.random_range(FAULT_EVERY_MS);
        }
    }

    fn break_things(&mut self, random: &mut StdRng, duration: Duration) {
        let services = [Service::Nats, Service::Redis, Service::Database];
        let mut at_ms = random.random_range(FAULT_EVERY_MS);
        while at_ms < duration.as_millis() as u64 {
            let service = *services.choose(random).unwrap_or(&Service::Database);
            let slow = Wire::Slow(Duration::from_millis(random.random_range(5..200)));
            let kind = match random.random_range(0..10) {
                0..=2 => FaultKind::Aggregator(random.random_range(0..2)),
                3 => FaultKind::Server,
                4 | 5 => FaultKind::Service(service),
                6 => FaultKind::Wire(service, slow),
                7 if duration >= LONG => FaultKind::Wire(service, Wire::HalfOpen),
                _ => FaultKind::Wire(service, Wire::Cut),
            };
            let lasts = Duration::from_millis(random.random_range(100..2_000));
            self.faults.push(Fault { at_ms, kind, lasts });
            at_ms += lasts.as_millis() as u64 + random.random_range(FAULT_EVERY_MS);
        }
    }

    /// Nodes of clusters, for longer than it takes the others to notice; and what there is one of, as ever.
    fn break_nodes(&mut self, random: &mut StdRng, duration: Duration) {
        let mut at_ms = random.random_range(FAULT_EVERY_MS);
        while at_ms < duration.as_millis() as u64 {
            let of_a_broker: fn(usize) -> FaultKind = match random.random_range(0..4) {
                0 => |node| FaultKind::Broker(node, Trouble::Killed),
                1 => |node| FaultKind::Broker(node, Trouble::Frozen),
                2 => |node| FaultKind::CutOff(node, Wire::Cut),
                _ => |node| FaultKind::CutOff(node, Wire::HalfOpen),
            };
            let (kind, longest_ms) = match random.random_range(0..10) {
                0 => (FaultKind::Aggregator(random.random_range(0..2)), 2_000),
                1 => (FaultKind::Server, 2_000),
                2 => (FaultKind::Service(Service::Database), 2_000),
                3 => (FaultKind::Wire(Service::Database, Wire::Cut), 2_000),
                4..=7 => (of_a_broker(random.random_range(0..3)), 8_000),
                _ => {
                    let trouble = if random.random() { Trouble::Killed } else { Trouble::Frozen };
                    (FaultKind::Redis(random.random_range(0..3), trouble), 8_000)
                }
            };
            let lasts = Duration::from_millis(random.random_range(500..longest_ms));
            self.faults.push(Fault { at_ms, kind, lasts });
            at_ms += lasts.as_millis() as u64 + random.random_range(FAULT_EVERY_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan() {
        let draw = |seed, machines| {
            let plan = Plan::draw(seed, Duration::from_secs(90), machines);
            let ids: Vec<Uuid> = plan.clicks.iter().map(|click| click.id).collect();
            let posts: Vec<_> =
                plan.posts.iter().map(|post| (post.at_ms, post.click, post.clock_ms)).collect();
            (ids, posts, format!("{:?}{:?}", plan.faults, plan.lake_faults))
        };
        for machines in [Machines::One, Machines::Cluster] {
            assert_eq!(draw(1, machines), draw(1, machines));
            assert_ne!(draw(1, machines), draw(2, machines));
        }
    }
}
