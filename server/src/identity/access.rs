//! The caller of a request, and what it may do. Every handler that answers with data asks [`Scope`]; there is no
//! other way to an advertiser's id. Single clicks are guarded by [`Caller::sees_clicks`]; what the operator's people see of
//! the whole, by [`Staff`]; what looks after the whole, by [`Operator`]; what changes anything but clicks, by
//! [`Admin`].
//!
//! A caller shows a token as `Authorization: Bearer …` (RFC 6750): one from the configuration, or one of an
//! account's programs; or it has signed in, and its browser sends a cookie ([`crate::identity::session`]).
//! A cookie alone does not vouch for a write: the page that sends it must be ours ([`crate::http::origin`]). Keys
//! for posting clicks ([`crate::intake::keys`]) come as a token or as `X-Api-Key`, and open nothing else.
//!
//! Tokens are compared by their SHA-256, so the time of a comparison tells nothing about them.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use anyhow::ensure;
use axum::{
    extract::{FromRef, FromRequestParts},
    http::{
        HeaderMap,
        header::{AUTHORIZATION, HeaderValue},
        request::Parts,
    },
};
use clickwire_process::now_ms;
use clickwire_protocol::{ids::AdvertiserId, times::UnixMs};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::sleep;
use uuid::Uuid;

use crate::identity::state::IdentityState;
pub(crate) use crate::store::scope::Scope;
use crate::{
    config::Config,
    http::{error::Error, origin, quota::Holder, state::HttpState, visitor::Visitor},
    identity::{
        Role,
        actor::Actor,
        directory::Directory,
        secret::{Hash, hash},
        session::{Token, Tokens},
        signing::Keys,
    },
};

/// Tells keys that are made from another secret from whatever else is.
const PURPOSE: &[u8] = b"clickwire sessions";

/// The credentials that the server accepts, and the pages that may use it.
pub(crate) struct Access {
    configured: HashMap<Hash, Caller>,
    pub(crate) directory: Directory,
    pub(crate) tokens: Tokens,
    /// Origins, beside the server's own, whose pages may use it.
    allowed_origins: Vec<String>,
}

/// The caller of a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Name of the caller in records.
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) scope: Scope,
    /// `None` for tokens of the configuration.
    pub(crate) account_id: Option<Uuid>,
    pub(crate) credential: Credential,
}

/// The credential that a caller has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A token from the configuration.
    Configured,
    /// A browser's cookie.
    Session(Token),
    /// The token of an account's program.
    Token(Hash),
}

/// A caller that works for the operator of the deployment, finance included.
#[derive(Debug)]
pub(crate) struct Staff(pub(crate) Caller);

/// A caller that looks after the whole: sees everything, deals with incidents and dead letters.
#[derive(Debug)]
pub(crate) struct Operator(Actor);

/// A caller that may see and change everything.
#[derive(Debug)]
pub(crate) struct Admin(Actor);

/// The reason why a caller that was let in may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The session is over: signed out, disabled, revoked.
    Over,
    /// The token's time is up, or the account may see something else now: it must be asked again.
    AskAgain,
}

/// Ends when a caller may not go on.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Ended> + Send>>;

impl Access {
    pub(crate) fn new(config: &Config, following: PgPool) -> anyhow::Result<Self> {
        let mut configured: HashMap<Hash, Caller> = HashMap::new();
        for (advertiser, token) in &config.viewer_tokens {
            let caller = configured.entry(hash(token)).or_insert_with(|| {
                Caller::configured("viewer", Role::Advertiser, Scope::Advertisers(Vec::new()))
            });
            if let Scope::Advertisers(advertisers) = &mut caller.scope {
                advertisers.push(advertiser.clone());
            }
        }
        if let Some(token) = &config.admin_token {
            let admin = Caller::configured("admin", Role::Admin, Scope::All);
            let before = configured.insert(hash(token), admin);
            ensure!(before.is_none(), "CLICKWIRE_ADMIN_TOKEN must differ from all viewer tokens");
        }
        let keys = Keys::new(&config.session_keys, config.ip_hash_key.as_bytes(), PURPOSE);
        let token = Duration::from_secs(config.session_token_seconds);
        let session = Duration::from_secs(u64::from(config.session_hours) * 3_600);
        Ok(Self {
            configured,
            directory: Directory::new(following),
            tokens: Tokens::new(keys, token, session, config.is_secure()),
            allowed_origins: config.allowed_origins.clone(),
        })
    }

    /// The caller that shows a token.
    pub(crate) fn by_token(&self, token: &str) -> Result<Caller, Error> {
        let hash = hash(token);
        match self.configured.get(&hash) {
            Some(caller) => Ok(caller.clone()),
            None => self.directory.caller(Credential::Token(hash)),
        }
    }

