//! A user is erased from compressed chunks, too, which the Apache licence has none of.

use anyhow::{Result, ensure};
use clickwire_ledger::{
    Received,
    erasure::{self, Order},
};
use clickwire_protocol::ids::AdvertiserId;
use time::OffsetDateTime;

use crate::{COMPRESSION, Deployment, MINUTE_MS, fixture::click, pglite::run_policy};

/// A user's clicks of an old day: the first, its repetition, and one of somebody else.
async fn count_old_clicks(installed: &mut Deployment) -> Result<()> {
    let at_ms = installed.days_ago(16, 12);
    let received = |(number, user): (u128, &str)| {
        let at_ms = at_ms + number as i64;
        let of_user = Some(user.to_owned());
        let click =
            clickwire_protocol::click::Click { user_id: of_user, ..click(number, at_ms, at_ms + MINUTE_MS) };
        Received { click, stream_seq: number as u64 }
    };
    let batch: Vec<Received> = [(1, "anna"), (2, "anna"), (3, "berta")].into_iter().map(received).collect();
    ensure!(installed.commit(&batch).await?.counted == 3);
    Ok(())
}

async fn rows(installed: &Deployment) -> Result<Vec<(String, String)>> {
    let rows = "SELECT user_id, disposition::text FROM clicks ORDER BY click_id";
    Ok(sqlx::query_as(rows).fetch_all(&installed.database).await?)
}

#[tokio::test]
async fn a_user_is_erased_from_compressed_clicks() {
    let mut installed = Deployment::start().await.unwrap();
    count_old_clicks(&mut installed).await.unwrap();
    let before = rows(&installed).await.unwrap();
    assert_eq!(before[1], ("anna".to_owned(), "duplicate".to_owned()));
    run_policy(&installed.database, COMPRESSION, "clicks").await.unwrap();
    let compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'clicks' AND is_compressed";
    let compressed: i64 = sqlx::query_scalar(compressed).fetch_one(&installed.database).await.unwrap();
    assert_eq!(compressed, 1);

    let (advertiser_id, names) = (AdvertiserId::unchecked("adv_001"), installed.config.names());
    let order = Order {
        advertiser_id: &advertiser_id,
        user_id: "anna",
        user_mac: b"a code",
        actor: "a test",
        reason: "r",
    };
    let mut transaction = installed.database.begin().await.unwrap();
    let erasure = erasure::begin(&mut transaction, &order).await.unwrap();
    let mut since = OffsetDateTime::UNIX_EPOCH;
    let mut parts = Vec::new();
    while let Some(part) =
        erasure::erase_some(&mut transaction, &names, &order, &erasure, since).await.unwrap()
    {
        parts.push(part.clicks);
        since = part.next;
    }
    let totals = erasure::finish(&mut transaction, &order, &erasure, 0).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((parts, totals.clicks), (vec![2], 2));

    let stand_in = erasure.stand_in();
    let expected = [(stand_in.clone(), "valid"), (stand_in, "duplicate"), ("berta".to_owned(), "valid")];
    let expected: Vec<(String, String)> = expected.map(|(user, judged)| (user, judged.to_owned())).into();
    assert_eq!(rows(&installed).await.unwrap(), expected);
    // Compressed again, as the policy does it, nothing has changed.
    run_policy(&installed.database, COMPRESSION, "clicks").await.unwrap();
    assert_eq!(rows(&installed).await.unwrap(), expected);
}
