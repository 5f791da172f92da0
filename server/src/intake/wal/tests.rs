//! What is made of a log that was left behind, without a broker.

use std::fs;

use bytes::Bytes;
use clap::Parser as _;
use clickwire_protocol::{click::Click, times::UnixMs};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_hours(1);

fn click(number: u128, received_at_ms: i64) -> Bytes {
    let click = Click { received_at_ms: UnixMs(received_at_ms), ..Click::bare(Uuid::from_u128(number + 1)) };
    serde_json::to_vec(&click).unwrap().into()
}

/// A broker that is away.
async fn broker() -> Broker {
    let config = Config::parse_from([
        "clickwire-server",
        "--ingest-keys=0123456789abcdef",
        "--ip-hash-key=0123456789abcdef",
        "--nats-url=nats://127.0.0.1:1",
    ]);
    Broker::connect(&config).await.unwrap()
}

#[tokio::test]
async fn what_was_left_waits_for_the_broker_and_what_is_lost_is_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wal");
    let (mut ring, _) = Ring::open(&path).unwrap();
    let old = now_ms() - HOUR.as_millis() as i64 - 1_000;
    for (number, received_at_ms) in [(0, now_ms()), (1, now_ms()), (2, old), (3, now_ms())] {
        ring.append([click(number, received_at_ms)].iter(), 0).unwrap().unwrap();
    }
    drop(ring);
    // The second one's frame.
    let mut file = fs::read(&path).unwrap();
    let damaged = Uuid::from_u128(2).to_string();
    let at = file.windows(damaged.len()).position(|bytes| bytes == damaged.as_bytes()).unwrap();
    file[at] ^= 1;
    fs::write(&path, file).unwrap();

    let losses = Losses::default();
    let wal = Wal::open(&path, &broker().await, PATIENCE, HOUR, &losses).unwrap();
    assert_eq!(losses.total(), 2);
    // The oldest that waits, and all behind it.
    assert_eq!(wal.state().clicks, 4);
    wal.close().await;
    let (_, left) = Ring::open(&path).unwrap();
    let numbers: Vec<_> = left.clicks.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, left.missing), (vec![0, 2, 3], 1), "they are still there");
}

#[tokio::test]
async fn what_is_too_old_is_lost_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wal");
    let (mut ring, _) = Ring::open(&path).unwrap();
    ring.append([click(0, 0)].iter(), 0).unwrap().unwrap();
    drop(ring);
    for lost in [1, 0] {
        let losses = Losses::default();
        let wal = Wal::open(&path, &broker().await, PATIENCE, HOUR, &losses).unwrap();
        assert_eq!((losses.total(), wal.state().clicks), (lost, 0));
        wal.close().await;
    }
}

#[tokio::test]
async fn a_click_is_not_taken_behind_others_that_nobody_takes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wal");
    let (broker, losses) = (broker().await, Losses::default());
    let wal = Wal::open(&path, &broker, PATIENCE, HOUR, &losses).unwrap();
    let addressed = |number| {
        let click = click(number, now_ms());
        let stored = Stored::read(&click);
        broker.addressed(stored.name(), click)
    };
    // Nobody knows yet that the broker is away.
    wal.add(addressed(1), true, PATIENCE).await.unwrap();
    let mut number = 2;
    while wal.add(addressed(number), true, PATIENCE).await.is_ok() {
        number += 1;
        assert!(number < 1_000, "it is never behind");
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(wal.add(addressed(number + 1), true, PATIENCE).await, Err(Refusal::Behind));
    assert_eq!(wal.state(), State { condition: Condition::Behind, clicks: number as u64 - 1 });
    wal.close().await;
    assert_eq!(Ring::open(&path).unwrap().1.clicks.len() as u128, number - 1);
    let again = Wal::open(&folder.path().join("other"), &broker, PATIENCE, HOUR, &losses).unwrap();
    again.close().await;
    assert_eq!(again.add(addressed(1), true, PATIENCE).await, Err(Refusal::Broken));
}