    /// The person who has signed in with the browser that sends these headers.
    pub(crate) fn by_cookie(&self, headers: &HeaderMap) -> Result<Caller, Error> {
        let token = self.tokens.sent(headers, now_ms()).ok_or(Error::Unauthorized)?;
        self.directory.caller(Credential::Session(token))
    }

    /// The sender of a request. A token goes before a cookie.
    fn caller(&self, parts: &Parts) -> Result<Caller, Error> {
        if parts.headers.contains_key(AUTHORIZATION) {
            return self.by_token(bearer(&parts.headers).ok_or(Error::Unauthorized)?);
        }
        let caller = self.by_cookie(&parts.headers)?;
        if !parts.method.is_safe() && !origin::is_certain(&parts.headers, &self.allowed_origins) {
            return Err(Error::CrossSite);
        }
        Ok(caller)
    }

    /// Returns whether a request comes from a page that may use this server, or from no page at all.
    pub(crate) fn is_allowed_origin(&self, headers: &HeaderMap) -> bool {
        origin::is_allowed(headers, &self.allowed_origins)
    }

    /// Tells when a caller may not go on; `None`: it always may.
    pub(crate) fn ending(self: &Arc<Self>, caller: &Caller) -> Option<Ending> {
        let until_ms = match &caller.credential {
            Credential::Configured => return None,
            Credential::Session(token) => self.tokens.expires_at_ms(token),
            Credential::Token(hash) => self.directory.token_until_ms(hash).unwrap_or_default(),
        };
        let (access, caller) = (Arc::clone(self), caller.clone());
        Some(Box::pin(async move {
            let left_ms = u64::try_from(until_ms - now_ms()).unwrap_or_default();
            tokio::select! {
                ended = access.changed(&caller) => ended,
                () = sleep(Duration::from_millis(left_ms)) => Ended::AskAgain,
            }
        }))
    }

    /// Ends when the directory says something else of a caller than when it was let in.
    async fn changed(&self, caller: &Caller) -> Ended {
        let mut changed = self.directory.subscribe();
        loop {
            match self.directory.caller(caller.credential.clone()) {
                Err(_) => return Ended::Over,
                Ok(now) if now.role != caller.role || now.scope != caller.scope => return Ended::AskAgain,
                Ok(_) => {}
            }
            if changed.changed().await.is_err() {
                return Ended::AskAgain;
            }
        }
    }

    /// Returns the header that makes a browser send this token from now on, or none any more.
    pub(crate) fn cookie(&self, token: Option<&Token>) -> Option<HeaderValue> {
        self.tokens.cookie(token)
    }
}

impl Caller {
    /// Refuses a caller that may not see single clicks, their users among them: finance bills from numbers.
    pub(crate) fn sees_clicks(&self) -> Result<(), Error> {
        if self.role == Role::Finance { Err(Error::Forbidden) } else { Ok(()) }
    }

    /// Returns whether it may see which person has changed a verdict.
    pub(crate) fn sees_people(&self) -> bool {
        self.role.is_operators()
    }

    fn configured(name: &str, role: Role, scope: Scope) -> Self {
        Self { name: name.into(), role, scope, account_id: None, credential: Credential::Configured }
    }

    /// The one whose share of what is limited this caller uses up.
    pub(crate) fn holder(&self) -> Holder {
        match (self.scope.advertisers(), self.account_id) {
            (None, _) if self.role == Role::Finance => Holder::Finance,
            (None, _) => Holder::Operators,
            (Some(_), Some(account_id)) => Holder::Account(account_id),
            (Some(ids), None) => Holder::Token(ids.join(",").into()),
        }
    }

    /// All those whose shares a question about one advertiser, or all of the caller's, uses up: the caller's
    /// own and, unless it sees all advertisers, the advertiser's, which is one however many accounts and
    /// tokens open it.
    pub(crate) fn holders(&self, advertiser_id: Option<&AdvertiserId>) -> Vec<Holder> {
        let advertiser_id = match (self.scope.advertisers(), advertiser_id) {
            (None, _) => None,
            (Some(_), Some(named)) => Some(named),
            (Some([only]), None) => Some(only),
            (Some(_), None) => None,
        };
        let advertiser = advertiser_id.cloned().map(Holder::Advertiser);
        [Some(self.holder()), advertiser].into_iter().flatten().collect()
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Arc::<IdentityState>::from_ref(state).access.caller(parts)
    }
}

impl<S> FromRequestParts<S> for Staff
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.role.is_staff() { Ok(Self(caller)) } else { Err(Error::Forbidden) }
    }
}

impl<S> FromRequestParts<S> for Scope
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        Ok(Arc::<IdentityState>::from_ref(state).access.caller(parts)?.scope)
    }
}

