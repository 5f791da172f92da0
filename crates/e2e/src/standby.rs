//! A standby of a stack's database, which can take over.

use std::time::Duration;

use anyhow::{Context as _, Result};
use clickwire_services::{Server as Service, Standby};
use tokio::task::block_in_place;

use crate::{Stack, eventually, stack::port_of};

/// Replication begins and ends within seconds; a busy machine takes longer.
const SOON: Duration = Duration::from_secs(40);

/// The way in which programs know the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// They are told both.
    OfEach,
    /// One address, which moves.
    Moving,
}

impl Stack {
    /// Starts a standby of the database, for programs that are started from now on. [`Stack::wire`] comes first.
    pub fn stand_by(&mut self, address: Address) -> Result<Standby> {
        let standby = block_in_place(|| self.services().start_standby())?;
        let wire = format!("127.0.0.1:{}", self.wire_to(Service::Database)?.port());
        let primary = format!("127.0.0.1:{}", port_of(self.database_url())?);
        let hosts = match address {
            Address::OfEach => format!("{wire},127.0.0.1:{}", port_of(&standby.url("clickwire"))?),
            Address::Moving => wire,
        };
        let url = self.database_url().replacen(&primary, &hosts, 1);
        self.set("CLICKWIRE_DATABASE_URL", &url);
        Ok(standby)
    }

    /// A commit waits for the standby from now on.
    pub async fn synchronous(&self) -> Result<()> {
        self.on_primary("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.on_primary("SELECT pg_reload_conf()")?;
        eventually("the standby is synchronous", SOON, async || {
            let state = self.on_primary("SELECT sync_state FROM pg_stat_replication").ok()?;
            (state.trim() == "sync").then_some(())
        })
        .await
    }

    /// Runs SQL on the host that was the primary at first.
    pub fn on_primary(&self, sql: &str) -> Result<String> {
        Ok(block_in_place(|| self.services().psql("clickwire", sql))?)
    }

    /// The standby is the primary from now on.
    pub fn promote(&self, standby: &Standby, address: Address) -> Result<()> {
        block_in_place(|| standby.psql("clickwire", "SELECT pg_promote()"))?;
        if address == Address::Moving {
            self.wire_to(Service::Database)?.lead_to(port_of(&standby.url("clickwire"))?);
        }
        Ok(())
    }
}

/// Runs SQL on a standby.
pub fn on_standby(standby: &Standby, sql: &str) -> Result<String> {
    block_in_place(|| standby.psql("clickwire", sql)).context("on the standby")
}
