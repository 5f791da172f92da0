//! `clickwire-lake restore`: sends clicks of the lake through the stream again.
//!
//! A click goes under its own id, so the ledger counts it if it does not have it, and else refuses it as a
//! resend. The message is marked: the lake, which has the click, takes it for no new one.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use async_nats::{
    HeaderMap,
    jetstream::{Context, context::PublishAckFuture},
};
use clickwire_dead_letters::message;
use clickwire_process::now_ms;
use clickwire_protocol::{
    click::{Click, message_id},
    stream::partition_of,
    times::UnixMs,
};
use time::OffsetDateTime;

use super::{broker, clicks};
use crate::{archive::RESTORED, catalog::Catalog, columns, config::Config, counted::micros, rows};

/// Clicks on their way to the broker.
const UNDER_WAY: usize = 256;

#[expect(clippy::print_stdout, reason = "what the command is asked for")]
pub(super) async fn command(
    config: &Config,
    from: OffsetDateTime,
    to: OffsetDateTime,
) -> anyhow::Result<ExitCode> {
    ensure!(from < to, "--from must be before --to");
    let oldest = message::oldest(UnixMs(now_ms()), config.stream_max_age());
    ensure!(
        micros(from) / 1_000 >= oldest.0,
        "--from: what was received more than {} days ago can't be counted again",
        config.stream_max_age_days + 1
    );
    let catalog = Catalog::connect(config).await?;
    let (table, objects) = clicks(config, &catalog).await?;
    let nats = broker(config).await?;
    let (from_us, to_us) = (micros(from), micros(to));
    let mut sent = 0_u64;
    for file in table.files_between(&objects, from_us, to_us).await? {
        for batch in columns::batches(objects.get(file.file_path()).await?)? {
            let mut clicks: Vec<Click> = rows::rows(&batch?)?.into_iter().map(|row| row.click).collect();
            clicks.retain(|click| (from_us..to_us).contains(&(click.received_at_ms.0 * 1_000)));
            for clicks in clicks.chunks(UNDER_WAY) {
                send(&nats, config, clicks).await?;
            }
            sent += clicks.len() as u64;
        }
    }
    println!("{sent} clicks sent");
    Ok(ExitCode::SUCCESS)
}

async fn send(nats: &Context, config: &Config, clicks: &[Click]) -> anyhow::Result<()> {
    let names = config.names();
    let mut stored: Vec<PublishAckFuture> = Vec::with_capacity(clicks.len());
    for click in clicks {
        let partition = partition_of(click.click_id, config.partitions);
        let mut headers = HeaderMap::new();
        headers.insert(RESTORED, "1");
        // Another id than the click had: the broker may still know that one, and would drop the message.
        headers.insert(
            "Nats-Msg-Id",
            format!("{}/restored", message_id(click.click_id, &click.advertiser_id)).as_str(),
        );
        let payload = serde_json::to_vec(click)?.into();
        stored.push(nats.publish_with_headers(names.subject(partition), headers, payload).await?);
    }
    for stored in stored {
        stored
            .await
            .context("the broker has not taken a click; clicks that it has taken are counted once")?;
    }
    Ok(())
}
