//! The server that commands work on, over the client's connections.

pub use clickwire_client::{Answer, Connection, Server};

/// The server to send clicks to, as every command takes it.
#[derive(clap::Args)]
pub struct Intake {
    /// Address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Key to post with.
    #[arg(long, env = "CLICKWIRE_INGEST_KEY", hide_env_values = true)]
    ingest_key: String,
}

impl Intake {
    /// The server, to post clicks to.
    pub fn poster(&self) -> anyhow::Result<Server> {
        Ok(Server::new(&self.server, &self.ingest_key)?)
    }

    /// The server, with what another token opens.
    pub fn opened_by(&self, token: &str) -> anyhow::Result<Server> {
        Ok(Server::new(&self.server, token)?)
    }
}
