//! The state of administration.

use std::sync::Arc;

use clickwire_dead_letters::DeadLetters;
use clickwire_process::redis::Connection;
use clickwire_protocol::stream::Names;
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::{
    admin::{pipeline::Pipeline, storage::Measurements},
    http::quota::{Holder, Quota},
    identity::{access::Access, signing::Keys},
    intake::keys::ring::Ring,
    live::{Hub, state::Sessions},
    redirect::ads::Ads,
};

/// The state of the handlers for operators and administrators.
pub(crate) struct AdminState {
    pub(crate) access: Arc<Access>,
    pub(crate) keys: Ring,
    pub(crate) ads: Ads,
    /// Pool that can only read.
    pub(crate) reading: PgPool,
    /// Pool that can write.
    pub(crate) writing: PgPool,
    pub(crate) dead_letters: DeadLetters,
    /// Makes the codes that stand for erased users in records.
    pub(crate) erasures: Keys,
    pub(crate) names: Names,
    pub(crate) redis: Connection,
    pub(crate) redis_prefix: Arc<str>,
    pub(crate) partitions: u16,
    /// Files of schedules can be sent to a receiver: there is a secret to sign them with.
    pub(crate) sends_reports: bool,
    pub(crate) hub: Hub,
    pub(crate) sessions: Sessions,
    pub(crate) pipeline: Pipeline,
    pub(crate) storage: Measurements,
    /// Turns at the numbers of the whole, one for each holder.
    pub(crate) stats: Quota<Holder>,
    /// Held by the preview of a rule that is being made.
    pub(crate) preview: Arc<Mutex<()>>,
}
