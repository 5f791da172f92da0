//! `clickwire-aggregator reconcile`: compares a range when somebody asks, and prints what differs.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use clickwire_ledger::{
    at, deployment,
    primary::Database,
    reconcile::{Difference, kept_from},
    schema,
};
use clickwire_protocol::counts::{Counts, Disposition};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Outcome, Reconciliation, minutes};
use crate::{config::Config, feed::Feed, health::Health};

/// Differences are left, or were not to be repaired.
const DIFFERENT: u8 = 1;

/// The exit status of a command that could not be done; what the command line parser answers to nonsense, too.
const FAILED: u8 = 2;

/// Compares the buckets of `[from, to)`, widened to whole minutes, with the ledger.
pub async fn command(config: &Config, from: OffsetDateTime, to: OffsetDateTime, repair: bool) -> ExitCode {
    match reconcile(config, from, to, repair).await {
        Ok(outcome) if outcome.left == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(DIFFERENT),
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn reconcile(
    config: &Config,
    from: OffsetDateTime,
    to: OffsetDateTime,
    repair: bool,
) -> anyhow::Result<Outcome> {
    let (from, to) = minutes(from, to, OffsetDateTime::now_utc())
        .context("--from must be before --to, and nothing is counted later than tomorrow")?;
    let database = schema::connect(&Database::open(&config.database_url).await?, 1);
    let mut connection = database.acquire().await.context("database")?.detach();
    deployment::claim(&mut connection, &config.names()).await?;
    let kept_from = kept_from(&mut connection, config.recountable_days()).await?;
    ensure!(
        from >= kept_from,
        "ledger and minutes are whole only from {} on: before, there is nothing to recount from",
        kept_from.format(&Rfc3339)?
    );
    // Nobody asks for this health; what it logs is seen.
    let metrics = clickwire_process::metrics::record(CancellationToken::new());
    let health = Arc::new(Health::new(0, watch::channel(None).1, metrics));
    let (names, feed) = (config.names(), Feed::new(&config.redis_url, &config.redis_prefix, health)?);
    let mut out = io::stdout();
    writeln!(
        out,
        "{:<20}  {:<16} {:<16} {:<16} {:<2} {:<8} {:>20}  {:>20}",
        "minute", "advertiser", "campaign", "ad", "", "device", "stands", "ledger"
    )?;
    let outcome = Reconciliation { names: &names, feed: &feed, from, to, repair }
        .run(&mut connection, "command", |difference| writeln!(io::stdout(), "{}", line(difference)))
        .await?;
    // The task that does so while an aggregator counts does not run here.
    feed.renew_to_the_end().await;
    writeln!(
        out,
        "{} to {}: {} differences, {} repaired, {} left ({})",
        from.format(&Rfc3339)?,
        to.format(&Rfc3339)?,
        outcome.differences,
        outcome.repaired(),
        outcome.left,
        Disposition::ALL.map(Disposition::as_str).join("/"),
    )?;
    Ok(outcome)
}

fn line(difference: &Difference) -> String {
    let (advertiser, minute, dimensions) = &difference.key;
    let minute = at(minute.start()).format(&Rfc3339).unwrap_or_default();
    format!(
        "{minute:<20}  {advertiser:<16} {:<16} {:<16} {:<2} {:<8} {:>20}  {:>20}",
        dimensions.campaign_id,
        dimensions.ad_id,
        dimensions.country,
        dimensions.device_type.as_str(),
        difference.stands.as_ref().map_or_else(|| "none".to_owned(), slashed),
        slashed(&difference.ledger),
    )
}

fn slashed(counts: &Counts) -> String {
    Disposition::ALL.map(|disposition| counts.get(disposition).to_string()).join("/")
}
