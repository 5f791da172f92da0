//! The first view of an advertiser who has never been here: how much comes over the wire, and when it can be used.

use anyhow::{Context as _, Result, ensure};
use clickwire_e2e::Stack;
use serde_json::Value;

use super::Browser;
use crate::live;

/// Bytes over the wire until the first view, at most.
const MAX_BYTES: u64 = 300_000;

/// Waits for live numbers; tells the time since the navigation began, in milliseconds, and what has come meanwhile.
const FIRST_VIEW: &str = "
    const done = arguments[arguments.length - 1];
    const look = () => {
        if (document.querySelector('[data-testid=connection][data-state=live]') && document.querySelector('[data-testid=kpi-clicks]')) {
            const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
            done({ms: performance.now(), files: all.map(file => [new URL(file.name).pathname, file.encodedBodySize])});
        } else requestAnimationFrame(look);
    };
    look();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_view_is_small() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    live::post(&stack, 60).await?;
    live::counted(&stack, 60).await?;
    // A profile of its own: nothing is cached.
    let browser = Browser::start().await?;
    browser.visit(&stack, "/", &Stack::viewer_token("adv_001")).await?;
    let seen = browser.client.execute_async(FIRST_VIEW, vec![]).await?;
    let files = seen["files"].as_array().context("no files")?;
    let bytes: u64 = files.iter().filter_map(|file| file[1].as_u64()).sum();
    println!("first view: {} ms, {bytes} bytes", seen["ms"].as_f64().unwrap_or_default().round());
    ensure!(
        files.iter().any(|file| file[0].as_str().is_some_and(|name| name.ends_with(".wasm"))),
        "{files:?}"
    );
    ensure!(
        bytes <= MAX_BYTES,
        "{bytes} bytes: {:?}",
        files.iter().map(Value::to_string).collect::<Vec<_>>()
    );
    Ok(())
}
