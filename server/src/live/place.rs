//! A place among the live sessions: taken, counted, and given back however the session ends.

use tokio::sync::OwnedSemaphorePermit;

use crate::{Sessions, error::Error};

/// One of the places that a server has.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// A place, unless all are taken or the server goes away.
    pub(crate) fn take(sessions: &Sessions) -> Result<Self, Error> {
        if sessions.stop.is_cancelled() {
            return Err(Error::Full);
        }
        let permit = sessions.permits.clone().try_acquire_owned().map_err(|_| Error::Full)?;
        metrics::gauge!("clickwire_live_sessions").increment(1);
        Ok(Self { _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("clickwire_live_sessions").decrement(1);
    }
}
