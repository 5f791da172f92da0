//! The demonstration's traffic, as `cargo xtask up` starts it.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use clickwire_e2e::{Buckets, Stack, eventually};
use clickwire_load::demo;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: demo::Options,
}

/// A page that is opened then shows an hour without a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_that_it_is_ready_when_its_history_is_counted() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    let folder = TempDir::new()?;
    let (url, ready) = (stack.server_url().to_owned(), folder.path().join("filled"));
    for run in ["empty", "filled before"] {
        let arguments = Arguments::try_parse_from([
            "demo",
            "--server",
            &url,
            "--ingest-key",
            Stack::ingest_key(),
            "--admin-token",
            Stack::admin_token(),
            "--rate",
            "2",
            "--history-minutes",
            "10",
            "--ready-file",
            &ready.display().to_string(),
        ])?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let demo = tokio::spawn(async move { demo::run(&arguments.options, &stopped).await });
        eventually("it is ready", Duration::from_secs(40), async || ready.exists().then_some(())).await?;
        let counted = stack.received(Buckets::Minutes).await?;
        // Two a second, in waves.
        ensure!(counted >= 900, "{run}: {counted} clicks are counted");
        stop.cancel();
        demo.await??;
        std::fs::remove_file(&ready)?;
    }
    ensure!(stack.received(Buckets::Minutes).await? < 1_800, "a history is made once");
    Ok(())
}
