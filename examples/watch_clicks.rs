//! Keeps one view of clicks by minute and campaign, and prints its total when it changes, across restarts of the server.
//!
//!     VIEWER_TOKEN=… cargo run --package clickwire-client --example watch_clicks [URL]
//!
//! `cargo xtask status` prints the demo's VIEWER_TOKEN.

#![expect(clippy::print_stdout, reason = "what it watches is what it is for")]

use anyhow::{Context as _, Result};
use clickwire_client::{Server, Watch};
use clickwire_protocol::{
    analytics::Dimension,
    ids::AdvertiserId,
    live::{Filters, View},
};

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let token = std::env::var("VIEWER_TOKEN").context("set VIEWER_TOKEN to a token that opens adv_001")?;
    let view = View {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        filters: Filters::default(),
        group_by: vec![Dimension::CampaignId],
        window_minutes: 60,
    };
    let mut watch = Watch::new(Server::new(&url, &token)?, view);
    loop {
        watch.update().await?;
        println!("now: {} billable clicks in the last hour", watch.state().total().valid);
    }
}
