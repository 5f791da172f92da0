//! One database, one deployment: the name under which it counts is written in the database, and nobody counts
//! there under another one, who would take other locks for the same rows.

use anyhow::ensure;
use clickwire_protocol::stream::Names;
use sqlx::PgConnection;

/// Writes the name down, if there is none, and refuses another one.
pub(crate) async fn claim(connection: &mut PgConnection, names: &Names) -> anyhow::Result<()> {
    sqlx::query("INSERT INTO deployment (stream) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(names.stream())
        .execute(&mut *connection)
        .await?;
    let stream: String = sqlx::query_scalar("SELECT stream FROM deployment").fetch_one(connection).await?;
    ensure!(
        stream == names.stream(),
        "this database belongs to the deployment with CLICKWIRE_STREAM={stream}; here it is {}",
        names.stream()
    );
    Ok(())
}
