//! Posts one click, again after a failure, and shows the answer.
//!
//!     INGEST_KEY=… cargo run --package clickwire-client --example post_click [URL]
//!
//! `cargo xtask status` prints the demo's INGEST_KEY.

#![expect(clippy::print_stdout, reason = "the answer is what it is for")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_client::{NewClick, Server};
use clickwire_protocol::ids::{AdId, AdvertiserId, CampaignId};
use tokio::time::Instant;
use uuid::Uuid;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let key =
        std::env::var("INGEST_KEY").context("set INGEST_KEY to a key that clicks may be posted with")?;
    let click = NewClick {
        // Your server posts for a person, so it says whose browser it was: without these the click would seem to be
        // made by this program, which is a robot and not billed.
        user_id: Some(format!("user-{}", Uuid::now_v7())),
        ip_address: Some("203.0.113.7".parse()?),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0".to_owned()),
        // The click has an id, which makes the post repeatable: sent again it is the same click and counted once.
        ..NewClick::new(
            AdvertiserId::unchecked("adv_001"),
            CampaignId::unchecked("camp_001"),
            AdId::unchecked("ad_001"),
        )
    };
    let mut server = Server::new(&url, &key)?.with_patience(Duration::from_secs(10)).connection();
    let answer = server.post_click_until(Instant::now() + Duration::from_secs(30), &click).await?;
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}
