//! Reasons why the lake can't go on now, by the service that it waits for.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::health::Service;

/// The failure of a service that the lake depends on. Nothing is lost: clicks wait on the stream.
#[derive(Debug, Error)]
pub(crate) enum Unavailable {
    /// The broker, the stream or its consumer.
    #[error("broker: {0}")]
    Broker(anyhow::Error),
    /// The database.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The object store is away, full or slow.
    #[error("object store: {0}")]
    Objects(#[from] object_store::Error),
    /// The object store has not answered within its limit.
    #[error("object store: no answer in time")]
    Slow,
    /// A file of a table can't be read or made.
    #[error("table: {0}")]
    Table(#[from] iceberg::Error),
    /// A file of rows can't be read or made.
    #[error("table: {0}")]
    Rows(String),
    /// The database has another primary than when the session began.
    #[error("the database has another primary")]
    Timeline,
    /// Another process has the lake, or has moved a pointer.
    #[error("another clickwire-lake writes here")]
    Another,
}

impl Unavailable {
    /// The service that the lake waits for.
    pub(crate) fn service(&self) -> Service {
        match self {
            Self::Broker(_) => Service::Broker,
            Self::Database(_) | Self::Timeline | Self::Another => Service::Database,
            Self::Objects(_) | Self::Slow | Self::Table(_) | Self::Rows(_) => Service::Objects,
        }
    }

    /// An error of the broker's client.
    pub(crate) fn broker(error: impl Into<anyhow::Error>) -> Self {
        Self::Broker(error.into())
    }
}

/// The longest time that the database may take for one question or one commit: a connection may be gone without a
/// word.
const DATABASE_PATIENCE: Duration = Duration::from_secs(15);

/// An answer of the database, within a limit.
pub(crate) async fn answered<T, E: Into<Unavailable>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Unavailable> {
    match timeout(DATABASE_PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
    }
}
