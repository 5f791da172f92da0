//! Keys that clicks are posted with: who may post, for whom, how much.
//!
//! - [`store`]: the table
//! - [`ring`]: the keys in a server's memory, up to date within two seconds

pub(crate) mod ring;
pub(crate) mod store;

use std::{num::NonZeroU32, sync::Arc};

use clickwire_protocol::{
    click::{PostedClick, UnknownFields},
    ids::AdvertiserId,
};

use crate::{
    http::{
        error::Error,
        rate_limit::{Allowance, Left},
    },
    identity::secret::hash,
};

/// A caller that may post clicks.
#[derive(Clone, Debug)]
pub(crate) struct Poster {
    /// Names the key in metrics, in logs and in what is derived from it; tells nothing about the key
    /// itself, and stays when the key is rotated.
    pub(crate) key_id: Arc<str>,
    /// Its clicks are counted as tests.
    pub(crate) is_test: bool,
    /// The key may name users' addresses and browsers. If not, they are those of the connection, and what one
    /// address may send is limited.
    pub(crate) speaks_for_users: bool,
    /// Treatment of fields that no click has.
    pub(crate) unknown_fields: UnknownFields,
    /// The key is told at once which of its clicks look fraudulent.
    pub(crate) gets_hints: bool,
    /// The advertisers that it may post for; `None`: all.
    advertisers: Option<Arc<[AdvertiserId]>>,
    /// `None`: no limit.
    allowance: Option<Arc<Allowance>>,
}

impl Poster {
    /// One of the keys from the configuration: the operator's own.
    pub(crate) fn configured(key: &str) -> Self {
        let hash = hash(key);
        let key_id = format!("config-{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3]);
        Self {
            key_id: key_id.into(),
            is_test: false,
            speaks_for_users: true,
            unknown_fields: UnknownFields::Refused,
            gets_hints: false,
            advertisers: None,
            allowance: None,
        }
    }

    /// Returns whether it posts for its own advertisers only; nobody else vouches for the addresses that it names.
    pub(crate) fn is_bound(&self) -> bool {
        self.advertisers.is_some()
    }

    /// Returns an error unless it may post this click.
    pub(crate) fn check(&self, posted: &PostedClick) -> Result<(), Error> {
        if self.advertisers.as_ref().is_some_and(|known| !known.contains(&posted.advertiser_id)) {
            return Err(Error::Forbidden);
        }
        let named =
            [("ip_address", posted.ip_address.is_some()), ("user_agent", posted.user_agent.is_some())];
        Error::fields(named.map(|(name, is_named)| {
            let is_refused = is_named && !self.speaks_for_users;
            (name, is_refused.then(|| "This key does not speak for users.".to_owned()))
        }))
    }

    /// Spends so many clicks of what it may post; `None`: there is no limit.
    pub(crate) fn spend(&self, clicks: NonZeroU32) -> Result<Option<Left>, Error> {
        self.allowance.as_ref().map(|allowance| allowance.spend(clicks)).transpose()
    }

    /// Spends the other clicks of a batch of which one has been spent already.
    pub(crate) fn spend_others(&self, others: NonZeroU32) -> Result<(), Error> {
        self.allowance.as_ref().map_or(Ok(()), |allowance| allowance.spend_others(others))
    }
}
