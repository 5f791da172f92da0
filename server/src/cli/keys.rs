//! `clickwire-server keys`: what an administrator does with keys where the programs run.

use std::io::Write as _;

use clap::Subcommand;
use clickwire_protocol::ids::AdvertiserId;
use serde::Serialize;

use crate::{
    admin::keys::GRACE_HOURS,
    config::Config,
    http::cursor::Asked,
    identity::actor::Actor,
    intake::keys::store::{self, BURST, Mode, RATE, Wanted},
    store::database,
};

/// Orders about keys. Running servers follow within two seconds.
#[derive(Clone, Debug, Subcommand)]
pub enum Order {
    /// Makes a key and prints it: nobody can look it up afterwards.
    Create {
        /// Name of the key, for people.
        #[arg(long)]
        name: String,
        /// Its clicks are counted as tests.
        #[arg(long)]
        test: bool,
        /// An advertiser that it may post for; may be given again. Without it: every advertiser.
        #[arg(long = "advertiser")]
        advertisers: Vec<AdvertiserId>,
        /// The key may name users' addresses and browsers: for programs that post for their users.
        #[arg(long)]
        speaks_for_users: bool,
        /// Fields that no click has are passed over instead of refusing the click.
        #[arg(long)]
        ignores_unknown_fields: bool,
        /// The key is told at once which clicks look fraudulent: for programs that the operator trusts.
        #[arg(long)]
        hints: bool,
        /// Clicks a second in the long run.
        #[arg(long, default_value_t = RATE)]
        rate: i32,
        /// Clicks at once.
        #[arg(long, default_value_t = BURST)]
        burst: i32,
    },
    /// Prints every key, one a line: its id and all but its secret.
    List,
    /// Replaces a key's secret and prints the new one; the old one is still taken for a while.
    Rotate {
        /// The key's id.
        key_id: String,
        /// Hours for which the old one is still accepted.
        #[arg(long, default_value_t = GRACE_HOURS)]
        grace_hours: u32,
    },
    /// Ends a key.
    Revoke {
        /// The key's id.
        key_id: String,
    },
}

/// Does what is ordered, or says why not; `user` stands in the record.
pub async fn run(config: &Config, order: Order, user: &str) -> anyhow::Result<()> {
    let database = database::connect_to_write(config).await?;
    let actor = Actor::shell(user);
    match order {
        Order::Create {
            name,
            test,
            advertisers,
            speaks_for_users,
            ignores_unknown_fields,
            hints,
            rate,
            burst,
        } => {
            let wanted = Wanted {
                name,
                mode: if test { Mode::Test } else { Mode::Live },
                advertisers: (!advertisers.is_empty()).then_some(advertisers),
                speaks_for_users,
                ignores_unknown_fields,
                hints,
                rate_per_second: rate,
                burst,
            };
            let mut transaction = actor.begin(&database).await?;
            let issued = store::create(&mut transaction, &wanted, &actor.name).await?;
            transaction.commit().await?;
            print(&issued)
        }
        Order::List => {
            let mut asked = Some(Asked::first());
            while let Some(some) = asked {
                let (keys, next) = store::list(&database, &some).await?.into_parts();
                keys.iter().try_for_each(print)?;
                asked = next;
            }
            Ok(())
        }
        Order::Rotate { key_id, grace_hours } => {
            let mut transaction = actor.begin(&database).await?;
            let issued = store::rotate(&mut transaction, &key_id, grace_hours).await?;
            transaction.commit().await?;
            print(&issued)
        }
        Order::Revoke { key_id } => {
            let mut transaction = actor.begin(&database).await?;
            let key = store::revoke(&mut transaction, &key_id, &actor.name).await?;
            transaction.commit().await?;
            print(&key)
        }
    }
}

fn print(line: &impl Serialize) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(line)?)?)
}
