//! What questions are answered from.

use sqlx::PgPool;

use super::export::jobs::Webhooks;
use crate::store::database::Tenants;

/// The state of the handlers that answer questions.
pub(crate) struct QueryState {
    /// Answers questions about advertisers.
    pub(crate) tenants: Tenants,
    /// Answers exports, which take longer.
    pub(crate) exports: Tenants,
    /// Exports that nobody waits for, and their files; can write.
    pub(crate) jobs: PgPool,
    /// Sends files of schedules, if there is a secret to sign them with.
    pub(crate) webhooks: Option<Webhooks>,
    /// Can only read.
    pub(crate) database: PgPool,
    pub(crate) partitions: u16,
}
