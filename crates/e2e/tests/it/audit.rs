//! No way to change what is audited leaves the audit log out.

use anyhow::Result;
use clickwire_e2e::Stack;
use serde_json::Value;

/// Every audited table records TRUNCATE, too: a statement that fires no trigger for rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_truncate_takes_away_is_recorded() -> Result<()> {
    let stack = Stack::new().await?;
    stack.administer(&["accounts", "create", "--login", "anna", "--name", "Anna", "--role", "ops"]).await?;
    stack.administer(&["keys", "create", "--name", "a shop"]).await?;
    let audited: Vec<(String, String)> = sqlx::query_as(
        "SELECT tgrelid::regclass::text, convert_from(rtrim(tgargs, '\\x00'), 'UTF8') FROM pg_trigger \
          WHERE tgname = 'audited'",
    )
    .fetch_all(stack.database())
    .await?;
    assert!(audited.len() >= 7, "{audited:?}");
    let mut recorded_tables = 0;
    for (table, key) in audited {
        // The rows of the tables that refer to it go with it.
        let sql = format!("SELECT ({key})::text FROM {table}");
        let before: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(stack.database()).await?;
        let mut transaction = stack.database().begin().await?;
        let truncate = format!("TRUNCATE {table} CASCADE");
        if let Err(refused) = sqlx::query(sqlx::AssertSqlSafe(truncate)).execute(&mut *transaction).await {
            assert!(refused.to_string().contains("append-only"), "{table}: {refused}");
            continue;
        }
        recorded_tables += 1;
        let recorded: Vec<(String, Option<String>)> = sqlx::query_as(
            "SELECT subject_id, before::text FROM audit_log WHERE action = 'truncate' AND subject = $1",
        )
        .bind(&table)
        .fetch_all(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        let (statement, rows): (Vec<_>, Vec<_>) = recorded.into_iter().partition(|(id, _)| id == "*");
        assert_eq!(statement.len(), 1, "{table}");
        let mut ids: Vec<_> = rows.iter().map(|(id, _)| id.clone()).collect();
        let mut expected = before;
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{table}");
        for (_, row) in rows {
            let row: Value = serde_json::from_str(row.as_deref().unwrap_or_default())?;
            assert!(row.as_object().is_some_and(|row| !row.is_empty()), "{table}: {row}");
            assert!(!row.to_string().contains("_hash"), "{table}: {row}");
        }
    }
    assert!(recorded_tables >= 6, "{recorded_tables}");
    Ok(())
}
