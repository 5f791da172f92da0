//! What questions are answered from.

use sqlx::PgPool;

use crate::store::database::Tenants;

/// The state of the handlers that answer questions.
pub(crate) struct QueryState {
    /// Answers questions about advertisers.
    pub(crate) tenants: Tenants,
    /// Answers exports, which take longer.
    pub(crate) exports: Tenants,
    /// Exports that nobody waits for, and their files; can write.
    pub(crate) jobs: PgPool,
    /// Can only read.
    pub(crate) database: PgPool,
    pub(crate) partitions: u16,
}
