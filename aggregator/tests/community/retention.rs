//! Retention takes minutes, leaves hours and days, and nothing comes back to where it took them.

use clickwire_ledger::{Received, at, retention};
use clickwire_protocol::{MINUTE_MS, times::UnixMs};

use crate::{Deployment, HOUR_MS, fixture::click};

#[tokio::test]
async fn retention_takes_minutes_that_are_rolled_up_and_leaves_hours_and_days() {
    let mut installed = Deployment::start().await.unwrap();
    let retention_days = i64::from(installed.config.minutes_retention_days);
    let times = [installed.days_ago(retention_days + 5, 9), installed.days_ago(2, 9)];
    installed.count(&times).await.unwrap();
    installed.assert_consistent(2).await.unwrap();

    retention::create_chunks(&installed.database).await.unwrap();
    // Nothing is rolled up yet, so nothing goes.
    retention::drop_chunks(&installed.database, installed.config.kept()).await.unwrap();
    assert_eq!(installed.totals().await.unwrap(), (2, 2, 2));
    installed.roll_up(installed.now_ms).await.unwrap();
    retention::drop_chunks(&installed.database, installed.config.kept()).await.unwrap();
    assert_eq!(installed.totals().await.unwrap(), (1, 2, 2));
    installed.roll_up(installed.now_ms).await.unwrap();
    assert_eq!(installed.totals().await.unwrap(), (1, 2, 2));

    let ahead: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM timescaledb_information.chunks \
          WHERE hypertable_name IN ('clicks', 'click_minutes') AND range_start > now()",
    )
    .fetch_one(&installed.database)
    .await
    .unwrap();
    assert_eq!(ahead, 4, "tomorrow and the day after, for both");

    // Their own retention is another.
    installed.config.rollups_retention_days = installed.config.minutes_retention_days;
    retention::drop_chunks(&installed.database, installed.config.kept()).await.unwrap();
    let (_, hours, days) = installed.totals().await.unwrap();
    assert_eq!((hours, days), (1, 1));
}

/// No click gets to where minutes were dropped: too late by its claim, it is defective under its time of
/// receipt; received too long ago, it is a dead letter. And what gets there by hand changes no hour.
#[tokio::test]
async fn no_click_gets_where_retention_dropped_minutes() {
    let mut installed = Deployment::start().await.unwrap();
    let retention_days = i64::from(installed.config.minutes_retention_days);
    let (now, long_ago) = (installed.now_ms, installed.days_ago(retention_days + 5, 9));
    installed.count(&[long_ago, long_ago + MINUTE_MS, long_ago + 2 * MINUTE_MS, now]).await.unwrap();
    installed.roll_up(now).await.unwrap();
    retention::drop_chunks(&installed.database, installed.config.kept()).await.unwrap();
    assert_eq!(installed.totals().await.unwrap(), (1, 4, 4));

    let late = click(100, long_ago, now);
    let committed = installed.commit(&[Received { click: late, stream_seq: 100 }]).await.unwrap();
    let cell = &committed.cells["adv_001"][0];
    assert_eq!((cell.minute, cell.counts.defective), (UnixMs(now).minute(), 1));
    let oldest = UnixMs(now) - installed.config.stream_max_age().as_millis() as i64 - HOUR_MS;
    let replayed = serde_json::to_vec(&click(101, long_ago, long_ago)).unwrap();
    assert_eq!(
        clickwire_dead_letters::message::read(&replayed, UnixMs(now), oldest).unwrap_err().code(),
        "too_old"
    );
    sqlx::query(
        "INSERT INTO click_minutes (bucket, advertiser_id, campaign_id, ad_id, country, device_type, valid) \
         VALUES ($1, 'adv_001', 'camp_001', 'ad_001', 'DE', 'mobile', 1)",
    )
    .bind(at(UnixMs(long_ago)))
    .execute(&installed.database)
    .await
    .unwrap();
    for _ in 0..2 {
        assert_eq!(installed.totals().await.unwrap(), (2, 4, 4));
        installed.roll_up(now).await.unwrap();
    }
}
