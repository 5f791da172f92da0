//! One database, one deployment: the name under which it counts is written in the database, and nobody counts
//! there under another one, who would take other locks for the same rows.

use clickwire_protocol::stream::Names;
use sqlx::PgConnection;

/// The reason why nothing may be counted here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The database is another deployment's.
    #[error("this database belongs to the deployment with CLICKWIRE_STREAM={theirs}; here it is {ours}")]
    Another {
        /// The name that is written in the database.
        theirs: String,
        /// The name that was to be.
        ours: String,
    },
}

/// Writes the name down, if there is none, and refuses another one.
///
/// # Errors
/// See [`Error`].
pub async fn claim(connection: &mut PgConnection, names: &Names) -> Result<(), Error> {
    sqlx::query("INSERT INTO deployment (stream) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(names.stream())
        .execute(&mut *connection)
        .await?;
    let theirs: String = sqlx::query_scalar("SELECT stream FROM deployment").fetch_one(connection).await?;
    if theirs != names.stream() {
        return Err(Error::Another { theirs, ours: names.stream().to_owned() });
    }
    Ok(())
}