impl Actor {
    /// A caller, and where it asks from.
    pub(crate) fn new(caller: &Caller, visitor: &Visitor, state: &IdentityState) -> Self {
        Self::known(caller, state.hasher.hash(visitor.address, UnixMs(now_ms())))
    }
}

/// The caller, if its role is one that may.
async fn actor<S>(parts: &mut Parts, state: &S, is_one: fn(Role) -> bool) -> Result<Actor, Error>
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
    Arc<HttpState>: FromRef<S>,
{
    let identity = Arc::<IdentityState>::from_ref(state);
    let caller = identity.access.caller(parts)?;
    if !is_one(caller.role) {
        return Err(Error::Forbidden);
    }
    let visitor = Visitor::from_request_parts(parts, state).await.map_err(|_| Error::Unauthorized)?;
    Ok(Actor::new(&caller, &visitor, &identity))
}

impl<S> FromRequestParts<S> for Operator
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
    Arc<HttpState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        actor(parts, state, Role::is_operators).await.map(Self)
    }
}

impl<S> FromRequestParts<S> for Admin
where
    S: Send + Sync,
    Arc<IdentityState>: FromRef<S>,
    Arc<HttpState>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        actor(parts, state, |role| role == Role::Admin).await.map(Self)
    }
}

impl Operator {
    /// The name that stands in the records of what was done.
    pub(crate) fn actor(&self) -> &str {
        &self.0.name
    }

    /// Begins a transaction; what it changes is recorded under this operator's name.
    pub(crate) async fn begin(&self, database: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
        self.0.begin(database).await
    }
}

impl Admin {
    /// The name that stands in the records of what was done.
    pub(crate) fn actor(&self) -> &str {
        &self.0.name
    }

    /// The author of what is done.
    pub(crate) fn author(&self) -> &Actor {
        &self.0
    }

    /// Begins a transaction; what it changes is recorded under this administrator's name.
    pub(crate) async fn begin(&self, database: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
        self.0.begin(database).await
    }
}

/// The key that clicks are posted with.
pub(crate) fn api_key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    key.or_else(|| bearer(headers))
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_one_share_however_it_asks_and_operators_use_up_none_of_it() {
        let viewer = |ids: &[&str], account_id| Caller {
            account_id,
            ..Caller::configured(
                "viewer",
                Role::Advertiser,
                Scope::Advertisers(ids.iter().map(|&id| AdvertiserId::unchecked(id)).collect()),
            )
        };
        let account_id = Uuid::from_u128(7);
        let adv_001 = AdvertiserId::unchecked("adv_001");
        let advertiser = || Holder::Advertiser(adv_001.clone());
        let token = |ids: &str| Holder::Token(ids.into());
        for (caller, named, holders) in [
            (viewer(&["adv_001"], None), None, vec![token("adv_001"), advertiser()]),
            (viewer(&["adv_001"], None), Some(&adv_001), vec![token("adv_001"), advertiser()]),
            (viewer(&["adv_001"], Some(account_id)), None, vec![Holder::Account(account_id), advertiser()]),
            (viewer(&["adv_001", "adv_002"], None), None, vec![token("adv_001,adv_002")]),
            (
                viewer(&["adv_001", "adv_002"], Some(account_id)),
                Some(&adv_001),
                vec![Holder::Account(account_id), advertiser()],
            ),
            (Caller::configured("admin", Role::Admin, Scope::All), Some(&adv_001), vec![Holder::Operators]),
            (Caller::configured("admin", Role::Admin, Scope::All), None, vec![Holder::Operators]),
            (Caller::configured("fritz", Role::Finance, Scope::All), Some(&adv_001), vec![Holder::Finance]),
        ] {
            assert_eq!(caller.holders(named), holders, "{caller:?}");
        }
    }

    #[test]
    fn a_viewer_sees_one_advertiser_and_an_administrator_must_name_one() {
        let [own, other] = ["adv_001", "adv_002"].map(AdvertiserId::unchecked);
        let viewer = Scope::Advertisers(vec![own.clone()]);
        assert_eq!(viewer.advertiser(None).unwrap(), &own);
        assert_eq!(viewer.advertiser(Some(&own)).unwrap(), &own);
        assert!(matches!(viewer.advertiser(Some(&other)), Err(Error::Forbidden)));
        assert_eq!(Scope::All.advertiser(Some(&other)).unwrap(), &other);
        assert!(matches!(Scope::All.advertiser(None), Err(Error::Invalid(_))));
        assert_eq!(Scope::All.advertiser_or_all(None).unwrap(), None);
        assert_eq!(viewer.advertiser_or_all(None).unwrap(), Some(&own));
        assert!(matches!(viewer.advertiser_or_all(Some(&other)), Err(Error::Forbidden)));
    }
}
