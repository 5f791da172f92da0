//! Watches for incidents that no single batch can see, and ends those that are over.
//!
//! One aggregator at a time does so, a round a second: whoever holds a lock of the database's
//! session, which the database ends when nothing is heard of it for [`SILENT_FOR`]. All that is known of
//! incidents is in their rows, so the next one to hold it neither repeats nor forgets. Bursts of addresses
//! and users are not looked for here: the ledger opens them where it convicts.

mod broker;
mod campaigns;
mod database;
mod lake;
mod webhook;

use std::{pin::pin, time::Duration};

use anyhow::Context as _;
use async_nats::jetstream::Context;
use clickwire_ledger::incidents;
use clickwire_process::Backoff;
use clickwire_protocol::alerts::Kind;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use webhook::Webhook;

use self::{broker::Shortages, campaigns::Campaigns, database::Database};
use crate::{config::Config, feed::Feed};

/// Between rounds. An incident must be open within 5 s.
const ROUND_EVERY: Duration = Duration::from_secs(1);

/// A round that takes longer is given up.
const ROUND_WITHIN: Duration = Duration::from_secs(10);

/// A watcher that is silent for so long between two rounds is frozen or gone, and another one takes over.
const SILENT_FOR: Duration = Duration::from_secs(3);

/// Advisory lock: "clickwire alerts", an arbitrary number.
const LOCK: i64 = 0x636c_6b61;

/// The watchers.
pub(crate) struct Watch {
    pub(crate) database: PgPool,
    pub(crate) nats: Context,
    pub(crate) feed: Feed,
    pub(crate) config: Config,
}

/// The memory of one watcher between its rounds.
struct Rounds {
    campaigns: Campaigns,
    database: Database,
    shortages: Shortages,
    /// Time since which everything could be observed: an incident that was not seen before it may have gone on.
    since: Instant,
    /// The latest news that gateways were told of.
    announced: i64,
}

impl Watch {
    /// Watches until `stop` is cancelled; outages are waited out.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let outcome = tokio::select! {
                outcome = self.watch(&mut backoff) => outcome,
                () = stop.cancelled() => return Ok(()),
            };
            count_open(&[]);
            if let Err(error) = outcome {
                tracing::warn!(error = format!("{error:#}"), "alerts: nobody watches; will try again");
            }
            tokio::select! { () = backoff.wait() => {}, () = stop.cancelled() => return Ok(()) }
        }
    }

    /// Waits until it is our turn, then goes round until something breaks.
    async fn watch(&self, backoff: &mut Backoff) -> anyhow::Result<()> {
        let mut connection = self.database.acquire().await?;
        // The lock goes with the connection, whatever happens to us.
        connection.close_on_drop();
        let silent_for = format!("{}ms", SILENT_FOR.as_millis());
        let limit = sqlx::query("SELECT set_config('idle_session_timeout', $1, false)").bind(silent_for);
        timeout(ROUND_WITHIN, limit.execute(&mut *connection)).await??;
        let mut every = interval(ROUND_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let is_ours = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK);
            // Whoever waits its turn must find out, too, when the connection is gone without a word.
            if timeout(ROUND_WITHIN, is_ours.fetch_one(&mut *connection)).await?? {
                break;
            }
        }
        let mut rounds = Rounds {
            campaigns: Campaigns::default(),
            database: Database::default(),
            shortages: Shortages::default(),
            since: Instant::now(),
            announced: 0,
        };
        loop {
            every.tick().await;
            timeout(ROUND_WITHIN, self.round(&mut connection, &mut rounds))
                .await
                .context("a round took too long")??;
            backoff.reset();
        }
    }

    async fn round(&self, connection: &mut PgConnection, rounds: &mut Rounds) -> anyhow::Result<()> {
        let mut seen = vec![
            Kind::IpBurst,
            Kind::UserBurst,
            Kind::CampaignSpike,
            Kind::FraudRate,
            Kind::BackgroundJob,
            Kind::Rollups,
        ];
        let attachment = lake::attachment(connection).await?;
        let mut asked = pin!(broker::observe(&self.nats, &self.config, attachment, &mut rounds.shortages));
        let observed = loop {
            match timeout(ROUND_EVERY, &mut asked).await {
                Ok(observed) => break observed,
                // A broker that takes its time is no reason to be taken for frozen.
                Err(_) => connection.ping().await?,
            }
        };
        // What can't be asked now may still be so; when it can be asked again, time starts afresh.
        let mut observations = match observed {
            Ok(found) => {
                if !found.is_whole() {
                    rounds.since = Instant::now();
                }
                seen.extend(found.seen);
                found.observations
            }
            Err(error) => {
                rounds.since = Instant::now();
                tracing::debug!(%error, "alerts: the broker can't be asked");
                Vec::new()
            }
        };
        let mut transaction = connection.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = '5s'").execute(&mut *transaction).await?;
        observations.extend(rounds.campaigns.observe(&mut transaction).await?);
        observations.extend(rounds.database.observe(&mut transaction).await?);
        incidents::observe(&mut transaction, &observations).await?;
        let quiet = Duration::from_secs(self.config.alert_quiet_seconds);
        if rounds.since.elapsed() >= quiet {
            incidents::resolve(&mut transaction, &seen, quiet).await?;
        }
        incidents::forget(&mut transaction, self.config.incidents_kept()).await?;
        let (open, latest) = incidents::open(&mut transaction).await?;
        transaction.commit().await?;

        count_open(&open);
        if latest > rounds.announced && self.feed.announce_alerts(latest).await {
            rounds.announced = latest;
        }
        Ok(())
    }
}

/// Sets the numbers of open incidents by kind; a process that does not watch reports none.
fn count_open(open: &[(String, i64)]) {
    for kind in Kind::ALL {
        let count = open.iter().find(|(name, _)| name == kind.as_str()).map_or(0, |&(_, count)| count);
        metrics::gauge!("clickwire_alerts_open", "kind" => kind.as_str()).set(count as f64);
    }
}
