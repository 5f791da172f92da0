//! A stream full of clicks, for an aggregator that is to be measured: what servers would have
//! published in a minute or so, straight to the broker and many at a time.

use std::collections::VecDeque;
use std::ops::Range;

use anyhow::{Context as _, ensure};
use async_nats::{
    ConnectOptions, Subject,
    jetstream::{ContextBuilder, message::PublishMessage},
};
use clap::Args;
use clickwire_process::{nats, now_ms};
use clickwire_protocol::{
    click::{Click, message_id},
    counts::Dimensions,
    ids::{AdId, AdvertiserId, CampaignId},
    stream::{DEFAULT_PARTITIONS, Names, partition_of},
    times::UnixMs,
};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio_util::sync::CancellationToken;
use uuid::Builder;

use crate::traffic;

/// Options: the stream and the clicks to publish on it.
#[derive(Args)]
pub struct Options {
    /// NATS, with the stream on it.
    #[arg(long, env = "CLICKWIRE_NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    nats_url: String,
    /// The stream's name.
    #[arg(long, env = "CLICKWIRE_STREAM", default_value = "CLICKS")]
    stream: String,
    /// Partitions of the stream.
    #[arg(long, env = "CLICKWIRE_PARTITIONS", default_value_t = DEFAULT_PARTITIONS)]
    partitions: u16,
    #[command(flatten)]
    mix: Mix,
    /// Number that the clicks are made from: the same one makes the same clicks.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args, Clone, Copy)]
struct Mix {
    /// Number of clicks.
    #[arg(long, default_value_t = 1_000_000)]
    clicks: u32,
    /// Ads, ten a campaign; ten campaigns an advertiser.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    ads: u32,
    /// Share of the clicks that one ad takes beside its own, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    viral: f64,
    /// Users, one and a half at each address on average.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    users: u32,
    /// The time in which the clicks happened, up to now, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Countries that tell operating system and browser, too, as if minutes were kept by these: what it would cost.
    #[arg(long)]
    systems: bool,
}

/// Acknowledgements waited for at the same time, at most.
const WINDOW: usize = 4_096;

/// The share of robots.
const ROBOTS: f64 = 0.02;

/// A part of a user agent that tells all those apart that there are here.
const SYSTEM: Range<usize> = 13..23;

/// From a click to its arrival, in milliseconds, at most.
const TRAVEL_MS: i64 = 500;

/// Publishes and returns when the broker has every click; an error if it had one of them before.
pub async fn run(options: &Options, stop: &CancellationToken) -> anyhow::Result<()> {
    let client = nats::connect(ConnectOptions::new(), &options.nats_url).await?;
    let stream = ContextBuilder::new().max_ack_inflight(WINDOW).backpressure_on_inflight(true).build(client);
    let names = Names::new(&options.stream);
    let subjects: Vec<Subject> =
        (0..options.partitions).map(|partition| names.subject(partition).into()).collect();
    let mut random = StdRng::seed_from_u64(options.seed);
    let ending_ms = now_ms();
    let mut waiting = VecDeque::with_capacity(WINDOW);
    for number in 0..options.mix.clicks {
        if stop.is_cancelled() {
            return Ok(());
        }
        if waiting.len() == WINDOW {
            stored(waiting.pop_front()).await?;
        }
        let click = click(&mut random, &options.mix, number, ending_ms);
        let partition = partition_of(click.click_id, options.partitions);
        let message = PublishMessage::build()
            .message_id(message_id(click.click_id, &click.advertiser_id))
            .payload(serde_json::to_vec(&click)?.into());
        waiting.push_back(stream.send_publish(subjects[usize::from(partition)].clone(), message).await?);
    }
    while !waiting.is_empty() {
        stored(waiting.pop_front()).await?;
    }
    Ok(())
}

async fn stored(waiting: Option<async_nats::jetstream::context::PublishAckFuture>) -> anyhow::Result<()> {
    if let Some(acknowledgement) = waiting {
        let acknowledgement = acknowledgement.await.context("is the stream there, and not full?")?;
        ensure!(!acknowledgement.duplicate, "the stream has these clicks already: take another --seed");
    }
    Ok(())
}

/// The `number`-th click: they happened one after the other until `ending_ms`.
fn click(random: &mut impl Rng, mix: &Mix, number: u32, ending_ms: i64) -> Click {
    let before = u64::from(mix.clicks - number) * u64::from(mix.seconds) * 1_000 / u64::from(mix.clicks);
    let received_at_ms = ending_ms - before as i64;
    let clicked_at_ms = received_at_ms - random.random_range(0..TRAVEL_MS);
    let ad = if random.random_bool(mix.viral) { 0 } else { random.random_range(0..mix.ads) };
    let user = random.random_range(0..mix.users);
    let (device_type, user_agent) = traffic::device(random, ROBOTS);
    let mut country = traffic::country(random).to_owned();
    if mix.systems {
        // As many values as agents, so as many minutes; not longer than the names of both would be.
        country.push_str(&user_agent[SYSTEM]);
    }
    let mut random_bytes = [0; 10];
    random.fill_bytes(&mut random_bytes);
    Click {
        // As the server makes them for posts without an id.
        advertiser_id: AdvertiserId::unchecked(format!("bench_adv_{:03}", ad / 100)),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked(format!("bench_camp_{:04}", ad / 10)),
            ad_id: AdId::unchecked(format!("bench_ad_{ad:05}")),
            country,
            device_type: device_type.parse().unwrap_or_default(),
        },
        user_id: Some(format!("user_{user}")),
        clicked_at_ms: UnixMs(clicked_at_ms),
        received_at_ms: UnixMs(received_at_ms),
        user_agent: user_agent.to_owned(),
        ip_hash: Some(address(user)),
        ..Click::bare(Builder::from_unix_timestamp_millis(received_at_ms as u64, &random_bytes).into_uuid())
    }
}

