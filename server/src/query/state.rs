//! The state from which questions are answered.

use sqlx::PgPool;

use super::export::jobs::Webhooks;
use crate::store::database::Tenants;

/// The state of the handlers that answer questions.
pub(crate) struct QueryState {
    /// Answers questions about advertisers.
    pub(crate) tenants: Tenants,
    /// Answers exports, which take longer.
    pub(crate) exports: Tenants,
    /// Exports in the background, and their files; can write.
    pub(crate) jobs: PgPool,
    /// Sender of schedules' files, if there is a secret to sign them with.
    pub(crate) webhooks: Option<Webhooks>,
    /// The database for reading alone.
    pub(crate) database: PgPool,
    pub(crate) partitions: u16,
}
