//! The accounts in a server's memory, so that no request waits for the database.
//!
//! Every second one row tells whether something has changed: who was signed out, disabled or given other
//! advertisers anywhere is treated so everywhere within two.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use clickwire_process::now_ms;
use sqlx::PgPool;
use tokio::sync::{Mutex, watch};
use uuid::Uuid;

use super::{Role, session, store};
use crate::{
    http::error::Error,
    identity::{
        access::{Caller, Credential, Scope},
        error::IdentityError,
        secret::Hash,
    },
    store::database::Version,
};

/// All accounts that can be used; cheap to clone.
#[derive(Clone)]
pub(crate) struct Directory {
    held: Arc<RwLock<Held>>,
    /// One reads at a time, or what one has read first could replace what another has read since.
    reading: Arc<Mutex<()>>,
    /// Pool that no request uses: a read that waits for a connection holds up all others.
    database: PgPool,
    /// Says that what is held is new.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Held {
    /// `None` before it was read for the first time.
    version: Option<Version>,
    accounts: HashMap<Uuid, Account>,
    /// Tokens: the account of each, and the end of its life: Unix time in milliseconds.
    tokens: HashMap<Hash, (Uuid, i64)>,
    ended: HashSet<Uuid>,
}

struct Account {
    name: Arc<str>,
    role: Role,
    scope: Scope,
    generation: i32,
}

impl Directory {
    /// Returns a directory that is empty until it is refreshed.
    pub(crate) fn new(database: PgPool) -> Self {
        Self { held: Arc::default(), reading: Arc::default(), database, changed: watch::Sender::new(()) }
    }

    /// Returns the caller of a credential, as the account is now.
    pub(crate) fn caller(&self, credential: Credential) -> Result<Caller, Error> {
        let held = self.held();
        let unknown =
            || if held.version.is_some() { Error::Unauthorized } else { IdentityError::KeysUnread.into() };
        let account_id = match &credential {
            Credential::Configured => None,
            Credential::Session(session::Token { account_id, session_id, .. }) => {
                (!held.ended.contains(session_id)).then_some(*account_id)
            }
            Credential::Token(hash) => {
                let known = held.tokens.get(hash).filter(|&&(_, until_ms)| now_ms() < until_ms);
                known.map(|&(account_id, _)| account_id)
            }
        };
        let account = account_id.and_then(|id| held.accounts.get(&id)).filter(|account| match &credential {
            // A higher one is of a change that we have not heard of.
            Credential::Session(token) => token.generation >= account.generation,
            Credential::Configured | Credential::Token(_) => true,
        });
        let Account { name, role, scope, .. } = account.ok_or_else(unknown)?;
        Ok(Caller { name: Arc::clone(name), role: *role, scope: scope.clone(), account_id, credential })
    }

    /// The names of those who may look after incidents, in alphabetical order.
    pub(crate) fn operators(&self) -> Vec<Arc<str>> {
        let held = self.held();
        let operators = held.accounts.values().filter(|account| account.role.is_operators());
        let mut names: Vec<_> = operators.map(|account| Arc::clone(&account.name)).collect();
        names.sort_unstable();
        names
    }

    /// Returns the end of a program's token's life: Unix time in milliseconds.
    pub(crate) fn token_until_ms(&self, hash: &Hash) -> Option<i64> {
        self.held().tokens.get(hash).map(|&(_, until_ms)| until_ms)
    }

    /// Returns a receiver that is told of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Reads everything again if something has changed.
    pub(crate) async fn refresh(&self) -> Result<(), sqlx::Error> {
        let database = &self.database;
        let _turn = self.reading.lock().await;
        let version = store::version(database).await?;
        if self.held().version == Some(version) {
            return Ok(());
        }
        // Read after the version: it may be newer, never older.
        let accounts = store::valid(database).await?.into_iter().filter_map(|valid| {
            let role = Role::named(&valid.role)?;
            let scope = match role {
                Role::Advertiser => Scope::Advertisers(valid.advertisers),
                Role::Finance | Role::Ops | Role::Admin => Scope::All,
            };
            let name = format!("account:{}", valid.login).into();
            Some((valid.account_id, Account { name, role, scope, generation: valid.generation }))
        });
        let accounts = accounts.collect();
        let tokens = store::valid_tokens(database).await?.into_iter().filter_map(store::ValidToken::held);
        let tokens = tokens.map(|(hash, account_id, until_ms)| (hash, (account_id, until_ms))).collect();
        let ended = store::ended(database).await?.into_iter().collect();
        *self.held.write().unwrap_or_else(PoisonError::into_inner) =
            Held { version: Some(version), accounts, tokens, ended };
        self.changed.send_replace(());
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}
