//! Clicks while there is no broker: who is told what, and what is kept.

use clap::Parser as _;
use clickwire_protocol::{
    click::{Click, UNKNOWN_COUNTRY},
    counts::{DeviceType, Dimensions},
    ids::{AdId, AdvertiserId, CampaignId},
    times::UnixMs,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{ClientRetry, Condition, Intake, Taken, error::IntakeError};
use crate::{config::Config, http::error::Error};

fn is_unacknowledged(taken: Result<Taken, Error>) -> bool {
    taken.is_err_and(|error| matches!(error.of_wing(), Some(IntakeError::Broker { .. })))
}

/// An intake whose broker is away.
async fn intake(folder: &TempDir, flags: &[&str]) -> Intake {
    let always = [
        "clickwire-server",
        "--ingest-keys=0123456789abcdef",
        "--ip-hash-key=0123456789abcdef",
        "--nats-url=nats://127.0.0.1:1",
    ];
    let mut config = Config::parse_from([&always[..], flags].concat());
    if config.spool().is_some() {
        config.spool = folder.path().join("spool.redb");
    }
    let stop = CancellationToken::new();
    // Nothing is sent: what it holds stays.
    stop.cancel();
    Intake::start(&config, &stop).await.unwrap()
}

fn click(number: u128) -> Click {
    Click {
        advertiser_id: AdvertiserId::unchecked("adv_001"),
        dimensions: Dimensions {
            campaign_id: CampaignId::unchecked("camp_001"),
            ad_id: AdId::unchecked(format!("ad_{number:03}")),
            country: UNKNOWN_COUNTRY.into(),
            device_type: DeviceType::Other,
        },
        clicked_at_ms: UnixMs(number as i64),
        received_at_ms: UnixMs(number as i64),
        user_agent: "Mozilla/5.0".into(),
        ..Click::bare(Uuid::from_u128(number + 1))
    }
}

#[tokio::test]
async fn a_browsers_click_waits_on_the_disk_and_outlives_a_restart() {
    let folder = TempDir::new().unwrap();
    let before = intake(&folder, &[]).await;
    for number in 0..3 {
        assert_eq!(before.take(&click(number), ClientRetry::FireAndForget).await.unwrap(), Taken::Spooled);
    }
    // A program can come again, and nobody has said that it need not.
    assert!(is_unacknowledged(before.take(&click(3), ClientRetry::Retries).await));
    assert_eq!((before.lost(), before.spool().unwrap().clicks), (0, 3));
    before.close().await;

    let after = intake(&folder, &["--spool-posts"]).await;
    assert_eq!(after.take(&click(3), ClientRetry::Retries).await.unwrap(), Taken::Spooled);
    assert_eq!(after.spool().unwrap().clicks, 4);
    after.close().await;
    assert_eq!(after.take(&click(4), ClientRetry::FireAndForget).await.unwrap(), Taken::Lost);
}

#[tokio::test]
async fn without_room_a_browser_goes_on_and_its_click_is_counted_as_lost() {
    let folder = TempDir::new().unwrap();
    let intake = intake(&folder, &["--spool-max-bytes=65536", "--spool-posts"]).await;
    let mut taken = 0;
    while intake.take(&click(taken), ClientRetry::FireAndForget).await.unwrap() == Taken::Spooled {
        taken += 1;
    }
    assert!(taken > 50, "{taken}");
    assert_eq!(intake.take(&click(taken), ClientRetry::FireAndForget).await.unwrap(), Taken::Lost);
    assert!(is_unacknowledged(intake.take(&click(taken), ClientRetry::Retries).await));
    assert_eq!(intake.lost(), 2);
    let state = intake.spool().unwrap();
    assert_eq!((u128::from(state.clicks), state.condition), (taken, Condition::Full));
    assert!(!intake.is_ready(ClientRetry::Retries));
}

#[tokio::test]
async fn without_a_spool_a_browser_goes_on_and_its_click_is_counted_as_lost() {
    let folder = TempDir::new().unwrap();
    let intake = intake(&folder, &["--spool=off"]).await;
    assert_eq!(intake.take(&click(1), ClientRetry::FireAndForget).await.unwrap(), Taken::Lost);
    assert!(is_unacknowledged(intake.take(&click(2), ClientRetry::Retries).await));
    assert_eq!((intake.lost(), intake.spool()), (1, None));
}

#[tokio::test]
async fn a_spool_that_another_server_has_keeps_a_server_from_starting() {
    let folder = TempDir::new().unwrap();
    let _first = intake(&folder, &[]).await;
    let spool = folder.path().join("spool.redb").display().to_string();
    let flags = ["clickwire-server", "--ip-hash-key=0123456789abcdef", "--spool", &spool];
    let second = Intake::start(&Config::parse_from(flags), &CancellationToken::new()).await;
    let error = format!("{:#}", second.err().unwrap());
    assert_eq!(error, format!("CLICKWIRE_SPOOL: {spool}: another server uses it; each needs one of its own"));
}
