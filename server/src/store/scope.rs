//! The advertisers whose data a caller may see: every way to an advertiser's id leads through here.

use clickwire_protocol::ids::AdvertiserId;

use crate::http::error::Error;

/// The advertisers whose data a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All advertisers.
    All,
    /// The advertisers in the list.
    Advertisers(Vec<AdvertiserId>),
}

impl Scope {
    /// Returns whether data of this advertiser may be seen.
    pub(crate) fn includes(&self, advertiser_id: &AdvertiserId) -> bool {
        match self {
            Self::All => true,
            Self::Advertisers(ids) => ids.contains(advertiser_id),
        }
    }

    /// The advertiser that a request is about: the one it names, if that may be seen, else the only one that may
    /// be seen.
    pub(crate) fn advertiser<'a>(
        &'a self,
        named: Option<&'a AdvertiserId>,
    ) -> Result<&'a AdvertiserId, Error> {
        match (named, self) {
            (Some(named), scope) if scope.includes(named) => Ok(named),
            (Some(_), _) => Err(Error::Forbidden),
            (None, Self::Advertisers(ids)) if ids.len() == 1 => Ok(&ids[0]),
            (None, _) => Err(Error::field("advertiser_id", "Required.")),
        }
    }

    /// Like [`Scope::advertiser`]; `None`, for all, if the caller may see all and names none.
    pub(crate) fn advertiser_or_all<'a>(
        &'a self,
        named: Option<&'a AdvertiserId>,
    ) -> Result<Option<&'a AdvertiserId>, Error> {
        match (named, self) {
            (None, Self::All) => Ok(None),
            (named, scope) => scope.advertiser(named).map(Some),
        }
    }

    /// The advertisers that may be seen; `None`: all.
    pub(crate) fn advertisers(&self) -> Option<&[AdvertiserId]> {
        match self {
            Self::All => None,
            Self::Advertisers(ids) => Some(ids),
        }
    }
}
