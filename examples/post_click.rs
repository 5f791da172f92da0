//! Posts one click, again after a failure, and shows the answer.
//!
//!     INGEST_KEY=… cargo run --package clickwire-load --example post_click [URL]
//!
//! `cargo xtask status` prints the demo's INGEST_KEY. `clickwire_load::http` is a small client over hyper; any other
//! does as well.

#![expect(clippy::print_stdout, reason = "the answer is what it is for")]

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clickwire_load::http::Server;
use serde_json::json;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const ATTEMPTS: u32 = 6;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let key =
        std::env::var("INGEST_KEY").context("set INGEST_KEY to a key that clicks may be posted with")?;
    // The id makes the post repeatable: sent again with the same id, it is the same click and counted once.
    let click = json!({
        "click_id": Uuid::now_v7(),
        "advertiser_id": "adv_001",
        "campaign_id": "camp_001",
        "ad_id": "ad_001",
        // Your server posts for a person, so it says whose browser it was: without these the click would seem to be
        // made by this program, which is a robot and not billed.
        "user_id": format!("user-{}", Uuid::now_v7()),
        "ip_address": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    });
    let mut connection = Server::new(&url, &key)?.connection();
    for attempt in 1..=ATTEMPTS {
        let answer =
            timeout(Duration::from_secs(10), connection.post("/api/v1/clicks", click.to_string().into()))
                .await;
        match answer {
            Ok(Ok((status, body))) if status.is_success() => {
                println!("{}", String::from_utf8_lossy(&body));
                return Ok(());
            }
            // 429 and 503 ask to come again; every other refusal is final.
            Ok(Ok((status, body))) if !matches!(status.as_u16(), 429 | 503) => {
                bail!("{status}: {}", String::from_utf8_lossy(&body));
            }
            Ok(Ok(_) | Err(_)) | Err(_) => sleep(Duration::from_millis(100 << attempt)).await,
        }
    }
    bail!("{url}: not taken in {ATTEMPTS} attempts")
}
