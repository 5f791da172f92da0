//! Many takers at once, and the end.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clickwire_protocol::times::UnixMs;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    Condition, Refusal, Spool, Waiting,
    store::{Error, Store},
};
use crate::intake::disk::Disk;

const PATIENCE: Duration = Duration::from_secs(60);

fn waiting(number: u128) -> Waiting {
    Waiting {
        click_id: Uuid::from_u128(number + 1),
        received_at_ms: UnixMs(number as i64),
        payload: Bytes::from(vec![7; 400]),
    }
}

fn open(path: &Path) -> Spool {
    Spool::open(path, 1 << 30).unwrap()
}

/// Takers at the same time: their clicks share commits, or the disk would set the rate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takers_that_wait_share_a_commit() {
    const TAKERS: u128 = 64;
    const EACH: u128 = 50;
    let folder = TempDir::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let measured = recorder.handle();
    let (jobs, queue) = tokio::sync::mpsc::channel(super::QUEUE);
    let path = folder.path().join("spool");
    let (writer, state) = super::Writer::new(Box::new(move || Store::open(&path, 1 << 30))).unwrap();
    std::thread::spawn(move || metrics::with_local_recorder(&recorder, || writer.run(queue)));
    let spool = Arc::new(Spool { jobs, state });
    let started = Instant::now();
    let takers = (0..TAKERS).map(|taker| {
        let spool = spool.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                spool.add(waiting(taker * EACH + number), PATIENCE).await.unwrap();
            }
        })
    });
    for taker in join_all(takers).await {
        taker.unwrap();
    }
    let elapsed = started.elapsed();
    let clicks = spool.state().clicks;
    assert_eq!(u128::from(clicks), TAKERS * EACH);
    let rendered = measured.render();
    let commits =
        rendered.lines().find_map(|line| line.strip_prefix("clickwire_spool_commit_seconds_count "));
    let commits: u64 = commits.unwrap().parse().unwrap();
    println!("{clicks} clicks in {commits} commits, {:.0} clicks/s", clicks as f64 / elapsed.as_secs_f64());
    assert!(commits < clicks / 4, "{commits} commits for {clicks} clicks");
}

/// Clicks that wait when the server ends are written and answered; later ones are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_commits_and_answers_what_waits() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("spool");
    let spool = open(&path);
    let takers = (0..200).map(async |number| (number, spool.add(waiting(number), PATIENCE).await));
    let (answers, ()) = tokio::join!(join_all(takers), spool.close());
    assert_eq!(spool.add(waiting(200), PATIENCE).await, Err(Refusal::Broken));
    let spool = open(&path);
    let mut kept: Vec<_> =
        spool.oldest(usize::MAX).await.unwrap().iter().map(|(_, click)| click.received_at_ms.0).collect();
    kept.sort_unstable();
    let taken: Vec<_> =
        answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(number, _)| *number as i64).collect();
    assert!(taken.len() > 50, "{answers:?}");
    assert_eq!(kept, taken);
}

#[tokio::test]
async fn what_is_removed_is_gone_and_the_state_says_so() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder.path().join("spool"));
    for number in 0..3 {
        spool.add(waiting(number), PATIENCE).await.unwrap();
    }
    assert!(spool.has_work().await);
    let oldest = spool.oldest(2).await.unwrap();
    spool.remove(oldest.into_iter().map(|(number, _)| number).collect()).await.unwrap();
    assert_eq!((spool.state().clicks, spool.state().oldest), (1, Some(UnixMs(2))));
}

/// A disk that fails is tried again, and what was taken before is still there.
#[tokio::test]
async fn a_broken_spool_refuses_and_works_again() {
    let disk = Disk::default();
    let opened = disk.clone();
    let spool = Spool::on(Box::new(move || {
        Store::on(opened.clone(), 1 << 20).map_err(|error| Error::Database(error.into()))
    }))
    .unwrap();
    spool.add(waiting(0), PATIENCE).await.unwrap();
    disk.power(Some(0));
    assert_eq!(spool.add(waiting(1), PATIENCE).await, Err(Refusal::Broken));
    assert_eq!((spool.state().condition, spool.state().clicks), (Condition::Broken, 1));
    disk.power(None);
    // It is opened again by whatever is asked of it, a second later.
    while spool.add(waiting(2), PATIENCE).await.is_err() {
        tokio::task::yield_now().await;
    }
    let kept: Vec<_> = spool.oldest(9).await.unwrap().into_iter().map(|(_, click)| click).collect();
    assert_eq!(kept, [waiting(0), waiting(2)]);
    assert_eq!(spool.state().condition, Condition::Up);
}

/// The file is damaged while the drain has clicks of it on their way. What it removes when they are
/// acknowledged is those, not what was taken since under the same numbers.
#[tokio::test]
async fn a_drain_that_outlives_its_file_removes_nothing_else() {
    let (first, second) = (Disk::default(), Disk::default());
    let disks = [first.clone(), second];
    let opened = std::sync::atomic::AtomicUsize::new(0);
    // As after damage: the second time another, empty file is opened.
    let spool = Spool::on(Box::new(move || {
        let disk = &disks[opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed).min(1)];
        Store::on(disk.clone(), 1 << 20).map_err(|error| Error::Database(error.into()))
    }))
    .unwrap();
    for number in 0..3 {
        spool.add(waiting(number), PATIENCE).await.unwrap();
    }
    let on_their_way: Vec<_> = spool.oldest(9).await.unwrap().into_iter().map(|(number, _)| number).collect();
    first.power(Some(0));
    assert_eq!(spool.add(waiting(3), PATIENCE).await, Err(Refusal::Broken));
    for number in 4..7 {
        while spool.add(waiting(number), PATIENCE).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    spool.remove(on_their_way).await.unwrap();
    let kept: Vec<_> = spool.oldest(9).await.unwrap().into_iter().map(|(_, click)| click).collect();
    assert_eq!(kept, [waiting(4), waiting(5), waiting(6)]);
}
