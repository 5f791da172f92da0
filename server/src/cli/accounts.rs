//! `clickwire-server accounts`: what an administrator does with accounts where the programs run. The first
//! administrator's account is made here.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;

use crate::{
    admin::accounts::Issued,
    config::Config,
    http::{cursor::Asked, error::Error},
    identity::{
        Role,
        actor::Actor,
        password,
        store::{self, Profile, Wanted},
    },
    store::database,
};

/// Orders about accounts. Running servers follow within two seconds.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Makes an account and prints its password: nobody can look it up afterwards.
    Create {
        /// Login of its owner: an e-mail address, say.
        #[arg(long)]
        login: String,
        /// Name of the account, for people.
        #[arg(long)]
        name: String,
        /// Role of the account.
        #[arg(long, value_enum)]
        role: Role,
        /// An advertiser that it sees; may be given again. For the role `advertiser`.
        #[arg(long = "advertiser")]
        advertisers: Vec<AdvertiserId>,
        /// Takes the password from the first line of the standard input instead of making one.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Prints every account, one a line.
    List,
    /// Gives an account a new password and prints it; its sessions end.
    ResetPassword {
        /// Login of its owner.
        login: String,
    },
    /// Ends all sessions and tokens of an account; nobody can sign in to it any more.
    Disable {
        /// Login of its owner.
        login: String,
    },
}

/// Does what is ordered, or says why not; `user` stands in the record.
pub async fn run(config: &Config, order: Order, user: &str) -> anyhow::Result<()> {
    let database = database::connect_to_write(config).await?;
    let actor = Actor::shell(user);
    match order {
        Order::Create { login, name, role, advertisers, password_stdin } => {
            let wanted = Wanted { login, profile: Profile { name, role, advertisers } };
            wanted.check().map_err(explained)?;
            let password = if password_stdin { from_stdin(&wanted.login)? } else { password::generate() };
            let hash = password::hash(password.clone()).await?;
            let mut transaction = actor.begin(&database).await?;
            let account = store::create(&mut transaction, &wanted, &hash).await.map_err(explained)?;
            transaction.commit().await?;
            if password_stdin { print(&account) } else { print(&Issued { account, password }) }
        }
        Order::List => {
            let mut asked = Some(Asked::first());
            while let Some(some) = asked {
                let (accounts, next) = store::list(&database, &some).await?.into_parts();
                accounts.iter().try_for_each(print)?;
                asked = next;
            }
            Ok(())
        }
        Order::ResetPassword { login } => {
            let password = password::generate();
            let hash = password::hash(password.clone()).await?;
            let mut transaction = actor.begin(&database).await?;
            let account = store::named(&mut transaction, &login).await.map_err(explained)?;
            store::set_password(&mut transaction, account.account_id, &hash).await?;
            transaction.commit().await?;
            print(&Issued { account, password })
        }
        Order::Disable { login } => {
            let mut transaction = actor.begin(&database).await?;
            let account = store::named(&mut transaction, &login).await.map_err(explained)?;
            let role = Role::named(&account.role).context("a role that this program does not know")?;
            let profile = Profile { name: account.name, role, advertisers: account.advertisers };
            let account = store::change(&mut transaction, account.account_id, &profile, true).await?;
            transaction.commit().await?;
            print(&account)
        }
    }
}

/// Returns the error with a message for the command line: each wrong field, or the cause.
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
        Error::NotFound => anyhow::anyhow!("there is no such account"),
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
