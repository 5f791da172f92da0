//! Commands of the program beside serving: the first accounts and keys, before anybody can sign in.

pub mod accounts;
pub mod erase_user;
pub mod keys;

use clap::{Parser, Subcommand};

use crate::config::Config;

/// Takes clicks in over HTTP, answers analytics, pushes changes to dashboards.
///
/// Any number of servers may run on the same broker, Redis and database.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// The settings.
    #[command(flatten)]
    pub config: Config,
    /// Command to run; without one the program serves.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands of the program other than to serve.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Accounts that people sign in to: made, listed, given new passwords, disabled.
    Accounts {
        /// The order about accounts.
        #[command(subcommand)]
        order: accounts::Order,
        /// The person who does it, for the record.
        #[arg(long, env = "USER", default_value = "unknown", global = true)]
        actor: String,
    },
    /// Erases a user from the ledger: its clicks keep what is counted and judged.
    EraseUser {
        /// The user to erase, and the reason.
        #[command(flatten)]
        order: erase_user::Order,
        /// The person who does it, for the record.
        #[arg(long, env = "USER", default_value = "unknown")]
        actor: String,
    },
    /// Keys that clicks are posted with: made, listed, replaced, ended.
    Keys {
        /// The order about keys.
        #[command(subcommand)]
        order: keys::Order,
        /// The person who does it, for the record.
        #[arg(long, env = "USER", default_value = "unknown", global = true)]
        actor: String,
    },
}
