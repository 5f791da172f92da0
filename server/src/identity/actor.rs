//! The person or program that changes something, named in the transaction of the change: the tables write the
//! audit log themselves (migration 13).

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::{
    Role,
    access::{Caller, Credential},
    store,
};
use crate::{http::error::Error, store::database::answer};

/// The author of a change, and where it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) name: String,
    /// The keyed hash of an address, or `shell`.
    pub(crate) origin: String,
    /// The account that does it, and what it has shown.
    account: Option<(Uuid, Role, Credential)>,
}

impl Actor {
    /// A caller that this server knows, from an address of which this is the keyed hash.
    pub(crate) fn known(caller: &Caller, origin: String) -> Self {
        let account = caller.account_id.map(|id| (id, caller.role, caller.credential.clone()));
        Self { name: caller.name.to_string(), origin, account }
    }

    /// A person who works where the programs run.
    pub(crate) fn shell(user: &str) -> Self {
        Self { name: format!("shell:{user}"), origin: "shell".to_owned(), account: None }
    }

    /// A sign-in that was refused.
    pub(crate) fn nobody(origin: String) -> Self {
        Self { name: "nobody".to_owned(), origin, account: None }
    }

    /// Begins a transaction; what it changes is recorded under this name.
    ///
    /// What has ended on another server (a session, a token, the account, its role) begins none, even if this
    /// server has not heard of it yet: it could make something that stays.
    pub(crate) async fn begin(&self, database: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
        let mut transaction = answer(database.begin()).await?;
        let named = sqlx::query(
            "SELECT set_config('clickwire.actor', $1, true), set_config('clickwire.origin', $2, true)",
        )
        .bind(&self.name)
        .bind(&self.origin);
        answer(named.execute(&mut *transaction)).await?;
        if let Some((account_id, role, credential)) = &self.account
            && !store::is_still(&mut transaction, *account_id, *role, credential).await?
        {
            return Err(Error::Unauthorized);
        }
        Ok(transaction)
    }
}
