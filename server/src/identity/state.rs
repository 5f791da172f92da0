//! The state by which callers are known.

use std::sync::Arc;

use sqlx::PgPool;
use uuid::Uuid;

use super::{access::Access, address::Hasher};
use crate::http::{quota::Quota, rate_limit::Attempts};

/// The state of sign-in, of people's own accounts, and of the extractors of callers.
pub(crate) struct IdentityState {
    pub(crate) access: Arc<Access>,
    pub(crate) attempts: Attempts,
    pub(crate) hasher: Arc<Hasher>,
    /// Pool that can write: for people who sign in and out, and for what they change of their own account.
    pub(crate) database: PgPool,
    /// Each account has one request in hand that changes it.
    pub(crate) turns: Quota<Uuid>,
}
