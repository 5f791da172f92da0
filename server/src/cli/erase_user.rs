//! `clickwire-server erase-user`: what `POST /api/v1/admin/erasures` does, where the programs run and without a limit
//! of time.

use std::{io::Write as _, time::Duration};

use clap::Args;
use clickwire_protocol::{reason::Reason, stream::Names};

use crate::{
    admin::erasures::{Task, checked, codes},
    config::Config,
    identity::actor::Actor,
    store::database,
};

/// Longer than any ledger takes.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// The user to erase.
#[derive(Clone, Debug, Args)]
pub struct Order {
    /// The advertiser whose user it is.
    #[arg(long)]
    advertiser: String,
    /// The user, as posters name it.
    #[arg(long)]
    user: String,
    /// Reason of the erasure; it stays in the record and must not name the user.
    #[arg(long)]
    reason: Reason,
}

/// Erases, and prints what was erased and what could not be; `user` stands in the record.
pub async fn run(config: &Config, order: &Order, user: &str) -> anyhow::Result<()> {
    let database = database::connect_to_write(config).await?;
    let advertiser_id = checked(&order.advertiser, &order.user, order.reason.as_str())?;
    let (codes, names) = (codes(config.ip_hash_key.as_bytes()), Names::new(&config.stream));
    let task = Task {
        database: &database,
        codes: &codes,
        names: &names,
        partitions: config.partitions,
        patience: PATIENCE,
    };
    let erased = task.run(&Actor::shell(user), &advertiser_id, &order.user, order.reason.as_str()).await?;
    Ok(writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&erased)?)?)
}
