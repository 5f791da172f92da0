//! The second wall between advertisers, in the database: what the server asks with sees no other rows,
//! whatever is asked.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_e2e::{Stack, eventually};
use clickwire_ledger::counts::SUMS;
use clickwire_load::{demo, http::Server};
use sqlx::{Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions};

use crate::rollups::STORED;

/// Tables and views of what is counted, beside the stored roll-ups ([`STORED`]).
const COUNTS: [&str; 13] = [
    "click_minutes",
    "click_hours",
    "click_days",
    "click_hours_by_campaign",
    "click_hours_by_place",
    "click_days_by_campaign",
    "click_days_by_place",
    "stale_hours",
    "unique_minutes",
    "unique_hours",
    "unique_days",
    "clicks",
    "adjustments",
];

/// A connection as the server answers questions over.
async fn reader(stack: &Stack) -> Result<PgConnection> {
    let options: PgConnectOptions = stack.database_url().parse()?;
    let options = options.options([("role", "clickwire_reader"), ("search_path", "tenants,public")]);
    Ok(PgConnection::connect_with(&options).await?)
}

/// The advertisers that a statement finds.
async fn seen(connection: &mut PgConnection, tenants: &str, sql: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT set_config('clickwire.tenants', $1, true)")
        .bind(tenants)
        .execute(&mut *transaction)
        .await?;
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_all(&mut *transaction).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_round_the_first_wall_stands_before_the_second() -> Result<()> {
    let mut stack = Stack::new().await?;
    let _aggregator = stack.start_aggregator().await?;
    let _server = stack.start_server().await?;
    demo::history(Server::new(stack.server_url(), Stack::ingest_key())?, 1.0, 3).await?;
    let all = "SELECT DISTINCT advertiser_id FROM click_minutes ORDER BY 1";
    let mut reader = reader(&stack).await?;
    let everybody = eventually("everybody has clicks", Duration::from_secs(20), async || {
        let advertisers = seen(&mut reader, "*", all).await.ok()?;
        (advertisers.len() >= 3).then_some(advertisers)
    })
    .await?;
    assert!(everybody.contains(&"adv_002".to_owned()), "{everybody:?}");

    sqlx::query(
        "INSERT INTO adjustments (click_id, clicked_at, advertiser_id, from_disposition, to_disposition, actor, reason) \
         SELECT click_id, clicked_at, advertiser_id, disposition, 'valid', 'rules', 'a test' FROM clicks",
    )
    .execute(stack.database())
    .await?;
    // Days are folded from hours that are over.
    sqlx::query(
        "INSERT INTO unique_days (bucket, advertiser_id, campaign_id, sketch) \
         SELECT bucket, advertiser_id, campaign_id, sketch FROM unique_minutes",
    )
    .execute(stack.database())
    .await?;
    // Hours are stored when they are over.
    for (table, width) in [("hour_counts", "1 hour"), ("day_counts", "1 day")] {
        let stored = format!(
            "INSERT INTO {table} SELECT time_bucket(INTERVAL '{width}', bucket) + INTERVAL '2 days', advertiser_id, \
                    campaign_id, ad_id, country, device_type, {SUMS} FROM click_minutes GROUP BY 1, 2, 3, 4, 5, 6"
        );
        sqlx::query(sqlx::AssertSqlSafe(stored)).execute(stack.database()).await?;
    }
    for minutes in [
        "INSERT INTO minute_counts_by_campaign SELECT bucket + INTERVAL '2 days', advertiser_id, campaign_id, valid, \
                duplicate, givt, sivt, test, defective FROM hour_counts_by_campaign ON CONFLICT DO NOTHING",
        "INSERT INTO minute_counts_by_advertiser SELECT bucket, advertiser_id, valid, duplicate, givt, sivt, test, \
                defective FROM minute_counts_by_campaign ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(minutes).execute(stack.database()).await?;
    }
    let counts: Vec<&str> = COUNTS.into_iter().chain(STORED).collect();
    for table in counts.iter().copied().chain(["advertisers", "campaigns"]) {
        for (tenants, expected) in [
            ("", &[][..]),
            ("adv_404", &[]),
            ("adv_001", &["adv_001"]),
            ("adv_001,adv_002", &["adv_001", "adv_002"]),
            ("adv_00_,adv_%", &[]),
        ] {
            for asked in [
                format!("SELECT DISTINCT advertiser_id FROM {table} ORDER BY 1"),
                format!(
                    "SELECT DISTINCT advertiser_id FROM {table} WHERE true OR advertiser_id = 'adv_002' ORDER BY 1"
                ),
                format!(
                    "SELECT DISTINCT a.advertiser_id FROM {table} a JOIN {table} b USING (advertiser_id) ORDER BY 1"
                ),
            ] {
                let found = seen(&mut reader, tenants, &asked).await?;
                // Nobody is folded into hours yet, and no hour has changed since it was stored.
                let is_empty = ["unique_hours", "stale_hours"].contains(&table) && found.is_empty();
                assert!(is_empty || found == expected, "{asked} for {tenants:?}: {found:?}");
            }
        }
        // What somebody is told by an error that a hidden row would raise.
        let oracle =
            format!("SELECT advertiser_id FROM {table} WHERE 1 / (advertiser_id <> 'adv_002')::int = 1");
        seen(&mut reader, "adv_001", &oracle).await?;
        // Outside of a transaction that has named somebody there is nothing.
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&mut reader)
            .await?;
        assert_eq!(left, 0, "{table}");
    }
    // Clicks with the hashes of their addresses: nobody's but of those who see all.
    for (tenants, sees) in
        [("", false), ("adv_404", false), ("adv_001", false), ("adv_001,adv_002", false), ("*", true)]
    {
        let found = seen(&mut reader, tenants, "SELECT advertiser_id FROM addresses LIMIT 1").await?;
        assert_eq!(!found.is_empty(), sees, "{tenants:?}");
    }
    // Ads have no advertiser of their own.
    for (tenants, owners) in
        [("", &[][..]), ("adv_404", &[]), ("adv_001", &["adv_001"]), ("adv_00_,adv_%", &[])]
    {
        let ids = "SELECT ad_id FROM ads ORDER BY 1";
        let own: Vec<String> = sqlx::query_scalar(
            "SELECT ad_id FROM ads JOIN campaigns USING (campaign_id) WHERE advertiser_id = ANY($1) ORDER BY 1",
        )
        .bind(owners)
        .fetch_all(stack.database())
        .await?;
        assert_eq!(own.is_empty(), owners.is_empty(), "ads of {owners:?}");
        assert_eq!(seen(&mut reader, tenants, ids).await?, own, "{tenants:?}");
    }
    // What explains charts: the own, and what holds up everybody.
    sqlx::query(
        "INSERT INTO alerts (kind, subject, advertiser_id, severity, opened_at, details) VALUES \
            ('lag', 'of a test', NULL, 'warning', '1999-01-01', '{}'), \
            ('dead_letters', 'of a test', NULL, 'warning', '1999-01-01', '{}'), \
            ('user_burst', 'adv_001/u', 'adv_001', 'warning', '1999-01-01', '{}'), \
            ('user_burst', 'adv_002/u', 'adv_002', 'warning', '1999-01-01', '{}')",
    )
    .execute(stack.database())
    .await?;
    let incidents = "SELECT DISTINCT coalesce(advertiser_id, kind) FROM incidents \
                      WHERE opened_at < '2000-01-01' ORDER BY 1";
    for (tenants, expected) in [
        ("", &[][..]),
        ("adv_001", &["adv_001", "lag"]),
        ("*", &["adv_001", "adv_002", "dead_letters", "lag"]),
    ] {
        assert_eq!(seen(&mut reader, tenants, incidents).await?, expected, "{tenants:?}");
        let ids = "SELECT alert_id::text FROM incidents WHERE alert_id IS NOT NULL";
        assert_eq!(seen(&mut reader, tenants, ids).await?.is_empty(), tenants != "*", "{tenants:?}");
        let rules = "SELECT rule FROM rule_changes WHERE version IS NOT NULL OR mode IS NOT NULL";
        assert_eq!(seen(&mut reader, tenants, rules).await?.is_empty(), tenants != "*", "{tenants:?}");
    }
    let denied = counts.iter().map(|table| format!("SELECT FROM public.{table}")).chain(
        [
            "SELECT ip_hash FROM public.clicks",
            "SELECT FROM accounts",
            "SELECT FROM account_tokens",
            "SELECT FROM api_keys",
            "SELECT FROM audit_log",
            "SELECT FROM alerts",
            "SELECT FROM fraud_rules",
            "SELECT FROM reconciliations",
            "INSERT INTO tenants.click_minutes (bucket, advertiser_id) VALUES (now(), 'adv_001')",
            "UPDATE advertisers SET name = 'mine'",
            "CREATE TABLE public.mine ()",
        ]
        .map(str::to_owned),
    );
    for statement in denied {
        let refused = reader.execute(sqlx::AssertSqlSafe(statement.clone())).await;
        let code = refused.err().and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_asks_with_that_role() -> Result<()> {
    let mut stack = Stack::new().await?;
    // A login that can do nothing else.
    let login = format!("dashboards_{}", stack.redis_prefix().replace('-', "_"));
    for statement in [
        format!("CREATE ROLE {login} LOGIN PASSWORD 'of-the-tests'"),
        format!("GRANT clickwire_reader TO {login} WITH INHERIT FALSE"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(stack.database()).await?;
    }
    let (_, address) = stack.database_url().split_once('@').context("no address")?;
    let url = format!("postgres://{login}:of-the-tests@{address}");
    stack.set("CLICKWIRE_READER_DATABASE_URL", &url);
    let _server = stack.start_server().await?;
    let paths = [
        ("click_minutes", "/api/v1/analytics/aggregate"),
        ("click_hours", "/api/v1/analytics/aggregate?granularity=hour"),
        ("click_days", "/api/v1/analytics/aggregate?granularity=day"),
        ("unique_minutes", "/api/v1/analytics/aggregate"),
        ("unique_hours", "/api/v1/analytics/aggregate?granularity=day"),
        ("advertisers", "/api/v1/advertisers"),
        ("campaigns", "/api/v1/campaigns"),
        ("campaigns", "/api/v1/ads"),
        ("ads", "/api/v1/ads"),
        ("incidents", "/api/v1/analytics/annotations"),
        ("rule_changes", "/api/v1/analytics/annotations"),
        ("adjustments", "/api/v1/analytics/annotations"),
        ("repairs", "/api/v1/analytics/annotations"),
        ("click_minutes", "/api/v1/live/poll"),
    ];
    let mut viewer = stack.as_viewer("adv_001")?.connection();
    for (table, path) in paths {
        let table = match table {
            "advertisers" | "campaigns" | "ads" => format!("public.{table}"),
            _ => format!("tenants.{table}"),
        };
        let change = async |statement: &str| {
            let statement = format!("{statement} clickwire_reader");
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(stack.database()).await
        };
        change(&format!("REVOKE SELECT ON {table} FROM")).await?;
        // A view that is kept for polling was read before.
        let fresh = if path.contains("poll") { format!("{path}?window_minutes=7") } else { path.to_owned() };
        let without = viewer.get(&fresh).await?.0.as_u16();
        change(&format!("GRANT SELECT ON {table} TO")).await?;
        let with = viewer.get(&fresh).await?.0.as_u16();
        assert!((without == 503 || without == 422) && with == 200, "{path}: {without}, {with}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_is_no_superuser_can_ask_as_the_reader() -> Result<()> {
    let stack = Stack::alone().await?;
    let run = async |database: &mut PgConnection, sql: &'static str| database.execute(sql).await.map(drop);
    let mut superuser = PgConnection::connect(stack.database_url()).await?;
    // Of the database that is there already.
    run(&mut superuser, "DROP OWNED BY clickwire_reader; DROP ROLE clickwire_reader").await?;
    run(&mut superuser, "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'owner'").await?;
    run(&mut superuser, "CREATE DATABASE owned OWNER owner").await?;
    let options: PgConnectOptions = stack.database_url().parse()?;
    let mut in_owned = PgConnection::connect_with(&options.clone().database("owned")).await?;
    run(&mut in_owned, "CREATE EXTENSION IF NOT EXISTS timescaledb").await?;

    let url = format!("postgres://owner:owner@{}:{}/owned", options.get_host(), options.get_port());
    clickwire_ledger::schema::migrate(&url, true).await?;
    let owner: PgConnectOptions = url.parse()?;
    let owner = owner.options([("role", "clickwire_reader"), ("search_path", "tenants,public")]);
    let mut reader = PgConnection::connect_with(&owner).await?;
    let found = seen(&mut reader, "adv_001", "SELECT advertiser_id FROM advertisers").await?;
    assert_eq!(found, ["adv_001"]);
    Ok(())
}
