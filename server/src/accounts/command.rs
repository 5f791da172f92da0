//! `clickwire-server accounts`: what an administrator does with accounts where the programs run. The first
//! administrator's account is made here.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::Serialize;

use super::{
    Role, password,
    routes::Issued,
    store::{self, Account, Profile, Wanted},
};
use crate::{audit::Actor, config::Config, database, error::Error};

/// What to do with accounts. Running servers follow within two seconds.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Makes an account and prints its password: nobody can look it up afterwards.
    Create {
        /// What its owner signs in with: an e-mail address, say.
        #[arg(long)]
        login: String,
        /// What it is called, for people.
        #[arg(long)]
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: Role,
        /// An advertiser that it sees; may be given again. For the role `advertiser`.
        #[arg(long = "advertiser")]
        advertisers: Vec<String>,
        /// Takes the password from the first line of the standard input instead of making one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Prints every account, one a line.
    List,
    /// Gives an account a new password and prints it; its sessions end.
    ResetPassword {
        /// What its owner signs in with.
        login: String,
    },
    /// Ends all sessions and tokens of an account; nobody can sign in to it any more.
    Disable {
        /// What its owner signs in with.
        login: String,
    },
}

/// Does what is ordered, or says why not; `user` stands in the record.
pub async fn run(config: &Config, order: Order, user: &str) -> anyhow::Result<()> {
    let database = database::connect_to_write(config)?;
    let mut transaction = match order {
        Order::List => return store::list(&database).await?.iter().try_for_each(print),
        _ => Actor::shell(user).begin(&database).await?,
    };
    let named = async |login: &str| -> anyhow::Result<Account> {
        let accounts = store::list(&database).await?;
        let login = store::canonical(login);
        accounts.into_iter().find(|account| account.login == login).context("there is no such account")
    };
    match order {
        Order::Create { login, name, role, advertisers, password_stdin } => {
            let wanted = Wanted { login, profile: Profile { name, role, advertisers } };
            wanted.check().map_err(explained)?;
            let password = if password_stdin { from_stdin(&wanted.login)? } else { password::generate() };
            let hash = password::hash(password.clone()).await?;
            let account = store::create(&mut transaction, &wanted, &hash).await.map_err(explained)?;
            transaction.commit().await?;
            if password_stdin { print(&account) } else { print(&Issued { account, password }) }
        }
        Order::ResetPassword { login } => {
            let account = named(&login).await?;
            let password = password::generate();
            let hash = password::hash(password.clone()).await?;
            store::set_password(&mut transaction, account.account_id, &hash).await?;
            transaction.commit().await?;
            print(&Issued { account, password })
        }
        Order::Disable { login } => {
            let Account { account_id, name, role, advertisers, .. } = named(&login).await?;
            let role = Role::named(&role).context("a role that this program does not know")?;
            let profile = Profile { name, role, advertisers };
            let account = store::change(&mut transaction, account_id, &profile, true).await?;
            transaction.commit().await?;
            print(&account)
        }
        Order::List => Ok(()),
    }
}

/// What is wrong with what was given, in words.
fn explained(error: Error) -> anyhow::Error {
    match error {
        Error::Invalid(rejection) => {
            let wrong = rejection
                .field_errors
                .iter()
                .map(|(name, messages)| format!("{name}: {}", messages.join(" ")));
            anyhow::anyhow!(wrong.collect::<Vec<_>>().join("; "))
        }
        Error::Conflict(message) => anyhow::anyhow!(message),
        error => error.into(),
    }
}

fn from_stdin(login: &str) -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("reading the password")?;
    let password = line.trim_end_matches(['\r', '\n']).to_owned();
    match password::check(&password, &store::canonical(login)) {
        Ok(()) => Ok(password),
        Err(message) => bail!("the password: {message}"),
    }
}

fn print(line: &impl Serialize) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(line)?)?)
}