/// The hash of a user's address, as long as the real ones. Two of three share theirs with a neighbour.
fn address(user: u32) -> String {
    let address = u64::from(user / 3 * 2 + user % 3 / 2);
    let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) ^ number;
    format!("{:016x}{:016x}", spread(address), spread(!address))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    fn clicks(viral: f64) -> Vec<Click> {
        let mix = Mix { clicks: 10_000, ads: 1_000, viral, users: 3_000, seconds: 60, systems: false };
        let mut random = StdRng::seed_from_u64(1);
        (0..mix.clicks).map(|number| click(&mut random, &mix, number, 1_800_000_000_000)).collect()
    }

    #[test]
    fn clicks_are_distinct_recent_and_the_same_for_the_same_seed() {
        let made = clicks(0.0);
        assert_eq!(made, clicks(0.0));
        let ids: BTreeSet<Uuid> = made.iter().map(|click| click.click_id).collect();
        assert_eq!(ids.len(), made.len());
        for click in &made {
            assert!((1_799_999_939_500..=1_800_000_000_000).contains(&click.clicked_at_ms.0));
            assert!((0..TRAVEL_MS).contains(&(click.received_at_ms - click.clicked_at_ms)));
            assert_eq!(click.ip_hash.as_ref().map(String::len), Some(32));
        }
        let addresses: BTreeSet<_> = made.iter().filter_map(|click| click.ip_hash.clone()).collect();
        assert!((1_900..=2_000).contains(&addresses.len()), "{}", addresses.len());
    }

    #[test]
    fn a_viral_ad_takes_its_share() {
        let share = |clicks: &[Click]| {
            clicks.iter().filter(|click| click.dimensions.ad_id.as_str() == "bench_ad_00000").count() * 100
                / clicks.len()
        };
        assert_eq!(share(&clicks(0.0)), 0);
        assert!((88..=92).contains(&share(&clicks(0.9))));
    }
}
