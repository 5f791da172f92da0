//! A place among the live sessions: taken, counted, and given back however the session ends.

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    http::{
        error::Error,
        quota::QuotaGuard,
        rate_limit::{Addresses, rate_limit_key},
    },
    live::{error::LiveError, session::sessions::Sessions},
};

/// Time after which a client with too many sessions may try again.
const AGAIN: Duration = Duration::from_secs(5);

/// One of the places that a server has.
pub(crate) struct SessionPermit {
    _permit: OwnedSemaphorePermit,
    _address: QuotaGuard<IpAddr>,
}

impl SessionPermit {
    /// A place for a client, unless all are taken, it has too many, comes too often, or the server goes away.
    pub(crate) fn take(sessions: &Sessions, addresses: &Addresses, client: IpAddr) -> Result<Self, Error> {
        let Sessions { stop, permits, by_address, .. } = sessions;
        if stop.is_cancelled() {
            return Err(LiveError::Full.into());
        }
        let left = addresses.spend(client)?;
        let address = by_address.try_take(rate_limit_key(client)).ok_or_else(|| {
            metrics::counter!("clickwire_limited_total", "by" => "sessions").increment(1);
            Error::TooMany { left, retry_after: AGAIN }
        })?;
        let permit = Arc::clone(permits).try_acquire_owned().map_err(|_| LiveError::Full)?;
        metrics::gauge!("clickwire_live_sessions").increment(1);
        Ok(Self { _permit: permit, _address: address })
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        metrics::gauge!("clickwire_live_sessions").decrement(1);
    }
}
