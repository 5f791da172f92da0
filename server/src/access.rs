//! Who may do what. Every handler that answers with data asks [`Scope`]; there is no other way to
//! an advertiser's id. Every handler that changes something but clicks asks [`Admin`].
//!
//! Tokens come as `Authorization: Bearer …` (RFC 6750); keys for posting clicks ([`crate::keys`]) also
//! as `X-Api-Key`. They are compared by their SHA-256, so the time of a comparison tells nothing about
//! them.

use std::collections::HashMap;

use anyhow::ensure;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header::AUTHORIZATION, request::Parts},
};
use sha2::{Digest as _, Sha256};

use crate::{AppState, config::Config, error::Error};

type TokenHash = [u8; 32];

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// All tokens that the server knows.
pub(crate) struct Access {
    scopes: HashMap<TokenHash, Scope>,
}

/// Whose data a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everybody's.
    All,
    /// These advertisers'.
    Advertisers(Vec<String>),
}

/// A caller that may see and change everything.
#[derive(Debug)]
pub(crate) struct Admin(());

impl Access {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let mut scopes = HashMap::new();
        for (advertiser, token) in &config.viewer_tokens {
            let scope = scopes.entry(hash(token)).or_insert_with(|| Scope::Advertisers(Vec::new()));
            if let Scope::Advertisers(advertisers) = scope {
                advertisers.push(advertiser.clone());
            }
        }
        if let Some(token) = &config.admin_token {
            let before = scopes.insert(hash(token), Scope::All);
            ensure!(before.is_none(), "CLICKWIRE_ADMIN_TOKEN must differ from all viewer tokens");
        }
        Ok(Self { scopes })
    }

    /// What a token opens.
    pub(crate) fn scope(&self, token: &str) -> Option<&Scope> {
        self.scopes.get(&hash(token))
    }
}

impl Scope {
    /// Whether data of this advertiser may be seen.
    pub(crate) fn includes(&self, advertiser_id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Advertisers(ids) => ids.iter().any(|id| id == advertiser_id),
        }
    }

    /// The advertiser that a request is about: the one it names, if that may be seen, else the only
    /// one there is to see.
    pub(crate) fn advertiser<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, Error> {
        match (named, self) {
            (Some(named), scope) if scope.includes(named) => Ok(named),
            (Some(_), _) => Err(Error::Forbidden),
            (None, Self::Advertisers(ids)) if ids.len() == 1 => Ok(&ids[0]),
            (None, _) => Err(Error::field("advertiser_id", "Required.")),
        }
    }

    /// Like [`Scope::advertiser`], but who may see everybody and names nobody asks about all: `None`.
    pub(crate) fn advertiser_or_all<'a>(&'a self, named: Option<&'a str>) -> Result<Option<&'a str>, Error> {
        match (named, self) {
            (None, Self::All) => Ok(None),
            (named, scope) => scope.advertiser(named).map(Some),
        }
    }

    /// The administrator that this caller is, if any.
    fn admin(&self) -> Result<Admin, Error> {
        match self {
            Self::All => Ok(Admin(())),
            Self::Advertisers(_) => Err(Error::Forbidden),
        }
    }

    /// The advertisers that may be seen; `None`: all.
    pub(crate) fn advertisers(&self) -> Option<&[String]> {
        match self {
            Self::All => None,
            Self::Advertisers(ids) => Some(ids),
        }
    }
}

impl FromRequestParts<AppState> for Scope {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        let token = bearer(&parts.headers).ok_or(Error::Unauthorized)?;
        state.access.scope(token).cloned().ok_or(Error::Unauthorized)
    }
}

impl Admin {
    /// Who stands in the records of what was done. There is one administrator's token, so there is one
    /// name.
    pub(crate) fn actor(&self) -> &'static str {
        "admin"
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        Scope::from_request_parts(parts, state).await?.admin()
    }
}

/// The key that clicks are posted with.
pub(crate) fn api_key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    key.or_else(|| bearer(headers))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_sees_one_advertiser_and_an_administrator_must_name_one() {
        let viewer = Scope::Advertisers(vec!["adv_001".into()]);
        assert_eq!(viewer.advertiser(None).unwrap(), "adv_001");
        assert_eq!(viewer.advertiser(Some("adv_001")).unwrap(), "adv_001");
        assert!(matches!(viewer.advertiser(Some("adv_002")), Err(Error::Forbidden)));
        assert_eq!(Scope::All.advertiser(Some("adv_002")).unwrap(), "adv_002");
        assert!(matches!(Scope::All.advertiser(None), Err(Error::Invalid(_))));
        assert_eq!(Scope::All.advertiser_or_all(None).unwrap(), None);
        assert_eq!(viewer.advertiser_or_all(None).unwrap(), Some("adv_001"));
        assert!(matches!(viewer.advertiser_or_all(Some("adv_002")), Err(Error::Forbidden)));
    }

    #[test]
    fn only_who_sees_everybody_is_an_administrator() {
        assert_eq!(Scope::All.admin().unwrap().actor(), "admin");
        assert!(matches!(Scope::Advertisers(vec!["adv_001".into()]).admin(), Err(Error::Forbidden)));
    }
}
