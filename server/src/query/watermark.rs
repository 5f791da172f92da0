//! The time up to which the deployment is counted, as the ledger has it: see [`clickwire_protocol::finality`].

use clickwire_ledger::watermark;
use clickwire_protocol::{finality, times::UnixMs};
use sqlx::PgExecutor;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The least of all partitions' watermarks; `None` before all have counted.
pub(crate) struct Watermark(Option<UnixMs>);

impl Watermark {
    /// The watermark of a deployment with this number of partitions.
    pub(crate) async fn read(database: impl PgExecutor<'_>, partitions: u16) -> Result<Self, sqlx::Error> {
        Ok(Self(watermark::of_deployment(database, partitions).await?))
    }

    /// The time.
    pub(crate) fn time(&self) -> Option<UnixMs> {
        self.0
    }

    /// The time in RFC 3339.
    pub(crate) fn rfc3339(&self) -> Option<String> {
        self.0.and_then(rfc3339)
    }

    /// End of the minutes that are final, in RFC 3339.
    pub(crate) fn final_before(&self) -> Option<String> {
        self.0.map(finality::final_before).and_then(rfc3339)
    }
}

fn rfc3339(time: UnixMs) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.0) * 1_000_000).ok()?;
    time.format(&Rfc3339).ok()
}
