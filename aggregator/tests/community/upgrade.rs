//! A deployment that has compressed chunks already takes the migrations that change the ledger.

use sqlx::{AssertSqlSafe, PgPool};

use crate::{COMPRESSION, pglite, pglite::run_policy};

/// Before click ids were names within an advertiser.
const BEFORE: [&str; 15] = [
    include_str!("../../../migrations/0001_entities.sql"),
    include_str!("../../../migrations/0002_ledger.sql"),
    include_str!("../../../migrations/0003_buckets.sql"),
    include_str!("../../../migrations/0004_rules.sql"),
    include_str!("../../../migrations/0005_dead_letters.sql"),
    include_str!("../../../migrations/0006_uniques.sql"),
    include_str!("../../../migrations/0007_alerts.sql"),
    include_str!("../../../migrations/0008_finality.sql"),
    include_str!("../../../migrations/0009_redirects.sql"),
    include_str!("../../../migrations/0010_judged.sql"),
    include_str!("../../../migrations/0011_api_keys.sql"),
    include_str!("../../../migrations/0012_room_in_minutes.sql"),
    include_str!("../../../migrations/0013_accounts.sql"),
    include_str!("../../../migrations/0014_tenants.sql"),
    include_str!("../../../migrations/0015_reader.sql"),
];
const NAMES: &str = include_str!("../../../migrations/0016_names_within_advertisers.sql");

/// A click of so many days ago, with a fixed id.
async fn insert(database: &PgPool, advertiser: &str, days: i32) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO clicks (click_id, clicked_at, received_at, advertiser_id, campaign_id, ad_id, country, device_type, \
           user_id, ip_hash, disposition, stream_seq) \
         VALUES ('018f0000-0000-7000-8000-000000000001', date_trunc('day', now()) - make_interval(days => $2), now(), $1, \
           'camp_001', 'ad_001', 'DE', 'mobile', 'user_1', '\\x01', 'valid', 1)",
    )
    .bind(advertiser)
    .bind(days)
    .execute(database)
    .await
    .map(drop)
}

#[tokio::test]
async fn compressed_chunks_take_names_within_advertisers() {
    let server = pglite::start().await.unwrap();
    let database = server.connect().await.unwrap();
    for migration in BEFORE {
        sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {migration}; COMMIT"))).execute(&database).await.unwrap();
    }
    for days in [1, 14] {
        insert(&database, "adv_001", days).await.unwrap();
        assert!(insert(&database, "adv_002", days).await.is_err(), "an id was everybody's");
    }
    run_policy(&database, COMPRESSION, "clicks").await.unwrap();
    let compressed = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'clicks' AND is_compressed";
    let compressed = async || sqlx::query_scalar::<_, i64>(compressed).fetch_one(&database).await.unwrap();
    assert_eq!(compressed().await, 1);
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {NAMES}; COMMIT"))).execute(&database).await.unwrap();
    assert_eq!(compressed().await, 1, "nothing was unpacked for it");
    for days in [1, 14] {
        let again = insert(&database, "adv_001", days).await.unwrap_err();
        assert!(again.as_database_error().unwrap().is_unique_violation(), "{again}");
        insert(&database, "adv_002", days).await.unwrap();
    }
    let (clicks, unmarked): (i64, i64) =
        sqlx::query_as("SELECT count(*), count(*) FILTER (WHERE bound IS NULL) FROM clicks")
            .fetch_one(&database)
            .await
            .unwrap();
    assert_eq!((clicks, unmarked), (4, 4), "the past counts as vouched for");
}
